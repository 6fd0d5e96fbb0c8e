"""Which column of a person's table is which of ours, by names, by words and by what lies in the folder of the photos."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from croquis.formats.errors import SourceError, in_one_line
from croquis.formats.tables.table_cells import CellError, as_box
from croquis.formats.tables.table_reader import TableRow, read_rows
from croquis.projects.folder_guess import pictures_in
from croquis.projects.photo_cells import as_csv, one_row_per_photo, part_without_file, photo_columns
from croquis.projects.product_guess import own_columns
from croquis.projects.words import (
    BOX_NAMES,
    CATEGORY_NAMES,
    DOMAIN_WORDS,
    ID_NAMES,
    ITEM_NAMES,
    PICTURES,
    SPLIT_WORDS,
    VIEW_NAMES,
    categories_in_words,
    meaning,
    plain,
)
from croquis.refusals import RefusedError

LOOKED_AT = 200  # rows, for a pattern of paths
MOST_ATTRIBUTES, MOST_WORDS, LONGEST_WORD = 12, 50, 40
PART_NAMES = ("split", "partition", "fold", "domain", "role")  # of columns that say nothing of a product
OFTEN = 0.9  # share of cells that must fit for a guess
Column = list[Any]


@dataclass
class Guess:
    """What the block `ingest.folder` of params.yaml holds, with a line for each guess.

    Attributes:
        table, images: as in that block.
        columns, splits, domains: likewise.
        notes: for the person, in the order of the guesses.
        text: the table as CSV with one row per photo, where it was written otherwise; to be read in place of `table`.
    """

    table: Path
    images: Path
    columns: dict[str, Any] = field(default_factory=dict)
    splits: dict[str, str] = field(default_factory=dict)
    domains: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    text: str | None = None

    def take(self, ours: str, theirs: str, why: str = "") -> None:
        """Takes a column of the table for one of ours, and notes it; `why` is told in brackets."""
        self.columns[ours] = theirs
        self.notes.append(f"{ours}: column {theirs!r}{f' ({why})' if why else ''}")


def guess_table(table: Path, images: Path) -> Guess:
    """Looks at every row of a table; no picture is opened.

    Raises:
        RefusedError: in one line with the fix, when the table cannot be read, has no header, or names no photo.
    """
    try:
        rows = read_rows(table)
    except SourceError as error:
        raise RefusedError(in_one_line(error)) from error
    if not rows:
        raise RefusedError(f"{table} has no rows: give it a line of column names and one row per photo")
    guess = Guess(table, images)
    _check_header(table, list(rows[0].cells), images)
    rows = list(_guess_path(guess, rows))
    cells = {name: [row.cells[name] for row in rows] for name in rows[0].cells}
    left = dict(cells)
    for name in [name for name in guess.columns.values() if name in left]:
        del left[name]
    _guess_words(guess, left, "split", SPLIT_WORDS, guess.splits)
    _guess_words(guess, left, "domain", DOMAIN_WORDS, guess.domains)
    items = _guess_item(guess, left, cells)
    _guess_category(guess, left, items)
    for ours, names in (("view", VIEW_NAMES), ("image_id", ID_NAMES), ("bbox", BOX_NAMES)):
        _guess_by_name(guess, left, ours, names)
    _guess_attributes(guess, left)
    _leave_out(guess, cells, rows)
    return guess


def _check_header(table: Path, header: Sequence[str], images: Path) -> None:
    seems_a_row = [name for name in header if PurePosixPath(name).suffix.lower() in PICTURES]
    if seems_a_row:
        raise RefusedError(
            f"{table} has no header: its first row holds {seems_a_row[0]!r}; put a line of column names first, e.g. "
            "path,item_id,category"
        )
    if not images.is_dir():
        raise RefusedError(f"{images} is no folder: name the folder of the photos")


def _guess_path(guess: Guess, rows: Sequence[TableRow]) -> Sequence[TableRow]:
    """The columns that name files, or a pattern; every file must be there. Gives the rows, one per photo."""
    cells = {name: [row.cells[name] for row in rows] for name in rows[0].cells}
    if found := photo_columns(cells, guess.images):
        _check_files(guess, rows, found)
        single, notes = one_row_per_photo(rows, found, guess.images)
        guess.take("path", found[0])
        guess.notes += notes
        if notes:
            guess.text = as_csv(single)
        return single
    known = _files_by_name(guess.images)
    step = max(1, len(rows) // LOOKED_AT)
    for name, column in cells.items():
        pattern = _pattern(name, column[::step], known)
        if pattern is not None:
            guess.take("path", pattern, "a pattern: the column in braces")
            return rows
    _refuse_paths(guess, cells)
    return rows


def _refuse_paths(guess: Guess, cells: Mapping[str, Column]) -> None:
    """Says why no column names photos."""
    addresses = [name for name, column in cells.items() if _share(_given(column)[:LOOKED_AT], _is_address) > OFTEN]
    pictures = [name for name in addresses if _share(_given(cells[name])[:LOOKED_AT], _is_picture_name) > OFTEN]
    if addresses:
        raise RefusedError(
            f"{guess.table}: column {(pictures or addresses)[0]!r} holds addresses, not files: download the photos "
            f"(addresses that end as the path of a file in {guess.images} are read as it)"
            f"{_elsewhere(guess, cells[(pictures or addresses)[0]])}"
        )
    stored = [name for name, column in cells.items() if any(isinstance(cell, bytes | dict) for cell in column)]
    if stored:
        raise RefusedError(
            f"{guess.table}: column {stored[0]!r} holds the pictures themselves: write them to files, and name these"
        )
    named = [name for name, column in cells.items() if _share(_given(column), _is_picture_name) > OFTEN]
    if named:
        raise RefusedError(
            f"{guess.table}: column {named[0]!r} names files that are not in {guess.images}, e.g. "
            f"{_short(_given(cells[named[0]])[0])}: give their folder, or correct the names"
            f"{_elsewhere(guess, cells[named[0]])}"
        )
    raise RefusedError(
        f"{guess.table}: no column names a picture in {guess.images}: add a column path with the files' names, relative "
        f"to that folder (its first row, of the columns' names, is {_short(', '.join(cells))})"
    )


def _elsewhere(guess: Guess, cells: Column) -> str:
    """Where the file of the first cell is, if one of its name is below the folder of the photos, and the folder to name."""
    cell = _given(cells)[0].replace("\\", "/").removeprefix("./")
    name = PurePosixPath(urlsplit(cell).path).name
    known = _files_by_name(guess.images).get(name, [])
    if not known:
        return ""
    found = (guess.images / known[0]).resolve()
    folder = Path(str(found).removesuffix(f"/{cell}")) if str(found).endswith(f"/{cell}") else found.parent
    return f"; {name} is in {found.parent}: name {folder} as the folder of the photos"


def _check_files(guess: Guess, rows: Sequence[TableRow], names: Sequence[str]) -> None:
    missing = [
        (row.number, part)
        for row in rows
        for name in names
        if (part := part_without_file(row.cells[name], guess.images)) is not None
    ]
    if missing:
        number, cell = missing[0]
        remedy = "download the photos and name their files" if _is_address(cell) else "put the photos there"
        raise RefusedError(
            f"{guess.table}: {len({number for number, _ in missing})} of {len(rows)} rows name no file in {guess.images}, "
            f"the first is row {number} ({_short(cell)}): {remedy}, or take the rows out"
        )


def _files_by_name(images: Path) -> dict[str, list[PurePosixPath]]:
    """Name, and name without its ending -> pictures of that name, relative to the folder."""
    known: dict[str, list[PurePosixPath]] = {}
    for path in pictures_in(images):
        for name in (path.name, path.stem):
            known.setdefault(name, []).append(path)
    return known


def _pattern(name: str, cells: Column, known: Mapping[str, list[PurePosixPath]]) -> str | None:
    """`images/{id}.jpg` where nearly all cells are part of the path of a file, with or without its ending."""
    shapes: Counter[str] = Counter()
    for cell in cells:
        text = str(cell).removeprefix("./")
        for path in known.get(PurePosixPath(text).name, []):
            folder, found, ending = str(path).rpartition(text)
            if found and folder[-1:] in ("", "/") and ending in ("", path.suffix):
                shapes[f"{folder}{{{name}}}{ending}"] += 1
    if not shapes:
        return None
    pattern, count = shapes.most_common(1)[0]
    return pattern if count >= OFTEN * len(cells) else None


def _guess_words(
    guess: Guess, left: dict[str, Column], ours: str, words: Mapping[str, tuple[str, ...]], taken: dict[str, str]
) -> None:
    """A column all of whose words mean one of ours; the one of our name is looked at first."""
    for name in sorted(left, key=lambda name: plain(name) != ours):
        found = {str(cell) for cell in left[name] if cell is not None}
        means = {word: meaning(word, words) for word in sorted(found)}
        if found and all(means.values()) and (len(found) > 1 or plain(name) == ours):
            guess.take(ours, name, ", ".join(f"{word} is {mine}" for word, mine in means.items() if word != mine))
            taken.update({word: str(mine) for word, mine in means.items() if word != mine})
            del left[name]
            return
        if plain(name) == ours and found:
            unknown = ", ".join(word for word, mine in means.items() if mine is None)[:80]
            guess.notes.append(f"{ours}: column {name!r} is left out, its words are not known: {unknown}")


def _guess_item(guess: Guess, left: dict[str, Column], cells: Mapping[str, Column]) -> int | None:
    """The named column whose values repeat; else a class that photos of two domains share; else the photo itself.

    Returns:
        How many products there are; None where each photo is one.
    """
    named = [name for wanted in ITEM_NAMES for name in left if plain(name) == wanted and _filled(left[name])]
    several = [name for name in named if len(set(map(str, left[name]))) < len(left[name])]
    if not several and _domains(guess, cells) > 1:
        shared = [name for name in left if plain(name) in CATEGORY_NAMES and _filled(left[name])]
        several = sorted(shared, key=lambda name: -len(set(map(str, left[name]))))[:1]
    chosen = next(iter(several or named), None)
    partly = [name for name in left if plain(name) in ITEM_NAMES and any(cell is not None for cell in left[name])]
    if chosen is None:
        guess.columns["item_id"] = guess.columns["path"]
        why = "no column names a product"
        if partly:
            empty = sum(cell is None for cell in left[partly[0]])
            why = f"column {partly[0]!r} is empty in {empty} of {len(left[partly[0]])} rows (fill it to name products)"
        guess.notes.append(f"item_id: {why}, so each photo is one")
        return None
    count = len(set(map(str, left[chosen])))
    guess.take("item_id", chosen, f"{count} of {len(left[chosen])} photos")
    del left[chosen]
    return count


def _guess_category(guess: Guess, left: dict[str, Column], items: int | None) -> None:
    """The first named column of at most a thousand words; one that only names the products again comes last."""
    named = [name for wanted in CATEGORY_NAMES for name in left if plain(name) == wanted]
    words = {name: {str(cell) for cell in left[name] if cell is not None} for name in named}
    fits = [name for name in named if 1 <= len(words[name]) <= 1000 and len(words[name]) < max(10, len(left[name]))]
    if fits:
        chosen = next((name for name in fits if len(words[name]) != items), fits[0])
        guess.take("category", chosen, categories_in_words(len(words[chosen])))


def _guess_by_name(guess: Guess, left: dict[str, Column], ours: str, names: Sequence[str]) -> None:
    for name in [name for name in left if plain(name) in names]:
        cells = left[name]
        fits = _share(cells, _is_box) == 1 if ours == "bbox" else True
        if ours == "image_id":
            fits = len(set(map(str, cells))) == len(cells) and _filled(cells)
        if fits:
            guess.take(ours, name)
            del left[name]
            return


def _guess_attributes(guess: Guess, left: Mapping[str, Column]) -> None:
    """Columns of few short words; the category is one of them, as a class is an attribute."""
    chosen = [name for name, cells in left.items() if not _is_part(name, cells) and _is_attribute(cells)]
    labels = [guess.columns["category"]] if guess.columns.get("category") in chosen else []
    chosen = list(dict.fromkeys([*labels, *chosen]))
    if chosen:
        guess.columns["attributes"] = chosen[:MOST_ATTRIBUTES]
        guess.notes.append(f"attributes: {', '.join(chosen[:MOST_ATTRIBUTES])}")
    if len(chosen) > MOST_ATTRIBUTES:
        guess.notes.append(f"attributes left out, as there are more than {MOST_ATTRIBUTES}: {', '.join(chosen[12:])}")


def _is_part(name: str, cells: Column) -> bool:
    """Whether a column tells which part of the photos a row is in, by its name or by its words, used or not."""
    words = {str(cell) for cell in cells if cell is not None}
    told = any(all(meaning(word, known) for word in words) for known in (SPLIT_WORDS, DOMAIN_WORDS))
    return plain(name) in PART_NAMES or (len(words) > 1 and told)


def _is_attribute(cells: Column) -> bool:
    given = [cell for cell in cells if cell is not None]
    if not given or not all(isinstance(cell, str | bool) for cell in given) or any(map(_is_number, given)):
        return False
    words = {str(cell) for cell in given}
    return 2 <= len(words) <= min(MOST_WORDS, max(2, len(cells) // 4)) and max(map(len, words)) <= LONGEST_WORD


def _leave_out(guess: Guess, cells: Mapping[str, Column], rows: Sequence[TableRow]) -> None:
    """Names our columns that the table has but that hold something else, so that `folder` does not read them; what is
    left over are columns of the product."""
    ours = ("image_id", "domain", "split", "role", "category", "view", "attributes", "unknown_attributes", "bbox")
    for name in ours:
        if name in cells and name not in guess.columns and name not in ("role", "unknown_attributes"):
            guess.columns[name] = None
    used = {name for source in guess.columns.values() for name in (source if isinstance(source, list) else [source])}
    unused = [name for name in cells if name not in used and f"{{{name}}}" not in str(guess.columns.get("path"))]
    kept = [name for name in unused if name != "unknown_attributes" and not _is_part(name, cells[name])]
    kinds, notes = own_columns(rows, kept)
    guess.notes += notes
    if kinds:
        guess.columns["product"] = list(kinds)
        guess.notes.append(f"product: {', '.join(f'{name} ({kind})' for name, kind in kinds.items())}")
    left_out = [name for name in unused if name not in kinds]
    for name in left_out:  # `folder` takes a name that is like one of ours for a misspelling
        _note_like(guess, name)
    if left_out:
        guess.notes.append(f"not used: {', '.join(left_out)}")


def _note_like(guess: Guess, name: str) -> None:
    from difflib import get_close_matches

    from croquis.formats.tables.table_columns import OURS

    close = get_close_matches(name, OURS, n=1, cutoff=0.8)
    if name not in OURS and close and close[0] not in guess.columns:
        guess.columns[close[0]] = None


def _domains(guess: Guess, cells: Mapping[str, Column]) -> int:
    return len({str(cell) for cell in cells.get(guess.columns.get("domain", ""), [])})


def _share(cells: Column, fits: Any) -> float:
    return sum(map(bool, map(fits, cells))) / len(cells) if cells else 0.0


def _filled(cells: Column) -> bool:
    return all(cell is not None and not isinstance(cell, list | float) for cell in cells)


def _given(cells: Column) -> Column:
    return [cell for cell in cells if cell is not None]


def _is_address(cell: Any) -> bool:
    return isinstance(cell, str) and cell.lower().startswith(("http://", "https://", "//"))


def _is_picture_name(cell: Any) -> bool:
    text = cell.partition("?")[0] if isinstance(cell, str) else ""
    return PurePosixPath(text.replace("\\", "/")).suffix.lower() in PICTURES


def _short(cell: Any) -> str:
    text = repr(cell)
    return text if len(text) <= 120 else f"{text[:120]}..."


def _is_number(cell: Any) -> bool:
    try:
        float(cell)
    except (TypeError, ValueError):
        return False
    return not isinstance(cell, bool)


def _is_box(cell: Any) -> bool:
    try:
        as_box(cell)
    except CellError:
        return False
    return True
