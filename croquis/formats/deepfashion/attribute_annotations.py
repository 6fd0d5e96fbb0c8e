"""Annotations of the Category and Attribute Prediction benchmark: the tables with an image name in every row.

`list_category_cloth.txt`, `list_category_img.txt`, `list_attr_cloth.txt` and `list_attr_img.txt` must be there,
`list_bbox.txt` and `list_landmarks.txt` may be. Attributes become `GROUP:NAME`.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

from croquis.formats.deepfashion.annotation_lines import AnnotationLine, iter_lines, read_lines
from croquis.formats.deepfashion.label_tables import read_labels
from croquis.formats.deepfashion.regions import read_boxes, read_landmarks
from croquis.formats.errors import SourceWarning, refuse

SPLITS = ("train", "val", "test")
GROUPS = {"1": "texture", "2": "fabric", "3": "shape", "4": "part", "5": "style"}
GROUP_OF_MALFORMED = "5"


@dataclass(frozen=True)
class Annotations:
    """What is known of the images; the dicts go by image name.

    Attributes:
        splits: in the order of the partition; its keys are the images.
        categories: number of the category, counted from 1 in `category_names`.
        attributes: labels of the attributes that an image has.
        unknown: of those of which the table says that they are unknown.
        attribute_count: attributes that the table knows.
        boxes: x1, y1, x2, y2 in pixels.
        landmarks: x, y, visibility per point.
    """

    splits: dict[str, str]
    category_names: list[str]
    categories: dict[str, int]
    attributes: dict[str, list[str]]
    unknown: dict[str, list[str]]
    attribute_count: int
    boxes: dict[str, list[int]]
    landmarks: dict[str, list[int]]


def read_tables(folder: Path, partition: Path) -> Annotations:
    """Raises SourceError when a table is missing, cut off or malformed, naming the line."""
    names = [_attribute(line) for line in read_lines(folder / "list_attr_cloth.txt")]
    labels = read_labels(folder / "list_attr_img.txt", names)
    return Annotations(
        splits=_read_splits(partition),
        category_names=read_category_names(folder),
        categories=dict(_category(line) for line in iter_lines(folder / "list_category_img.txt")),
        attributes=labels.has,
        unknown=labels.unknown,
        attribute_count=len(names),
        boxes={name: box.corners for name, box in read_boxes(folder / "list_bbox.txt", types=0).items()},
        landmarks=read_landmarks(folder / "list_landmarks.txt"),
    )


def read_category_names(folder: Path) -> list[str]:
    """The names of `list_category_cloth.txt`, whose rows end with a type: 1 upper body, 2 lower body, 3 full body."""
    return [line.text.rsplit(maxsplit=1)[0].strip() for line in read_lines(folder / "list_category_cloth.txt")]


def _category(line: AnnotationLine) -> tuple[str, int]:
    name, number = line.fields(2)
    return name, line.integer(number)


def _read_splits(path: Path) -> dict[str, str]:
    splits: dict[str, str] = {}
    repeated = []
    for line in iter_lines(path):
        name, split = line.fields(2)
        if split not in SPLITS:
            raise line.error(f"has the status {split!r}, which is none of {', '.join(SPLITS)}")
        if name in splits:
            repeated.append(f"{name} is listed more than once")
        splits[name] = split
    refuse(str(path), repeated)
    return splits


def _attribute(line: AnnotationLine) -> str:
    """`texture:animal print` of `animal print   1`; names hold blanks, the group is the last word.

    The released file has one row whose group cannot be read. It is taken as style, as public readers of the file do.
    """
    *words, group = line.text.split()
    if group not in GROUPS or not words:
        message = f"has no attribute type from 1 to 5 and is taken as {GROUPS[GROUP_OF_MALFORMED]}"
        warnings.warn(str(line.error(message)), SourceWarning, stacklevel=2)
        words += [] if group.isdigit() and words else [group]
        group = GROUP_OF_MALFORMED
    return f"{GROUPS[group]}:{' '.join(words)}"
