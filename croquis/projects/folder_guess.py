"""A table of a folder of photos that has none: products, categories, splits and domains by names of folders and files."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from croquis.catalog.filters import QueryError
from croquis.catalog.product import check_item_id
from croquis.formats.tables.table_cells import CellError, as_id, as_text
from croquis.projects.words import (
    ARCHIVES,
    DOMAIN_WORDS,
    OTHER_PICTURES,
    OTHER_TABLES,
    PICTURES,
    SPLIT_WORDS,
    TABLES,
    meaning,
)
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
    """Pictures at any depth, relative to the folder, in the order of their names.

    Hidden files are left out, as are the thumbnails that a Synology server keeps in `@eaDir`.
    """
    return [path for path in _files_in(folder) if path.suffix.lower() in PICTURES]


def _files_in(folder: Path) -> list[PurePosixPath]:
    found = (PurePosixPath(path.relative_to(folder).as_posix()) for path in folder.rglob("*") if path.is_file())
    return sorted(path for path in found if not any(part[0] == "." or part == "@eaDir" for part in path.parts))


def only_table(folder: Path) -> Path | None:
    """The table in a folder; where there are several, the person must say which. Hidden and lock files are none."""
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in TABLES and path.is_file())
    found = [path for path in found if not path.name.startswith((".", "~$"))]
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise RefusedError(
            f"{folder} holds several tables ({names}): name one by --table, or in place of the folder: {found[0]}"
        )
    return found[0] if found else None


def what_else(place: Path, wanted: str) -> str:
    """The refusal of a place that is neither folder nor table; says what it is and what to do.

    Args:
        wanted: what may be named.
    """
    ending = place.suffix.lower()
    if not place.exists():
        return f"{place} does not exist: name {wanted}"
    if ending in ARCHIVES:
        return f"{place} is an archive: unpack it, and name the folder"
    if ending in OTHER_TABLES:
        return f"{place} is a table that is not read: save it as 'CSV UTF-8' (one sheet, column names in its first row)"
    if ending == ".txt":
        return f"{place} is not read by its ending: name it .tsv where tabs separate its cells, else .csv"
    if ending in (*PICTURES, *OTHER_PICTURES):
        return f"{place} is a single picture: name its folder"
    return f"{place} is neither a folder nor a table: name {wanted}"


def guess_folder(folder: Path) -> FolderTable:
    """Looks at the names below a folder; no picture is opened.

    Photos whose names a table or the server cannot hold are left out and named, as are files of kinds that are not read.

    Raises:
        RefusedError: when it holds no picture.
    """
    files = _files_in(folder)
    paths = [path for path in files if path.suffix.lower() in PICTURES]
    others = Counter(path.suffix.lower() for path in files if path.suffix.lower() in OTHER_PICTURES)
    kinds = ", ".join(f"{count} {ending}" for ending, count in others.most_common())
    if not paths:
        packed = next((path for path in files if path.suffix.lower() in ARCHIVES), None)
        why = ": name the folder of the photos"
        if kinds:
            why = f", but pictures of other kinds ({kinds}): save them as JPEG"
        elif packed is not None:
            why = f", but the archive {packed}: unpack it"
        raise RefusedError(f"{folder} holds no picture ({', '.join(PICTURES)}){why}")
    rows = [dict.fromkeys(COLUMNS, "") | {"path": str(path)} for path in paths]
    table = FolderTable(rows)
    levels = [_known_levels(row, path.parts[:-1]) for row, path in zip(rows, paths, strict=True)]
    _guess_levels(table, levels, paths)
    for name, told in (("split", "splits"), ("domain", "domains")):
        if any(row[name] for row in rows):
            table.notes.append(f"{told}: by folders of that name")
    _leave_out_names(table, folder)
    if kinds:
        table.notes.append(f"left out, as they are of kinds that are not read: {kinds}; save them as JPEG")
    for path in files:
        if path.suffix.lower() in OTHER_TABLES and len(path.parts) == 1 and not path.name.startswith("~$"):
            table.notes.append(f"the table {path} is not read: save it as 'CSV UTF-8', and name that")
    return table


def _leave_out_names(table: FolderTable, folder: Path) -> None:
    """Takes out the photos whose path or product cannot stand in a table, or in an address of the server."""
    bad = [(row["path"], why) for row in table.rows if (why := _unfit(row))]
    if not bad:
        return
    left_out = {path for path, _ in bad}
    table.rows[:] = [row for row in table.rows if row["path"] not in left_out]
    path, why = bad[0]
    told = f"{len(bad)} left out because of their names, e.g. {path[:100]!r}: {why}; rename them"
    if not table.rows:
        raise RefusedError(f"{folder}: all photos are {told}")
    table.notes.append(told)


def _unfit(row: Mapping[str, str]) -> str | None:
    path = row["path"]
    try:
        path.encode()
    except UnicodeEncodeError:
        return "not UTF-8"
    if any(cell != cell.strip() for cell in row.values()):
        return "a blank at the begin or end"
    try:
        check_item_id(as_id(row["item_id"]))
        as_text(path)
    except (QueryError, CellError) as error:
        return str(error)
    return None


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
