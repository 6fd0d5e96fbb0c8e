"""The frame that the rules for images look at: metadata and measurements, one line per image, indexed by row number.

Columns that end in `_problem` hold a text where something is wrong and None where nothing is, so that a rule reads
"must be null" and the text becomes the row's reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from croquis.catalog.table import ROLES, SPLITS, Catalog
from croquis.validation.labels import contradictions, label_problems, labels_per_item
from croquis.validation.measure import PROBLEMS, Measured

COPIED = ("image_id", "item_id", "domain", "split", "role", "category", "also_gallery_of")
MEASURED = ("width", "height", "mode", "orientation", "sha256", "phash", "mirror_phash")
VISIBLE, OCCLUDED, CUT_OFF = range(3)
UPRIGHT_TAGS = (None, *range(9))  # 0 is what some cameras write for "unknown"; nothing is turned then


def image_frame(
    catalog: Catalog, measured: Sequence[Measured], attributes: pd.DataFrame, unknown: pd.DataFrame
) -> pd.DataFrame:
    """What can be said of each image on its own. `attributes`, `unknown`: `croquis.validation.labels.attribute_table`."""
    columns: dict[str, Any] = {name: objects(catalog.column(name)) for name in COPIED}
    columns |= {name: objects(getattr(found, name) for found in measured) for name in MEASURED}
    columns |= {name: objects(_problem(found, name) for found in measured) for name in PROBLEMS}
    frame = pd.DataFrame(columns)
    sides = frame[["width", "height"]].astype(float)
    frame["short_side"], frame["long_side"] = sides.min(axis=1), sides.max(axis=1)
    frame["orientation_problem"] = objects(_orientation_problem(tag) for tag in frame["orientation"])
    pairs = zip(frame["split"], frame["role"], frame["also_gallery_of"], strict=True)
    frame[["role_problem", "distractor_problem"]] = [_place_problems(*place) for place in pairs]
    sizes = list(zip(frame["width"], frame["height"], strict=True))
    boxes, points = catalog.column("bbox"), catalog.column("landmarks")
    # One photo may show several garments: what is learned from and searched for is the file with its box.
    frame["picture"] = objects(f"{digest} {box}" for digest, box in zip(frame["sha256"], boxes, strict=True))
    frame["box_problem"] = objects(_box_problem(box, size) for box, size in zip(boxes, sizes, strict=True))
    frame["landmark_problem"] = objects(_landmark_problem(p, size) for p, size in zip(points, sizes, strict=True))
    held, open_ = label_problems(len(frame), attributes), label_problems(len(frame), unknown)
    both = contradictions(len(frame), attributes, unknown)
    frame["label_problem"] = objects(
        first or second or third for first, second, third in zip(held, open_, both, strict=True)
    )
    frame["labels"] = np.bincount(attributes["row"], minlength=len(frame))
    frame["item_labels"] = labels_per_item(frame["item_id"].to_numpy(), attributes)
    return frame


def objects(values: Iterable[Any]) -> pd.Series:
    return pd.Series(list(values), dtype=object)


def _problem(found: Measured, column: str) -> str | None:
    return found.problem[1] if found.problem is not None and found.problem[0] == column else None


def _orientation_problem(tag: object) -> str | None:
    return None if isinstance(tag, int | None) and tag in UPRIGHT_TAGS else f"EXIF orientation {tag!r}"


def _place_problems(split: str, role: str, other: str | None) -> tuple[str | None, str | None]:
    """What is wrong with the role in this split, and with the other split that the photo is a distractor of."""
    known = split in SPLITS and role in ROLES
    misplaced = known and (role == "train") != (split == "train")
    stray = known and other is not None and (other not in SPLITS or other == split or role != "gallery")
    return f"{role} in split {split}" if misplaced else None, f"{role} of {split}, also of {other}" if stray else None


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
