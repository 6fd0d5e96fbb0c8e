"""Rows of all methods in one list, for a plot that compares them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Row = Mapping[str, Any]
NAMED = ("pair", "path", "split")  # columns that become the words of `measured`


def joined_rows(tables: Iterable[Iterable[Row]]) -> list[dict[str, Any]]:
    """The rows of each method's table, one table after the other, with `measured` in place of pair, path and split.

    Args:
        tables: as `hit_rows` and `category_rows` in `croquis.figures.curves` make them.
    """
    return [
        {"measured": measured(row)} | {name: value for name, value in row.items() if name not in NAMED}
        for table in tables
        for row in table
    ]


def measured(row: Row) -> str:
    """What a row measures, in words; the path of a photo query, its encoder, goes without saying.

    >>> measured({"pair": "consumer->shop", "path": "encoder", "split": "test"})
    'consumer to shop, test'
    >>> measured({"pair": "sketch->shop", "path": "gan", "split": "val"})
    'sketch to shop by gan, val'
    """
    path = "" if row["path"] == "encoder" else f" by {row['path']}"
    return f"{row['pair'].replace('->', ' to ')}{path}, {row['split']}"
