"""A CSV or Parquet table that points at image files.

Columns: `path` (relative to `ingest.folder.images`) and `item_id` are required; any other catalogue column may be
given. An empty cell counts as missing, and what is missing gets a default:

- `image_id`: the path. `domain`: `shop`. `category`: `unknown`. `view`, `bbox`: null. `attributes`: none.
- `split`: the split that another row of the item names, otherwise a seeded hash of the item (`val_share`,
  `test_share`).
- `role`: `train` in the train split. In val and test the first shop photo of an item, by path, is `gallery`; all
  others, consumer photos and sketches included, are `query`.

`attributes` is a list or text with `|` between labels; `bbox` a list or the text `x1 y1 x2 y2`, pixels. Columns with
other names are ignored, unless they look like a misspelling of ours.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from params.data import Folder
from retrieval.catalog import DOMAINS, ROLES, SPLITS
from sources.errors import SourceError, refuse
from sources.splits import split_of
from sources.tables import TableRow, read_rows

CHOICES = {"domain": DOMAINS, "split": SPLITS, "role": ROLES}
COLUMNS = ("path", "image_id", "item_id", "domain", "split", "role", "category", "view", "attributes", "bbox")


class CellError(ValueError):
    """One cell cannot be read; becomes a line of the SourceError that lists them all."""


def rows(block: Folder, seed: int) -> Iterator[dict[str, Any]]:
    """Catalogue rows in the table's order; image bytes are read one at a time.

    Raises:
        SourceError: before any image is read, naming table, row (the header is row 1), column and remedy.
    """
    table, images = Path(block.table), Path(block.images)
    read = read_rows(table)
    _check_columns(table, read[0].cells if read else {})
    planned = _parse_all(table, images, read)
    _fill_splits(planned, block, seed)
    _fill_roles(planned)
    _check_roles(table, planned)
    return _with_images(planned, images)


def _with_images(planned: Sequence[dict[str, Any]], images: Path) -> Iterator[dict[str, Any]]:
    for row in planned:
        content = {name: value for name, value in row.items() if name not in ("path", "number")}
        yield {**content, "image": (images / row["path"]).read_bytes()}


def _check_columns(table: Path, cells: dict[str, Any]) -> None:
    if not cells:
        raise SourceError(f"{table} has no rows; it needs a header and one row per image")
    missing = [name for name in ("path", "item_id") if name not in cells]
    if missing:
        raise SourceError(f"{table} lacks the column(s) {missing}; it has {list(cells)}. Add them or rename yours")
    for name in cells:
        close = difflib.get_close_matches(name, COLUMNS, n=1, cutoff=0.8)
        if name not in COLUMNS and close and close[0] not in cells:
            raise SourceError(
                f"{table}: unknown column {name!r} looks like {close[0]!r}; mend its spelling or rename it"
            )


def _parse_all(table: Path, images: Path, read: Sequence[TableRow]) -> list[dict[str, Any]]:
    planned: list[dict[str, Any]] = []
    problems: list[str] = []
    first_with: dict[str, int] = {}
    for row in read:
        try:
            parsed = _parse(row, images)
            if parsed["image_id"] in first_with:
                where = f"row {first_with[parsed['image_id']]}"
                raise CellError(f"column image_id: {parsed['image_id']!r} is also that of {where}; ids must be unique")
        except CellError as error:
            problems.append(f"row {row.number}, {error}")
            continue
        first_with[parsed["image_id"]] = row.number
        planned.append(parsed)
    refuse(str(table), problems)
    return planned


def _parse(row: TableRow, images: Path) -> dict[str, Any]:
    cells = row.cells
    path = _image_path(cells.get("path"), images)
    if cells.get("item_id") is None:
        raise CellError("column item_id: empty; every image needs the item that it shows")
    return {
        "number": row.number,
        "path": path,
        "image_id": str(cells.get("image_id") or path),
        "item_id": str(cells["item_id"]),
        "domain": _choice(cells, "domain") or "shop",
        "split": _choice(cells, "split"),
        "role": _choice(cells, "role"),
        "category": str(cells.get("category") or "unknown"),
        "view": None if cells.get("view") is None else str(cells["view"]),
        "attributes": _labels(cells.get("attributes")),
        "bbox": _box(cells.get("bbox")),
    }


def _image_path(value: Any, images: Path) -> str:
    if value is None:
        raise CellError("column path: empty; name the image file")
    path = PurePosixPath(str(value).replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts:
        raise CellError(f"column path: {value!r} leaves the folder {images}; paths must be relative to it")
    if not (images / path).is_file():
        raise CellError(f"column path: the file {images / path} does not exist; mend the path or ingest.folder.images")
    return str(path)


def _choice(cells: dict[str, Any], name: str) -> str | None:
    value = cells.get(name)
    if value is not None and value not in CHOICES[name]:
        raise CellError(f"column {name}: {value!r} is none of {', '.join(CHOICES[name])}")
    return value


def _labels(value: Any) -> list[str]:
    parts = value.split("|") if isinstance(value, str) else list(value or [])
    return list(dict.fromkeys(label for part in parts if (label := str(part).strip())))


def _box(value: Any) -> list[int] | None:
    if value is None:
        return None
    parts = value.replace(",", " ").split() if isinstance(value, str) else list(value)
    try:
        box = [round(float(part)) for part in parts]
    except (TypeError, ValueError, OverflowError):
        box = []
    if len(box) != 4:
        raise CellError(f"column bbox: {value!r} is not four numbers 'x1 y1 x2 y2' in pixels")
    return box


def _fill_splits(planned: Sequence[dict[str, Any]], block: Folder, seed: int) -> None:
    named = {row["item_id"]: row["split"] for row in reversed(planned) if row["split"]}
    for row in planned:
        item = row["item_id"]
        row["split"] = row["split"] or named.get(item) or split_of(item, seed, block.val_share, block.test_share)


def _fill_roles(planned: Sequence[dict[str, Any]]) -> None:
    has_gallery = {(row["item_id"], row["split"]) for row in planned if row["role"] == "gallery"}
    for row in sorted(planned, key=lambda row: str(row["path"])):
        if row["role"]:
            continue
        key = (row["item_id"], row["split"])
        if row["split"] == "train":
            row["role"] = "train"
        elif row["domain"] == "shop" and key not in has_gallery:
            has_gallery.add(key)
            row["role"] = "gallery"
        else:
            row["role"] = "query"


def _check_roles(table: Path, planned: Sequence[dict[str, Any]]) -> None:
    refuse(
        str(table),
        [
            f"row {row['number']}, column role: {row['role']!r} does not fit split {row['split']!r}; "
            "rows of the train split have role train, rows of val and test query or gallery"
            for row in planned
            if (row["role"] == "train") != (row["split"] == "train")
        ],
    )
