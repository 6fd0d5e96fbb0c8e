"""A table of a folder of photos that has none: products, categories, splits and domains by names of folders and files."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from croquis.projects.words import DOMAIN_WORDS, PICTURES, SPLIT_WORDS, TABLES, meaning
from croquis.refusals import RefusedError

PHOTOS_OF_A_PRODUCT = 12  # a folder of more, on the average, is a category
NUMBERED = re.compile(
    r"^(?P<item>.*[^\W_])[\s_.-]+(?:\d{1,2}|front|back|side|detail|full|zoom|left|right|top|bottom|[a-d])$",
    re.IGNORECASE,
)
COLUMNS = ("path", "item_id", "category", "split", "domain")


@dataclass
class FolderTable:
    """Rows for `ingest.folder.table`, with what was guessed.

    Attributes:
        rows: one mapping of `COLUMNS` per photo; an empty text where nothing is known.
        notes: for the person.
    """

    rows: list[dict[str, str]]
    notes: list[str] = field(default_factory=list)

    @property
    def columns(self) -> list[str]:
        """Columns that at least one photo has a value in."""
        return [name for name in COLUMNS if any(row[name] for row in self.rows)]

    def csv(self) -> str:
        """The table as CSV, without the columns that nothing is known of."""
        text = io.StringIO()
        writer = csv.DictWriter(text, self.columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        return text.getvalue()


def pictures_in(folder: Path) -> list[PurePosixPath]:
    """Pictures at any depth, relative to the folder, hidden ones left out, in the order of their names."""
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.suffix.lower() in PICTURES)
    return sorted(PurePosixPath(path.as_posix()) for path in found if not any(part[0] == "." for part in path.parts))


def only_table(folder: Path) -> Path | None:
    """The table in a folder; where there are several, the person must say which."""
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in TABLES and path.is_file())
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise RefusedError(f"{folder} holds several tables ({names}): name one by --table")
    return found[0] if found else None


def guess_folder(folder: Path) -> FolderTable:
    """Looks at the names below a folder; no picture is opened.

    Raises:
        RefusedError: when it holds no picture.
    """
    paths = pictures_in(folder)
    if not paths:
        raise RefusedError(f"{folder} holds no picture ({', '.join(PICTURES)}): name the folder of the photos")
    rows = [dict.fromkeys(COLUMNS, "") | {"path": str(path)} for path in paths]
    table = FolderTable(rows)
    levels = [_known_levels(row, path.parts[:-1]) for row, path in zip(rows, paths, strict=True)]
    _guess_levels(table, levels, paths)
    for name, told in (("split", "splits"), ("domain", "domains")):
        if any(row[name] for row in rows):
            table.notes.append(f"{told}: by folders of that name")
    return table


def _known_levels(row: dict[str, str], folders: Sequence[str]) -> tuple[str, ...]:
    """Folders that are named as a split or a domain fill those columns; the others remain."""
    rest = []
    for name in folders:
        split, domain = meaning(name, SPLIT_WORDS), meaning(name, DOMAIN_WORDS)
        if split and not row["split"]:
            row["split"] = split
        elif domain and not row["domain"]:
            row["domain"] = domain
        else:
            rest.append(name)
    return tuple(rest)


def _guess_levels(table: FolderTable, levels: Sequence[tuple[str, ...]], paths: Sequence[PurePosixPath]) -> None:
    depth, _ = Counter(map(len, levels)).most_common(1)[0]
    photos = Counter(levels)
    per_folder = len(levels) / len(photos)
    folders_are_products = depth >= 1 and per_folder <= PHOTOS_OF_A_PRODUCT and len(photos) > 1
    if folders_are_products:
        # A folder of one photo each says nothing that the photo does not.
        for row, names in zip(table.rows, levels, strict=True):
            row["item_id"] = ", ".join(names) or row["path"]
            row["category"] = names[0] if len(names) > 1 else ""
        table.notes.append("item_id: the photos of a folder are one product")
    else:
        for row, names in zip(table.rows, levels, strict=True):
            row["category"] = names[0] if names else ""
        _guess_by_file_name(table, levels, paths)
    if any(row["category"] for row in table.rows):
        table.notes.append("category: by the outermost folder")


def _guess_by_file_name(table: FolderTable, levels: Sequence[tuple[str, ...]], paths: Sequence[PurePosixPath]) -> None:
    """`bag_1.jpg` and `bag-back.jpg` show one product where most names of the folder are made so."""
    groups: dict[tuple[tuple[str, ...], str], list[int]] = defaultdict(list)
    for place, (names, path) in enumerate(zip(levels, paths, strict=True)):
        found = NUMBERED.match(path.stem)
        groups[names, found["item"] if found else path.stem].append(place)
    together = sum(len(places) for places in groups.values() if len(places) > 1)
    sizes = [len(places) for places in groups.values()]
    numbered = together >= len(paths) / 2 and max(sizes) <= 4 * PHOTOS_OF_A_PRODUCT
    for (names, stem), places in groups.items():
        for place in places:
            row = table.rows[place]
            row["item_id"] = ", ".join([*names, stem]) if numbered else row["path"]
    said = (
        "files that differ by a number or a view at the end are one product"
        if numbered
        else "each photo is one product"
    )
    table.notes.append(f"item_id: {said}")
