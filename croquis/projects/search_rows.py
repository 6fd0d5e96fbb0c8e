"""Rows of a person's photos for a search: of a folder, or of a table with whatever columns it has."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from croquis.formats.errors import SourceError
from croquis.projects.folder_guess import guess_folder, only_table
from croquis.projects.table_guess import guess_table
from croquis.projects.words import TABLES
from croquis.refusals import RefusedError
from croquis.sources.folder import Folder, planned_rows

STANDARD_INPUT = Path("-")


def photo_rows(place: Path, images: Path | None) -> tuple[list[dict[str, Any]], Path, list[str]]:
    """Rows as `croquis.sources.folder.planned_rows` gives them, the folder of the photos, and what was guessed.

    Args:
        place: a folder, a table, or `-` for a CSV table on standard input.
        images: folder of a table's photos; by default the table's own, and the current one for standard input.

    Raises:
        RefusedError: in one line with the fix.
    """
    if place.is_dir() and (only := only_table(place)) is not None:
        place, images = only, images or place
    with tempfile.TemporaryDirectory() as scratch:
        written = Path(scratch) / "table.csv"
        columns: dict[str, Any] = {}
        splits: dict[str, str] = {}
        domains: dict[str, str] = {}
        if place == STANDARD_INPUT:
            written.write_bytes(sys.stdin.buffer.read())
            table, images = written, images or Path()
        elif place.is_file() and place.suffix.lower() in TABLES:
            table, images = place, images or place.parent
        elif place.is_dir():
            made = guess_folder(place)
            written.write_text(made.csv(), encoding="utf-8")
            table, images, notes = written, place, made.notes
        else:
            raise RefusedError(f"{place} does not exist: name a folder of photos, a table ({', '.join(TABLES)}) or -")
        if not place.is_dir():
            guess = guess_table(table, images)
            columns, splits, domains, notes = guess.columns, guess.splits, guess.domains, guess.notes
        block = Folder.model_validate(
            {
                "table": str(table),
                "images": str(images),
                "columns": columns,
                "splits": splits,
                "domains": domains,
                "roles": "queries",
                "share": 1.0,
                "val_share": 0.0,
                "test_share": 0.0,
            }
        )
        try:
            return planned_rows(block, 0), images, notes
        except SourceError as error:
            raise RefusedError("; ".join(line.strip() for line in str(error).splitlines()[:2])) from error
