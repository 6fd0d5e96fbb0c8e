"""The tiny bundle with columns of its products' own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from croquis.catalog.product_columns import product_type
from tests.support.tiny_retriever import tiny_parts, write_tiny_bundle

KINDS = {"title": "text", "price": "number", "brand": "text", "sale": "boolean", "link": "text"}
BRANDS = ("Acme", "Borel", "Cé'lia\"")


def columns_of(item_id: str) -> dict[str, Any]:
    """Of `item-COLOUR-NUMBER`; every fourth has no price and no brand."""
    _, colour, number = item_id.split("-")
    place = int(number) + 6 * ("red", "green", "blue").index(colour)
    columns = {
        "title": f"{colour.title()} garment {number}",
        "price": 10.0 + 2.5 * place,
        "brand": BRANDS[place % 3],
        "sale": place % 2 == 0,
        "link": f"https://shop.example/{item_id}",
    }
    if place % 4 == 3:
        del columns["price"], columns["brand"]
    return columns


def table_with_products(table: pa.Table) -> pa.Table:
    cells = [columns_of(item_id) for item_id in table.column("item_id").to_pylist()]
    return table.append_column("product", pa.array(cells, product_type(KINDS)))


def write_products_bundle(folder: Path, **changes: Any) -> Path:
    """`write_tiny_bundle` with the columns; a title in each of its cells is also where a page shows it."""
    table = tiny_parts(folder.with_name(f"{folder.name}-parts"))["gallery_table"]
    return write_tiny_bundle(folder, **{"gallery_table": table_with_products(table), **changes})
