"""The files of DeepFashion2: a JSON per image with one entry per garment, and the lists of queries and gallery."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from croquis.formats.errors import SourceError, refuse

DOMAINS = {"shop": "shop", "user": "consumer"}
VIEWS = {1: "not_worn", 2: "front", 3: "side_or_back"}
VISIBILITIES = {2: 0, 1: 1, 0: 2}
"""Theirs, 2 visible, 1 occluded, 0 not labelled, as the catalogue's 0 visible, 1 occluded, 2 cut off."""
ITEM_KEY = re.compile(r"item ?(\d+)")
LIST_FOLDERS = ("", "validation", "json_for_validation", "evaluation")

# What reading JSON of another form raises; infinity is no whole number.
WRONG_TYPES = (KeyError, TypeError, ValueError, OverflowError, AttributeError)


@dataclass(frozen=True, slots=True)
class AnnotatedGarment:
    """One garment of an image; `folder` is `train` or `validation`, `image` its number with zeros, `number` counts in it."""

    folder: str
    image: str
    number: int
    domain: str
    pair: int
    style: int
    category: str
    view: str | None
    box: list[int]
    landmarks: list[int]

    @property
    def image_id(self) -> str:
        """`FOLDER/IMAGE/NUMBER`: a photo may show several garments."""
        return f"{self.folder}/{self.image}/{self.number}"

    @property
    def item_id(self) -> str:
        """One for all garments of a pair and a style; style 0 matches nothing, so such a garment is its own item."""
        return f"{self.folder}/pair-{self.pair}/style-{self.style}" if self.style > 0 else self.image_id

    def file(self, root: Path) -> Path:
        """Path of its photo below the dataset's folder."""
        return root / self.folder / "image" / f"{self.image}.jpg"


def read_garments(root: Path, folder: str) -> list[AnnotatedGarment]:
    """All garments of `train` or `validation`, by image and number.

    Raises:
        SourceError: when the folder is missing or a file is malformed, naming the file and what is wrong.
    """
    annotations = root / folder / "annos"
    if not annotations.is_dir():
        raise SourceError(f"{annotations} does not exist; unpack the annotations there")
    return [garment for path in sorted(annotations.glob("*.json")) for garment in _garments(path, folder)]


def _garments(path: Path, folder: str) -> Iterator[AnnotatedGarment]:
    notes = _load(path)
    try:
        domain, pair = DOMAINS[notes["source"]], int(notes["pair_id"])
        numbered = sorted((int(found[1]), notes[key]) for key in notes if (found := ITEM_KEY.fullmatch(key)))
        for number, item in numbered:
            yield AnnotatedGarment(
                folder=folder,
                image=path.stem,
                number=number,
                domain=domain,
                pair=pair,
                style=int(item["style"]),
                category=item["category_name"],
                view=VIEWS.get(item.get("viewpoint")),
                box=_four(item["bounding_box"]),
                landmarks=_landmarks(item.get("landmarks", [])),
            )
    except WRONG_TYPES as error:
        raise SourceError(f"{path} is not an annotation as released: {error!r}") from error


def _load(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{path} is not JSON: {error}; unpack it again") from error


def _four(corners: Sequence[float]) -> list[int]:
    if len(corners) != 4:
        raise ValueError(f"bounding_box {corners} has not four numbers")
    return [round(corner) for corner in corners]


def _landmarks(values: Sequence[float]) -> list[int]:
    triples = zip(values[0::3], values[1::3], values[2::3], strict=True)
    return [number for x, y, seen in triples for number in (round(x), round(y), VISIBILITIES[int(seen)])]


def read_listed(root: Path, garments: Sequence[AnnotatedGarment]) -> dict[str, set[str]] | None:
    """Role -> image ids of the garments that `val_query.json` and `val_gallery.json` list; None where there is neither.

    The lists name a garment by its image's number and its box. Queries of style 0 are listed too; they ask nothing.

    Args:
        garments: those of `validation`.

    Raises:
        SourceError: when one of the lists is missing or holds a garment that the annotations do not know.
    """
    paths = {role: _find(root, f"val_{role}.json") for role in ("query", "gallery")}
    if not any(paths.values()):
        return None
    known = {(int(each.image), tuple(each.box), each.pair, each.style): each for each in garments}
    return {role: _chosen(root, role, path, known) for role, path in paths.items()}


def _find(root: Path, name: str) -> Path | None:
    return next((path for folder in LIST_FOLDERS if (path := root / folder / name).is_file()), None)


def _chosen(root: Path, role: str, path: Path | None, known: Mapping[Any, AnnotatedGarment]) -> set[str]:
    if path is None:
        raise SourceError(f"{root} has one of val_query.json and val_gallery.json but no val_{role}.json; unpack both")
    try:
        keys = [
            (int(entry[f"{role}_image_id"]), tuple(_four(entry["bbox"])), int(entry["pair_id"]), int(entry["style"]))
            for entry in _load(path)
        ]
    except WRONG_TYPES as error:
        raise SourceError(f"{path} is not a list of garments as released: {error!r}") from error
    domain = "consumer" if role == "query" else "shop"
    wrong = [key for key in keys if key not in known or known[key].domain != domain]
    what = f"with that box, pair and style is no {domain} garment of the annotations"
    refuse(
        str(path), [f"image {i}, box {list(box)}, pair {pair}, style {style} {what}" for i, box, pair, style in wrong]
    )
    return {known[key].image_id for key in keys if role == "gallery" or known[key].style > 0}
