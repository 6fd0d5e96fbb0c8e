"""A CSV or Parquet table that points at image files.

Columns: `path` (relative to `ingest.folder.images`) and `item_id` are required; any other catalogue column may be
given. A table with other names is read by `ingest.folder.columns`, other words for splits and domains by `splits` and
`domains` (see `croquis.formats.tables.table_columns`). An empty cell counts as missing, and what is missing gets a default:

- `image_id`: the path. `domain`: `shop`. `category`: `unknown`. `view`, `bbox`: null. `attributes`: none.
- `unknown_attributes`: null. Labels that are not annotated for the image; none may stand in `attributes` too.
- `split`: the split that another row of the item names, otherwise a seeded hash of the item (`val_share`,
  `test_share`). Where the whole table names no val (or no test) rows, train items are moved there by the same hash.
- `role`: `train` in the train split. In val and test the first shop photo of an item, by path, is `gallery`; all
  others, consumer photos and sketches included, are `query`. With `roles: queries` all are `query`. With `roles: views`
  all shop photos are `gallery`, and each gets an altered copy (`croquis.formats.tables.altered_view`) of domain `consumer`
  and of its item, which is `query`, or `train` in the train split.

`attributes` and `unknown_attributes` are lists or text with `|` between labels; `bbox` a list or the text `x1 y1 x2 y2`,
pixels. Columns that are not used are ignored, unless they look like a misspelling of ours; those of
`ingest.folder.columns.product` are kept as the product's own (`croquis.catalog.product_columns`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, field_validator

from croquis.catalog.filters import QueryError
from croquis.catalog.product import check_item_id
from croquis.catalog.product_columns import PRODUCT, kinds_in
from croquis.catalog.table import DOMAINS, ROLES, SPLITS
from croquis.formats.errors import SourceError, refuse
from croquis.formats.tables.altered_view import altered_view
from croquis.formats.tables.product_cells import product_kinds, product_scalars
from croquis.formats.tables.table_cells import CellError, as_box, as_id, as_labels, as_text, as_word
from croquis.formats.tables.table_columns import ALL, Columns, TableColumn
from croquis.formats.tables.table_reader import TableRow, read_rows
from croquis.formats.tables.table_splits import fill_roles, fill_splits, keep_share, role_problems
from croquis.params.block import Block, OneOf
from croquis.sources import Source

Value = TypeVar("Value")
VIEWS = "views"
COPY = "~view"  # what the image_id of an altered copy ends with


class Folder(Block):
    """A CSV or Parquet table that points at image files."""

    table: str
    images: str = Field(description="folder that the table's `path` column is relative to")
    columns: dict[TableColumn, str | list[str] | None] = Field(
        description="where the table has other names than ours: a column of the table, a pattern such as "
        "`images/{id}.jpg` with columns in braces, a list of columns (attributes and product only), or null to leave ours "
        "out; `product: [title, price]`, or `product: all` for those that are not used otherwise, are kept as they are"
    )
    splits: dict[str, Annotated[str, OneOf(SPLITS)]] = Field(
        description="what the table's words for splits mean, e.g. `validation: val`"
    )
    domains: dict[str, Annotated[str, OneOf(DOMAINS)]] = Field(
        description="what the table's words for domains mean, e.g. `street: consumer`"
    )
    roles: Literal["by_item", "queries", "views"] = Field(
        description="rows of val and test without a role: one shop photo per item is the gallery, or all are queries; "
        "views: all are the gallery and altered copies of them the queries, where nothing else tells a right answer"
    )
    share: float = Field(gt=0.0, le=1.0, description="part of the items that is read, chosen by a hash; 1 for all")
    val_share: float = Field(ge=0.0, lt=0.5, description="share of items for val where the table names no val rows")
    test_share: float = Field(ge=0.0, lt=0.5, description="share of items for test where the table names no test rows")

    @field_validator("columns")
    @classmethod
    def only_attributes_are_many(cls, columns: dict[str, Any]) -> dict[str, Any]:
        for name, source in columns.items():
            if isinstance(source, list) and (name not in ("attributes", PRODUCT) or not source):
                raise ValueError(
                    f"{name} cannot be the list {source}; only attributes and product take one or more columns"
                )
            if name == PRODUCT and isinstance(source, str) and source != ALL:
                raise ValueError(f"product cannot be {source!r}; write a list of columns, or {ALL}")
            if source is None and name in ("path", "item_id"):
                raise ValueError(f"{name} cannot be null, every row needs it")
        return columns


def rows(block: Folder, seed: int) -> Iterator[dict[str, Any]]:
    """Catalogue rows in the table's order; image bytes are read one at a time.

    Raises:
        SourceError: before any image is read, as `planned_rows`.
    """
    planned = planned_rows(block, seed)
    if planned and PRODUCT in planned[0]:
        kinds = kinds_in(planned[0][PRODUCT].type)
        print(f"{block.table}: product columns {', '.join(f'{name} ({kind})' for name, kind in kinds.items())}")
    return _with_images(planned, Path(block.images))


def planned_rows(block: Folder, seed: int) -> list[dict[str, Any]]:
    """Catalogue rows without their images, each with its `path` and its `number` in the table; no image is read.

    Raises:
        SourceError: naming table, row (the header is row 1), column and fix.
    """
    table = Path(block.table)
    read = read_rows(table)
    if not read:
        raise SourceError(f"{table} has no rows; it needs a header and one row per image")
    columns = Columns(block.columns, list(read[0].cells), str(table))
    parsed = _parse_all(block, columns, read)
    if columns.product:
        _add_products(str(table), parsed, read, columns.product)
    planned = keep_share(parsed, block.share, seed)
    fill_splits(planned, {"val": block.val_share, "test": block.test_share}, seed)
    if block.roles == VIEWS:
        planned = [each for row in planned for each in _with_view(row, seed)]
    fill_roles(planned, by_item=block.roles == "by_item")
    refuse(str(table), role_problems(planned))
    return planned


def _add_products(table: str, parsed: Sequence[dict[str, Any]], read: Sequence[TableRow], names: Sequence[str]) -> None:
    """Gives each row its column `product`."""
    found = product_scalars(table, read, product_kinds(table, read, names))
    for row in parsed:
        row[PRODUCT] = found[row["number"]]


def is_view(image_id: str) -> bool:
    """Whether an image is an altered copy of another."""
    return image_id.endswith(COPY)


def _with_view(row: dict[str, Any], seed: int) -> Iterator[dict[str, Any]]:
    """The row, and for a shop photo the row of its altered copy; `alter` says what the copy is made by."""
    if row["domain"] != "shop":
        yield row
        return
    trained = row["split"] == "train"
    name = row["image_id"]
    copy = {"image_id": f"{name}{COPY}", "domain": "consumer", "role": "train" if trained else "query", "bbox": None}
    yield {**row, "role": row["role"] or (None if trained else "gallery")}
    yield {**row, **copy, "alter": (f"{seed}/{name}", row["bbox"])}


def _with_images(planned: Sequence[dict[str, Any]], images: Path) -> Iterator[dict[str, Any]]:
    for row in planned:
        content = {name: value for name, value in row.items() if name not in ("path", "number", "alter")}
        image = (images / row["path"]).read_bytes()
        yield {**content, "image": altered_view(image, *row["alter"]) if "alter" in row else image}


def _parse_all(block: Folder, columns: Columns, read: Sequence[TableRow]) -> list[dict[str, Any]]:
    planned: list[dict[str, Any]] = []
    problems: list[str] = []
    first_with: dict[str, int] = {}
    for row in read:
        try:
            parsed = {"number": row.number, **_parse(columns.of(row.cells), block)}
            if parsed["image_id"] in first_with:
                where = f"row {first_with[parsed['image_id']]}"
                raise CellError(f"column image_id: {parsed['image_id']!r} is also that of {where}; ids must be unique")
        except CellError as error:
            problems.append(f"row {row.number}, {error}")
            continue
        first_with[parsed["image_id"]] = row.number
        planned.append(parsed)
    refuse(str(block.table), problems)
    return planned


def _parse(cells: Mapping[str, Any], block: Folder) -> dict[str, Any]:
    path = _image_path(_read("path", cells, as_text), Path(block.images))
    held, unknown = (_read(name, cells, as_labels) for name in ("attributes", "unknown_attributes"))
    if both := [label for label in unknown if label in held]:
        raise CellError(f"column unknown_attributes: {both[0]!r} stands in attributes too; take it out of one of them")
    return {
        "path": path,
        "image_id": _read("image_id", cells, as_id) or path,
        "item_id": _read("item_id", cells, _item_id),
        "domain": _choice(cells, "domain", DOMAINS, block.domains) or "shop",
        "split": _choice(cells, "split", SPLITS, block.splits),
        "role": _choice(cells, "role", ROLES, {}),
        "category": _read("category", cells, as_word) or "unknown",
        "view": _read("view", cells, as_word),
        "attributes": held,
        "unknown_attributes": unknown or None,
        "bbox": _read("bbox", cells, as_box),
    }


def _read(name: str, cells: Mapping[str, Any], as_type: Callable[[Any], Value]) -> Value:
    try:
        return as_type(cells.get(name))
    except CellError as error:
        raise CellError(f"column {name}: {error}") from error


def _item_id(value: Any) -> str:
    item_id = as_id(value)
    if item_id is None:
        raise CellError("empty; every image needs the item that it shows")
    try:
        return check_item_id(item_id)  # as the server does, where an item is fetched and deleted by it
    except QueryError as error:
        raise CellError(str(error)) from error


def _image_path(value: str | None, images: Path) -> str:
    if value is None:
        raise CellError("column path: empty; name the image file")
    path = PurePosixPath(value.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts:
        raise CellError(f"column path: {value!r} leaves the folder {images}; paths must be relative to it")
    if not (images / path).is_file():
        raise CellError(f"column path: the file {images / path} does not exist; correct it or ingest.folder.images")
    return str(path)


def _choice(cells: Mapping[str, Any], name: str, allowed: Sequence[str], words: Mapping[str, str]) -> str | None:
    """The cell as one of our words; `words` translates those of the table."""
    value = _read(name, cells, as_text)
    if value is None:
        return None
    word = words.get(value, value)
    if word not in allowed:
        hint = "" if name == "role" else f"; say which it is in ingest.folder.{name}s"
        raise CellError(f"column {name}: {value!r} is none of {', '.join(allowed)}{hint}")
    return word


SOURCE = Source(params=Folder, rows=rows)
