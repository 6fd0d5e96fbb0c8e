"""What a search may be asked: the modes and how many results; for filters see `croquis.catalog.filters`."""

from __future__ import annotations

from typing import Any, Literal

from croquis.catalog.filters import QueryError

Mode = Literal["photo", "sketch", "sketch-direct"]

MODES: tuple[Mode, ...] = ("photo", "sketch", "sketch-direct")
LARGEST_K = 1000


def check_k(k: Any) -> int:
    """`k` when it is a whole number from 1 to 1000.

    Raises:
        QueryError: otherwise.
    """
    if isinstance(k, bool) or not isinstance(k, int) or not 1 <= k <= LARGEST_K:
        raise QueryError("k", k, f"must be a whole number from 1 to {LARGEST_K}")
    return k


def check_mode(mode: Any) -> Mode:
    """`mode` when it is one of `MODES`.

    Raises:
        QueryError: otherwise.
    """
    if mode not in MODES:
        raise QueryError("mode", mode, f"must be one of {', '.join(MODES)}")
    return mode  # type: ignore[no-any-return]
