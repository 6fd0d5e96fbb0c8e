"""Photos for a search: of a folder, of a table with whatever columns it has, or of a project's catalogue."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from croquis.catalog.product_columns import PRODUCT
from croquis.catalog.table import Catalog
from croquis.formats.errors import SourceError, in_one_line
from croquis.projects.folder_guess import guess_folder, only_table, what_else
from croquis.projects.table_guess import guess_table
from croquis.projects.words import TABLES
from croquis.refusals import RefusedError
from croquis.sources.folder import Folder, planned_rows

STANDARD_INPUT = Path("-")
Row = Mapping[str, Any]


@dataclass(frozen=True)
class FoundPhotos:
    """Photos and what is known of them.

    Attributes:
        rows: columns of the catalogue's, and `path`, which names the photo in messages.
        read: the bytes of a row's file; asked once for each row, in their order.
        notes: what was guessed, a line each.
    """

    rows: Sequence[Row]
    read: Callable[[Row], bytes]
    notes: Sequence[str] = ()


def find_photos_at(place: Path, images: Path | None) -> FoundPhotos:
    """All photos at `place`.

    Args:
        place: a folder, a table, `-` for a CSV table on standard input, or a catalogue such as `data/catalog`, of which the
            shop's photos of all splits are taken.
        images: folder of a table's photos; by default the table's own, and the current one for standard input.

    Raises:
        RefusedError: in one line with the fix.
    """
    if place.is_dir() and is_catalog(place):
        return catalog_photos(place)
    if place.is_dir() and (only := only_table(place)) is not None:
        place, images = only, images or place
    with tempfile.TemporaryDirectory() as scratch:
        written = Path(scratch) / "table.csv"
        columns: dict[str, Any] = {}
        splits: dict[str, str] = {}
        domains: dict[str, str] = {}
        named = "standard input" if place == STANDARD_INPUT else str(place)
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
            raise RefusedError(what_else(place, f"a folder of photos, a table ({', '.join(TABLES)}) or -"))
        if not place.is_dir():
            try:
                guess = guess_table(table, images)
            except RefusedError as error:
                raise RefusedError(str(error).replace(str(written), named)) from error
            columns, splits, domains, notes = guess.columns, guess.splits, guess.domains, guess.notes
            if guess.text is not None:
                written.write_text(guess.text, encoding="utf-8")
                table, named = written, f"{named} (one row per photo)"
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
            rows = planned_rows(block, 0)
        except SourceError as error:
            raise RefusedError(in_one_line(error).replace(str(written), named)) from error
    return FoundPhotos(rows, lambda row: (images / row["path"]).read_bytes(), notes)


def is_catalog(folder: Path) -> bool:
    """Whether a folder holds shards as the stage `ingest` writes them."""
    first = next(iter(sorted(folder.glob("part-*.parquet"))), None)
    return first is not None and {"image", "image_id", "role"} <= set(pq.read_schema(first).names)


def catalog_photos(folder: Path) -> FoundPhotos:
    """The shop's photos of a catalogue, those of val and test included; where it has none, all but drawings."""
    catalog = Catalog.open(folder)
    numbers = catalog.select(domain="shop")
    numbers = numbers if len(numbers) else catalog.select(domain=["consumer"])
    names = ["image_id", "item_id", "category", "view", "attributes", "bbox", "domain"]
    rows = catalog.table.select(names).take(pa.array(numbers)).to_pylist()
    for row, number in zip(rows, numbers.tolist(), strict=True):
        row["path"] = row["image_id"]
        if PRODUCT in catalog.table.column_names:
            row[PRODUCT] = catalog.table.column(PRODUCT)[number]
    files = catalog.images(numbers.tolist())
    return FoundPhotos(rows, lambda _: next(files), [f"the shop's photos of all splits of the catalogue {folder}"])
