"""Attribute labels of In-shop photos, from whichever annotation files are there.

The official files stand in `Anno/` (release 1.3) or `Anno/attributes/` (release 2.0): 463 attributes per item and a
colour per photo. Where there are none, `Anno/attributes.csv` is read, a table of ours with one row per photo. Colours
become `colour:NAME`; the official attribute names stay as they are; columns of the table become `COLUMN:VALUE`.
"""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from croquis.formats.deepfashion.annotation_lines import read_lines
from croquis.formats.deepfashion.label_tables import LabelTable, read_labels
from croquis.formats.errors import SourceError

TABLE_COLUMNS = {
    "gender": "gender",
    "color": "colour",
    "pattern": "pattern",
    "material": "material",
    "style": "style",
    "climate": "climate",
}


@dataclass(frozen=True)
class InshopAttributes:
    """Labels of items and labels of single photos; a photo has both.

    Attributes:
        names: how many attributes the official files know; None where they are not there.
    """

    items: LabelTable = field(default_factory=LabelTable)
    by_photo: Mapping[str, list[str]] = field(default_factory=dict)
    colour_by_item: Mapping[str, list[str]] = field(default_factory=dict)
    names: int | None = None

    def of(self, photo: str, item_id: str) -> list[str]:
        """All labels of a photo; the item's only colour stands in where the photo has none of its own."""
        own = self.by_photo.get(photo) or self.colour_by_item.get(item_id, [])
        return list(dict.fromkeys([*self.items.has.get(item_id, []), *own]))


def read_attributes(folder: Path) -> InshopAttributes:
    """The labels below `Anno/`; none where no file holds any.

    Raises:
        SourceError: when a file is malformed, or one of the two official attribute files lacks its partner.
    """
    names, items = _read_items(folder)
    by_photo = _read_colours(folder)
    if names is None and not by_photo and (folder / "attributes.csv").is_file():
        return InshopAttributes(by_photo=_read_table(folder / "attributes.csv"))
    return InshopAttributes(items, by_photo, _read_descriptions(folder), names)


def _locate(folder: Path, name: str) -> Path | None:
    return next((path for path in (folder / name, folder / "attributes" / name) if path.is_file()), None)


def _read_items(folder: Path) -> tuple[int | None, LabelTable]:
    names_file, items_file = _locate(folder, "list_attr_cloth.txt"), _locate(folder, "list_attr_items.txt")
    if names_file is None and items_file is None:
        return None, LabelTable()
    if names_file is None or items_file is None:
        raise SourceError(f"{folder} holds only one of list_attr_cloth.txt and list_attr_items.txt; unpack both")
    names = [line.text.strip() for line in read_lines(names_file)]
    return len(names), read_labels(items_file, names)


def _read_colours(folder: Path) -> dict[str, list[str]]:
    path = _locate(folder, "list_color_cloth.txt")
    if path is None:
        return {}
    pairs = (line.fields(2, last_with_blanks=True) for line in read_lines(path))
    return {name: [_label("colour", colour)] for name, colour in pairs}


def _read_descriptions(folder: Path) -> dict[str, list[str]]:
    """The colour of items that are described in a single colour."""
    path = folder / "list_description_inshop.json"
    if not path.is_file():
        return {}
    colours: dict[str, list[str]] = defaultdict(list)
    try:
        for entry in json.loads(path.read_text(encoding="utf-8")):
            colours[entry["item"]].append(_label("colour", entry["color"]))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise SourceError(f"{path} is not a JSON list of objects with item and color: {error!r}") from error
    return {item: found for item, found in colours.items() if len(set(found)) == 1}


def _read_table(path: Path) -> dict[str, list[str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            if "image_name" not in (reader.fieldnames or []):
                raise SourceError(f"{path} lacks the column image_name; it has {reader.fieldnames}")
            return {row["image_name"]: _table_labels(row) for row in reader}
    except (UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f"{path} is not UTF-8 CSV: {error}") from error


def _table_labels(row: Mapping[str, str | None]) -> list[str]:
    found = ((prefix, (row.get(column) or "").split("|")) for column, prefix in TABLE_COLUMNS.items())
    return [_label(prefix, value) for prefix, values in found for value in values if value.strip()]


def _label(prefix: str, value: str) -> str:
    return f"{prefix}:{value.strip().lower()}"
