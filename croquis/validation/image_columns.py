"""The columns that the rules for images look at: metadata and measurements, a value per row of the catalogue.

Columns that end in `_problem` hold a text where something is wrong and None where nothing is, so that a rule reads
"must be null" and the text becomes the row's reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from croquis.catalog.table import ROLES, SPLITS, Catalog
from croquis.validation.measure import PROBLEMS, Measured

Objects = npt.NDArray[np.object_]
COPIED = ("image_id", "item_id", "domain", "split", "role", "category", "also_gallery_of")
MEASURED = ("width", "height", "mode", "orientation", "sha256", "phash", "mirror_phash")
LABELS = ("attributes", "unknown_attributes")
LISTS_AT_A_TIME = 4096
VISIBLE, OCCLUDED, CUT_OFF = range(3)
UPRIGHT_TAGS = (None, *range(9))  # 0 is what some cameras write for "unknown"; nothing is turned then


def image_columns(catalog: Catalog, measured: Sequence[Measured]) -> dict[str, npt.NDArray[Any]]:
    """What can be said of each image on its own, and how many labels its item has; (rows,) each."""
    columns = {name: catalog.column(name) for name in COPIED}
    columns |= {name: objects(getattr(found, name) for found in measured) for name in MEASURED}
    columns |= {name: objects(_problem(found, name) for found in measured) for name in PROBLEMS}
    sides = np.array([(found.width, found.height) for found in measured], dtype=np.float64).reshape(-1, 2)
    columns["short_side"], columns["long_side"] = sides.min(axis=1), sides.max(axis=1)
    columns["orientation_problem"] = objects(_orientation_problem(found.orientation) for found in measured)
    places = list(zip(columns["split"], columns["role"], columns["also_gallery_of"], strict=True))
    columns["role_problem"] = objects(_role_problem(split, role) for split, role, _ in places)
    columns["distractor_problem"] = objects(_distractor_problem(*place) for place in places)
    sizes = [(found.width, found.height) for found in measured]
    boxes, points = catalog.column("bbox"), catalog.column("landmarks")
    # One photo may show several garments: what is learned from and searched for is the file with its box.
    columns["picture"] = objects(f"{found.sha256} {box}" for found, box in zip(measured, boxes, strict=True))
    columns["box_problem"] = objects(_box_problem(box, size) for box, size in zip(boxes, sizes, strict=True))
    columns["landmark_problem"] = objects(_landmark_problem(p, size) for p, size in zip(points, sizes, strict=True))
    return columns | _label_columns(catalog, columns["item_id"])


def objects(values: Iterable[Any]) -> Objects:
    """Values as an array (n,) of Python objects, whatever they are."""
    return np.fromiter(values, dtype=object)


def _label_columns(catalog: Catalog, items: Objects) -> dict[str, npt.NDArray[Any]]:
    of_item: dict[str, set[str]] = {}
    problems, counts = [], []
    for item, held, unknown in zip(items, *map(partial(_lists, catalog), LABELS), strict=True):
        of_item.setdefault(item, set()).update(held)
        problems.append(label_problem(held, unknown))
        counts.append(len(held))
    return {
        "label_problem": objects(problems),
        "labels": np.array(counts, dtype=np.int64),
        "item_labels": np.array([len(of_item[item]) for item in items], dtype=np.int64),
    }


def _lists(catalog: Catalog, column: str) -> Iterator[list[str | None]]:
    """The lists of a column, some rows in memory at a time: a set may leave hundreds of labels of each image open."""
    for batch in catalog.table.select([column]).to_batches(max_chunksize=LISTS_AT_A_TIME):
        yield from (labels or [] for labels in batch.column(0).to_pylist())


def label_problem(held: Sequence[str | None], unknown: Sequence[str | None]) -> str | None:
    """What is wrong with the labels that an image has, and with those of which that is unknown."""
    for labels in (held, unknown):
        if not all(label and label.strip() for label in labels):
            return "a blank label"
        counts = Counter(labels)
        if twice := [label for label in labels if counts[label] > 1]:
            return f"label {twice[-1]!r} more than once"
    left_open = set(unknown)
    both = [label for label in held if label in left_open]
    return f"label {both[-1]!r} both held and unknown" if both else None


def _problem(found: Measured, column: str) -> str | None:
    return found.problem[1] if found.problem is not None and found.problem[0] == column else None


def _orientation_problem(tag: object) -> str | None:
    return None if isinstance(tag, int | None) and tag in UPRIGHT_TAGS else f"EXIF orientation {tag!r}"


def _role_problem(split: str, role: str) -> str | None:
    misplaced = split in SPLITS and role in ROLES and (role == "train") != (split == "train")
    return f"{role} in split {split}" if misplaced else None


def _distractor_problem(split: str, role: str, other: str | None) -> str | None:
    """What is wrong with the other split that the photo is a distractor of."""
    known = other is not None and split in SPLITS and role in ROLES
    stray = known and (other not in SPLITS or other == split or role != "gallery")
    return f"{role} of {split}, also of {other}" if stray else None


def _box_problem(box: Sequence[int] | None, size: tuple[int | None, int | None]) -> str | None:
    width, height = size
    if box is None or width is None or height is None or _fits(box, width, height):
        return None
    hint = ", but inside it as stored, before its EXIF turn" if _fits(box, height, width) else ""
    return f"{list(box)} in an image of {width} x {height}{hint}"


def _fits(box: Sequence[int], width: int, height: int) -> bool:
    return len(box) == 4 and 0 <= box[0] < box[2] <= width and 0 <= box[1] < box[3] <= height


def _landmark_problem(points: Sequence[int] | None, size: tuple[int | None, int | None]) -> str | None:
    width, height = size
    if points is None or width is None or height is None:
        return None
    if len(points) % 3:
        return f"{len(points)} numbers, must be triples of x, y, visibility"
    for x, y, visibility in np.reshape(points, (-1, 3)).tolist():
        if visibility not in (VISIBLE, OCCLUDED, CUT_OFF):
            return f"visibility {visibility}, must be 0, 1 or 2"
        if visibility == VISIBLE and not (0 <= x <= width and 0 <= y <= height):
            return f"visible point ({x}, {y}) in an image of {width} x {height}"
    return None
