"""The file of a bundle's gallery: its columns, what is checked of them, how it is written and read, and its thumbnails."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from croquis.catalog.product_columns import PRODUCT, ProductError, kinds_in
from croquis.words.text_table import text_of

ROW_GROUP = 512  # rows that are read to show one thumbnail
# Columns of few words, and of lists of them: each word is kept once, and a number for each row.
FEW_WORDS = ("category", "domain", "split", "role", "view", "attributes", "predicted_attributes")
OF_LISTS = ("attributes", "predicted_attributes")

Cells = Callable[[], list[bytes | None]]

GALLERY_SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("item_id", pa.string(), nullable=False),
        pa.field("category", pa.string(), nullable=False),
        pa.field("domain", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("role", pa.string(), nullable=False),
        pa.field("view", pa.string()),
        pa.field("attributes", pa.list_(pa.string()), nullable=False),
        pa.field("predicted_attributes", pa.list_(pa.string()), nullable=False),
        pa.field("thumbnail", pa.binary(), nullable=False),
    ]
)
PROBABILITIES = pa.field("attribute_probabilities", pa.binary())
"""May follow the columns of `GALLERY_SCHEMA`: for each image a byte per attribute of the bundle's classifier, in its order,
in steps of 1 / 255 (`croquis.rerank.overlap.to_bytes`); null where they were not computed."""
OPTIONAL = (PROBABILITIES.name, PRODUCT)
"""May follow, the latter being the product's own columns (`croquis.catalog.product_columns`); null where it has none."""
METADATA = pa.schema([field for field in GALLERY_SCHEMA if field.name != "thumbnail"])


class ItemsError(ValueError):
    """A table is not the gallery of a bundle."""


def check_gallery(table: pa.Table) -> pa.Table:
    """`table` with the columns of `GALLERY_SCHEMA` in its order, and those of `OPTIONAL` that it has.

    Raises:
        ItemsError: when a column is missing, unknown, of another type or null, or the image ids do not ascend.
    """
    schema = GALLERY_SCHEMA.append(PROBABILITIES) if PROBABILITIES.name in table.column_names else GALLERY_SCHEMA
    if PRODUCT in table.column_names:
        schema = schema.append(table.schema.field(PRODUCT))
        _check_product(table.schema)
    if sorted(table.column_names) != sorted(schema.names):
        raise ItemsError(f"the gallery has the columns {table.column_names}, needs {GALLERY_SCHEMA.names}")
    try:
        table = table.select(schema.names).cast(schema)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError) as error:
        raise ItemsError(f"the gallery does not fit its schema: {error}") from error
    check_rows(table)
    return table


def check_rows(table: pa.Table) -> None:
    """Refuses nulls where the schema has none, and image ids that do not ascend, by an ItemsError."""
    columns = {field.name: table.column(field.name) for field in table.schema if not field.nullable}
    nulls = [name for name, column in columns.items() if column.null_count or _has_null_words(column)]
    if nulls:
        raise ItemsError(f"the gallery's columns {nulls} hold nulls")
    ids = table.column("image_id")
    if pc.any(pc.greater_equal(ids.slice(0, max(0, len(ids) - 1)), ids.slice(1))).as_py():
        raise ItemsError("the gallery must be in ascending order of image_id, each once")


def _check_product(schema: pa.Schema) -> None:
    if PRODUCT in schema.names:
        try:
            kinds_in(schema.field(PRODUCT).type)
        except ProductError as error:
            raise ItemsError(f"the gallery: {error}") from error


def _has_null_words(column: pa.ChunkedArray) -> bool:
    return pa.types.is_list(column.type) and bool(pc.list_flatten(column).null_count)


def check_layout(file: pq.ParquetFile) -> None:
    """Refuses another schema than that of a gallery, and groups of rows in which `ThumbnailFile` finds nothing.

    Raises:
        ItemsError: naming the columns or the sizes.
    """
    found = file.schema_arrow.remove_metadata()
    own = pa.schema([found.field(name) for name in found.names if name not in OPTIONAL])
    _check_product(found)
    if not own.equals(GALLERY_SCHEMA):
        raise ItemsError(f"the gallery has the columns {found.names} of types {found.types}, needs {GALLERY_SCHEMA}")
    sizes = [file.metadata.row_group(group).num_rows for group in range(file.metadata.num_row_groups)]
    if any(size != ROW_GROUP for size in sizes[:-1]) or any(size > ROW_GROUP for size in sizes):
        raise ItemsError(f"the gallery's rows stand in groups of {sizes[:10]}, must be {ROW_GROUP}")


def write_gallery(path: Path, table: pa.Table) -> None:
    """Writes the gallery so that one thumbnail can be read without the others."""
    pq.write_table(check_gallery(table), path, compression="zstd", row_group_size=ROW_GROUP)


def gallery_texts(table: pa.Table) -> Iterator[str]:
    """What words can find of each row of a gallery."""
    columns = ["category", "attributes", *(name for name in table.column_names if name == PRODUCT)]
    for batch in table.select(columns).to_batches(ROW_GROUP):
        for row in batch.to_pylist():
            yield text_of(row["category"], row["attributes"], row.get(PRODUCT) or {})


def read_metadata(path: str | Path) -> pa.Table:
    """Every column but the thumbnails and `PROBABILITIES`, the product's own columns included.

    Raises:
        ItemsError: when `write_gallery` did not write the file.
    """
    try:
        with pq.ParquetFile(path) as file:
            check_layout(file)
            names = [*METADATA.names, *(name for name in file.schema_arrow.names if name == PRODUCT)]
        words = [f"{name}.list.element" if name in OF_LISTS else name for name in FEW_WORDS]
        table = pq.read_table(path, columns=names, read_dictionary=words)
        table.validate(full=True)  # a string of Parquet may hold what is no UTF-8
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise ItemsError(f"{path} is not the gallery of a bundle: {error}") from error
    check_rows(table)
    return table


def read_cells(path: str | Path) -> Cells | None:
    """Reads the column `PROBABILITIES` when called; None where the gallery has none."""
    if PROBABILITIES.name not in pq.read_schema(path).names:
        return None

    def cells() -> list[bytes | None]:
        found: list[bytes | None] = pq.read_table(path, columns=[PROBABILITIES.name]).column(0).to_pylist()
        return found

    return cells


class ThumbnailFile:
    """Row number -> JPEG, of what `write_gallery` wrote; safe to use from several threads."""

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._lock = threading.Lock()
        self._groups = lru_cache(maxsize=16)(self._read)

    def __call__(self, row: int) -> bytes:
        """The JPEG of a row."""
        return self._groups(row // ROW_GROUP)[row % ROW_GROUP]

    def _read(self, group: int) -> list[bytes]:
        with self._lock, pq.ParquetFile(self._path) as file:
            thumbnails: list[bytes] = file.read_row_group(group, columns=["thumbnail"]).column("thumbnail").to_pylist()
        return thumbnails
