"""Which column of a person's table is which of ours, by names, by words and by what lies in the folder of the photos."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from croquis.formats.errors import SourceError
from croquis.formats.tables.table_cells import CellError, as_box
from croquis.formats.tables.table_reader import TableRow, read_rows
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
    meaning,
    plain,
)
from croquis.refusals import RefusedError

LOOKED_AT = 200  # rows, for the column of paths
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
    """

    table: Path
    images: Path
    columns: dict[str, Any] = field(default_factory=dict)
    splits: dict[str, str] = field(default_factory=dict)
    domains: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

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
        raise RefusedError("; ".join(line.strip() for line in str(error).splitlines()[:2])) from error
    if not rows:
        raise RefusedError(f"{table} has no rows: give it a line of column names and one row per photo")
    cells = {name: [row.cells[name] for row in rows] for name in rows[0].cells}
    guess = Guess(table, images)
    _check_header(table, list(cells), images)
    left = dict(cells)
    _guess_path(guess, left, rows)
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


def _guess_path(guess: Guess, left: Mapping[str, Column], rows: Sequence[TableRow]) -> None:
    """The column that names files, by itself or within a pattern; every file must be there."""
    step = max(1, len(rows) // LOOKED_AT)
    scores = {name: _share(cells[::step], lambda cell: _is_file(guess.images, cell)) for name, cells in left.items()}
    best = max(scores, key=lambda name: scores[name])
    if scores[best] >= 0.5:
        guess.take("path", best)
        _check_files(guess, left[best])
        return
    known = _files_by_name(guess.images)
    for name, cells in left.items():
        pattern = _pattern(name, cells[::step], known)
        if pattern is not None:
            guess.take("path", pattern, "a pattern: the column in braces")
            return
    addresses = [name for name, cells in left.items() if any(str(cell).startswith("http") for cell in cells[:20])]
    if addresses:
        raise RefusedError(
            f"{guess.table}: column {addresses[0]!r} holds addresses, not files: download the photos, and name their files"
        )
    named = [name for name, cells in left.items() if _share(cells, _is_picture_name) > OFTEN]
    if named:
        raise RefusedError(
            f"{guess.table}: column {named[0]!r} names files that are not in {guess.images}, e.g. {left[named[0]][0]!r}: "
            "give their folder, or correct the names"
        )
    raise RefusedError(
        f"{guess.table}: no column names a picture in {guess.images}: add a column path with the files' names, relative "
        "to that folder"
    )


def _check_files(guess: Guess, cells: Column) -> None:
    missing = [(row, cell) for row, cell in enumerate(cells, start=2) if not _is_file(guess.images, cell)]
    if missing:
        row, cell = missing[0]
        raise RefusedError(
            f"{guess.table}: {len(missing)} of {len(cells)} rows name no file in {guess.images}, the first is row {row} "
            f"({cell!r}): put the photos there, or take the rows out"
        )


def _files_by_name(images: Path) -> dict[str, list[PurePosixPath]]:
    """Stem -> pictures of that name, relative to the folder."""
    known: dict[str, list[PurePosixPath]] = {}
    for path in images.rglob("*"):
        if path.suffix.lower() in PICTURES:
            known.setdefault(path.stem, []).append(PurePosixPath(path.relative_to(images).as_posix()))
    return known


def _pattern(name: str, cells: Column, known: Mapping[str, list[PurePosixPath]]) -> str | None:
    """`images/{id}.jpg` where nearly all cells name a file of one folder, with or without its ending."""
    shapes: Counter[str] = Counter()
    for cell in cells:
        text = str(cell)
        stem, ending = (PurePosixPath(text).stem, "") if _is_picture_name(cell) else (text, None)
        for path in known.get(stem, []):
            folder = "" if path.parent == PurePosixPath() else f"{path.parent}/"
            shapes[f"{folder}{{{name}}}{path.suffix if ending is None else ending}"] += 1
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
    if chosen is None:
        guess.columns["item_id"] = guess.columns["path"]
        guess.notes.append("item_id: no column names a product, so each photo is one")
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
        guess.take("category", chosen, f"{len(words[chosen])} categories")


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


def _is_file(images: Path, cell: Any) -> bool:
    if not isinstance(cell, str) or not cell or "\0" in cell or len(cell) > 1000:
        return False
    path = PurePosixPath(cell.replace("\\", "/"))
    return not path.is_absolute() and ".." not in path.parts and (images / path).is_file()


def _is_picture_name(cell: Any) -> bool:
    return isinstance(cell, str) and PurePosixPath(cell.replace("\\", "/")).suffix.lower() in PICTURES


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
