"""The fine annotations of the Category and Attribute Prediction benchmark: three splits, files matched row by row.

`Anno_fine/train.txt` names the images of train, one a row; `train_cate.txt`, `train_attr.txt` and, where present,
`train_bbox.txt` hold category, 26 attribute values (1 or 0) and box in the same order, without count, header or name; the
same with val and test. Attribute names (`long_sleeve`) stay as they are. Landmarks of this release come without
visibility and are left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from croquis.formats.deepfashion.annotation_lines import AnnotationLine, read_lines
from croquis.formats.deepfashion.attribute_annotations import SPLITS, Annotations, read_category_names
from croquis.formats.deepfashion.label_tables import parse_labels, positives
from croquis.formats.errors import SourceError, refuse


def read_split_files(folder: Path) -> Annotations:
    """Raises SourceError when a file is missing or malformed, or has not a row per image."""
    names = [_attribute(line) for line in read_lines(folder / "list_attr_cloth.txt")]
    found = Annotations({}, read_category_names(folder), {}, {}, {}, len(names), {}, {})
    for split in SPLITS:
        _read_split(folder, split, names, found)
    return found


def _read_split(folder: Path, split: str, names: list[str], found: Annotations) -> None:
    listed = _bare_lines(folder / f"{split}.txt")
    images = [line.fields(1)[0] for line in listed]
    refuse(str(folder / f"{split}.txt"), [f"{image} is listed more than once" for image in _repeated(images, found)])
    for image, line in _matched(folder / f"{split}_cate.txt", images):
        found.categories[image] = line.integer(line.fields(1)[0])
    for image, line in _matched(folder / f"{split}_attr.txt", images):
        found.attributes[image] = positives(parse_labels(line, line.text, len(names)), names)
    for image, line in _matched(folder / f"{split}_bbox.txt", images, needed=False):
        found.boxes[image] = [line.integer(corner) for corner in line.fields(4)]
    found.splits.update(dict.fromkeys(images, split))


def _repeated(images: list[str], found: Annotations) -> list[str]:
    """Images that an earlier split has, or that this one has twice."""
    times = Counter([*images, *(image for image in images if image in found.splits)])
    return [image for image, count in times.items() if count > 1]


def _matched(path: Path, images: list[str], needed: bool = True) -> Iterator[tuple[str, AnnotationLine]]:
    if not needed and not path.is_file():
        return iter(())
    lines = _bare_lines(path)
    if len(lines) != len(images):
        raise SourceError(f"{path} has {len(lines)} rows for {len(images)} images; fetch it again")
    return zip(images, lines, strict=True)


def _bare_lines(path: Path) -> list[AnnotationLine]:
    """The rows of a file that has neither count nor header."""
    if not path.is_file():
        raise SourceError(f"{path} does not exist; unpack the fine annotations there")
    try:
        with path.open(encoding="utf-8-sig") as stream:
            return [
                AnnotationLine(path, number, text.rstrip("\n"))
                for number, text in enumerate(stream, start=1)
                if text.strip()
            ]
    except UnicodeDecodeError as error:
        raise SourceError(f"{path} is not UTF-8 text: {error}") from error


def _attribute(line: AnnotationLine) -> str:
    """The name; a number that may follow it is a group, which the name says already."""
    words = line.text.split()
    return " ".join(words[:-1] if len(words) > 1 and words[-1].isdigit() else words)
