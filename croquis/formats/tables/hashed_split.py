"""Splits by a seeded hash of the item, so that an item keeps its split whatever else joins the catalogue."""

from __future__ import annotations

import hashlib


def position(key: str, seed: int) -> float:
    """A number in [0, 1) that depends on `key` and `seed` only, uniform over keys."""
    digest = hashlib.sha256(f"{seed}/{key}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def split_of(item_id: str, seed: int, val_share: float, test_share: float) -> str:
    """`test`, `val` or `train`; about `test_share` and `val_share` of the items get the first two.

    Test items come first on the hash's line, so changing `val_share` never moves an item in or out of test.
    """
    place = position(item_id, seed)
    if place < test_share:
        return "test"
    return "val" if place < test_share + val_share else "train"
