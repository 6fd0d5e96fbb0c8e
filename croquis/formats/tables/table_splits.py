"""Splits and roles of a table's rows, where the table leaves them open.

Rows are dicts with `path`, `item_id`, `domain`, and `split` and `role`, which may be None and are filled in place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from croquis.formats.tables.hashed_split import position, split_of

Row = dict[str, Any]


def keep_share(rows: Sequence[Row], share: float, seed: int) -> list[Row]:
    """The rows of about `share` of the items; a smaller share's items are among those of a larger one."""
    return [row for row in rows if share >= 1 or position(f"share/{row['item_id']}", seed) < share]


def fill_splits(rows: Sequence[Row], shares: Mapping[str, float], seed: int) -> None:
    """Rows without a split get that of another row of their item, otherwise a hash of the item decides.

    `shares` are those of the items that `val` and `test` get.

    A split that no row names takes its share out of the train items: a table with train and test only gets a val.
    """
    named = {row["item_id"]: row["split"] for row in reversed(rows) if row["split"]}
    present = set(named.values())
    lacking = {split: 0.0 if split in present else share for split, share in shares.items()}
    for row in rows:
        item = row["item_id"]
        split = row["split"] or named.get(item)
        if split is None:
            split = split_of(item, seed, shares["val"], shares["test"])
        elif split == "train" and split_of(item, seed, lacking["val"], lacking["test"]) != "train":
            split, row["role"] = split_of(item, seed, lacking["val"], lacking["test"]), None
        row["split"] = split


def fill_roles(rows: Sequence[Row], by_item: bool) -> None:
    """`train` in the train split. Elsewhere `query`, but, with `by_item`, for each item's first shop photo by path,
    which is `gallery`, unless the item has a gallery photo."""
    has_gallery = {(row["item_id"], row["split"]) for row in rows if row["role"] == "gallery"}
    for row in sorted(rows, key=lambda row: str(row["path"])):
        if row["role"]:
            continue
        key = (row["item_id"], row["split"])
        if row["split"] == "train":
            row["role"] = "train"
        elif by_item and row["domain"] == "shop" and key not in has_gallery:
            has_gallery.add(key)
            row["role"] = "gallery"
        else:
            row["role"] = "query"


def role_problems(rows: Sequence[Row]) -> list[str]:
    """One line for each row whose role does not fit its split."""
    return [
        f"row {row['number']}, column role: {row['role']!r} does not fit split {row['split']!r}; "
        "rows of the train split have role train, rows of val and test query or gallery"
        for row in rows
        if (row["role"] == "train") != (row["split"] == "train")
    ]
