"""Which files a table's cells name, in the ways that shops' exports write them, and such a table with one row per photo."""

from __future__ import annotations

import ast
import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from croquis.formats.tables.table_reader import TableRow
from croquis.projects.words import BOX_NAMES, ID_NAMES, ITEM_NAMES, VIEW_NAMES, plain

LOOKED_AT = 200  # cells of a column
SEPARATORS = ("\n", "|", ";", ",")  # between photos of one cell
LONGEST_PATH = 2000
OWN = (*ID_NAMES, *VIEW_NAMES, *BOX_NAMES, "split", "role", "domain")  # of a photo, not of its product


def photo_at(text: str, images: Path) -> str | None:
    """The file below `images` that a text names, relative to it; None where there is none.

    Of an absolute path, or an address (http, https, file), the longest end counts that is a file there. `%20` and the like
    are decoded, backslashes separate folders, and the case of the ending does not count.
    """
    if not text or "\0" in text or len(text) > LONGEST_PATH:
        return None
    return next((path for path in _readings(text.replace("\\", "/")) if _is_inside(path, images)), None)


def _readings(text: str) -> Iterator[str]:
    yield from _with_endings(text)
    drive = len(text) > 1 and text[1] == ":"
    if "://" in text:
        try:
            text = urlsplit(text).path
        except ValueError:
            return
    elif not text.startswith("/") and not drive:
        if "%" in text:
            yield from _with_endings(unquote(text))
        return
    parts = [part for part in unquote(text).split("/") if part]
    for first in range(len(parts)):
        yield from _with_endings("/".join(parts[first:]))


def _with_endings(text: str) -> Iterator[str]:
    yield text
    ending = PurePosixPath(text).suffix
    for other in (ending.lower(), ending.upper()):
        if other != ending and text.endswith(ending):
            yield text[: -len(ending)] + other


def _is_inside(text: str, images: Path) -> bool:
    path = PurePosixPath(text)
    if path.is_absolute() or ".." in path.parts:
        return False
    try:
        return (images / path).is_file()
    except OSError:  # e.g. a text that is too long for a name
        return False


def photos_in(cell: Any, images: Path) -> list[str] | None:
    """The files that a cell names, each once: one, a list, or several in a text; None where a part is no file.

    In a text a list in brackets, or names with a line break, `|`, `;` or `,` between them.
    """
    named = _looked_up(cell, images)
    paths = [path for _, path in named if path is not None]
    return list(dict.fromkeys(paths)) if len(paths) == len(named) else None


def part_without_file(cell: Any, images: Path) -> Any:
    """The first part of a cell that names no file; None where all do."""
    return next((part for part, path in _looked_up(cell, images) if path is None), None)


def _looked_up(cell: Any, images: Path) -> list[tuple[Any, str | None]]:
    if cell is None:
        return []
    parts = _parts(cell, images) if isinstance(cell, str | list) else [cell]
    return [(part, photo_at(part, images) if isinstance(part, str) else None) for part in parts]


def _parts(cell: str | list[Any], images: Path) -> Sequence[Any]:
    if isinstance(cell, list):
        return cell
    if cell.startswith("[") and cell.endswith("]"):
        try:
            listed = ast.literal_eval(cell)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            listed = None
        if isinstance(listed, list):
            return listed
    if photo_at(cell, images) is None:
        for separator in SEPARATORS:
            parts = [part.strip() for part in cell.split(separator) if part.strip()]
            if len(parts) > 1 and photo_at(parts[0], images) is not None:
                return parts
    return [cell]


def photo_columns(cells: Mapping[str, Sequence[Any]], images: Path) -> list[str]:
    """Columns at least half of whose cells name files, empty ones left aside, the one of the most rows first.

    A further column counts only where its photos repeat little more than those of the first: a brand's logo does not.
    """
    found: dict[str, tuple[int, float]] = {}
    for name, column in cells.items():
        given = [cell for cell in column if cell is not None]
        looked_at = given[:: max(1, len(given) // LOOKED_AT)]
        if looked_at and sum(_names_a_file(cell, images) for cell in looked_at) >= len(looked_at) / 2:
            found[name] = (len(given), len(set(map(str, given))) / len(given))
    if not found:
        return []
    main = max(found, key=lambda name: found[name][0])
    more = [name for name in found if name != main and found[name][1] >= found[main][1] / 2]
    return [main, *more]


def _names_a_file(cell: Any, images: Path) -> bool:
    return any(path is not None for _, path in _looked_up(cell, images))


def one_row_per_photo(
    rows: Sequence[TableRow], columns: Sequence[str], images: Path
) -> tuple[list[TableRow], list[str]]:
    """The table's rows with one photo each, its path in the first of `columns`, the others left out; and notes.

    Rows without a photo, and those whose photos earlier rows name, are left out: sizes of a product. A row with at
    most half as many cells as the first row of its product takes the others from it, but what is of a photo. Where all rows
    have one photo each, by its path, they come back as they are, without notes.

    Args:
        columns: that name photos (`photo_columns`); all of their cells must.
    """
    main, *more = columns
    photos = {row.number: _photos_of(row, columns, images) for row in rows}
    kept_apart = any(plain(name) in (*ID_NAMES, *BOX_NAMES) for name in rows[0].cells)
    unnamed = {name: None for name in rows[0].cells if plain(name) in ID_NAMES}  # an image_id is one photo's
    whole, continued = _continued(rows, columns)
    named = any(plain(name) in ITEM_NAMES and name not in columns and _filled(rows, name) for name in rows[0].cells)
    several = sum(len(paths) > 1 for paths in photos.values())
    found: list[TableRow] = []
    seen: dict[str, int] = {}
    repeated: list[tuple[int, str]] = []
    for row in whole:
        paths = [path for path in photos[row.number] if kept_apart or path not in seen]
        if photos[row.number] and not paths:
            repeated.append((row.number, photos[row.number][0]))
        seen |= dict.fromkeys(paths, row.number)
        rest = {name: cell for name, cell in row.cells.items() if name not in more}
        rest |= {"item_id": paths[0]} if several and paths and not named else {}
        found += [
            TableRow(row.number, rest | {main: path} | (unnamed if place else {})) for place, path in enumerate(paths)
        ]
    notes = [f"path: columns {', '.join(map(repr, columns))}"] if more else []
    if several:
        notes.append(f"path: {several} row(s) name several photos, which are of one product")
    if without := sum(not paths for paths in photos.values()):
        notes.append(f"path: {without} row(s) name no photo and are left out")
    if repeated:
        number, path = repeated[0]
        notes.append(
            f"path: {len(repeated)} row(s) name only photos of earlier rows and are left out: the first is row {number}, "
            f"{path!r} as row {seen[path]}"
        )
    if continued:
        notes.append(
            f"{continued} row(s) hold little but a photo: their empty cells are those of the product's first row"
        )
    single = [(row, paths[0]) for row in rows if len(paths := photos[row.number]) == 1 and not more]
    other = [(row.cells[main], path) for row, path in single if _written(row.cells[main]) not in ("", path)]
    if other:
        notes.append(
            f"path: {len(other)} cell(s) are read as files of {images}: {str(other[0][0])[:200]!r} as {other[0][1]!r}"
        )
    unchanged = not notes and all(_written(row.cells[main]) for row in rows)
    return (list(rows), []) if unchanged else (found, notes)


def _written(cell: Any) -> str:
    """As the source `folder` reads it."""
    return str(PurePosixPath(cell.replace("\\", "/"))) if isinstance(cell, str) else ""


def _photos_of(row: TableRow, columns: Sequence[str], images: Path) -> list[str]:
    paths = (path for name in columns for path in photos_in(row.cells[name], images) or [])
    return list(dict.fromkeys(str(PurePosixPath(path)) for path in paths))


def _continued(rows: Sequence[TableRow], photo_names: Sequence[str]) -> tuple[list[TableRow], int]:
    """The rows, those that say little but their photo filled from the first row of their product, and how many."""
    cells = rows[0].cells
    named = [name for wanted in ITEM_NAMES for name in cells if plain(name) == wanted and name not in photo_names]
    values = {name: [row.cells[name] for row in rows] for name in named}
    item = next(
        (name for name in named if None not in values[name] and len(set(map(str, values[name]))) < len(rows)), None
    )
    own = {name for name in cells if name in photo_names or plain(name) in OWN or name == item}
    told = [name for name in cells if name not in own]
    first: dict[str, TableRow] = {}
    found: list[TableRow] = []
    continued = 0
    for row in rows:
        head = first.setdefault(str(row.cells[item]), row) if item is not None else row
        filled = {name: row.cells[name] for name in told if row.cells[name] is not None}
        most = {name: head.cells[name] for name in told if head.cells[name] is not None}
        if head is not row and 2 * len(filled) <= len(most) and not most.keys() <= filled.keys():
            continued += 1
            found.append(TableRow(row.number, row.cells | most | filled))
        else:
            found.append(row)
    return found, continued


def _filled(rows: Sequence[TableRow], name: str) -> bool:
    return all(row.cells[name] is not None for row in rows)


def as_csv(rows: Sequence[TableRow]) -> str:
    """Rows as CSV with a header, of texts as the source `folder` reads them; labels of a list have `|` between them."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL).writerow(rows[0].cells)
    writer.writerows([_text(cell) for cell in row.cells.values()] for row in rows)
    return text.getvalue()


def _text(cell: Any) -> str:
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, list):
        return "|".join(map(_text, cell))
    return "" if cell is None else str(cell)
