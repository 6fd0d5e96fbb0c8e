"""Columns of text as numbers, so that rows can be chosen by them fast."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Rows = npt.NDArray[np.int64]


def encode(column: pa.Array) -> tuple[tuple[str, ...], Rows]:
    """The values of a column of text, sorted, and the place of each row's value among them."""
    encoded = column.dictionary_encode()
    found = encoded.dictionary.to_pylist()
    names = tuple(sorted(found))
    place = {name: number for number, name in enumerate(names)}
    numbers = np.array([place[name] for name in found], dtype=np.int64)
    return names, numbers[encoded.indices.to_numpy()]


def invert(column: pa.Array) -> dict[str, Rows]:
    """The rows that each word is in, for a column of lists of words; the words are sorted."""
    rows = pc.list_parent_indices(column).to_numpy().astype(np.int64)
    known, codes = encode(pc.list_flatten(column))
    order = np.argsort(codes, kind="stable")
    parts = np.split(rows[order], np.cumsum(np.bincount(codes, minlength=len(known)))[:-1])
    return dict(zip(known, parts, strict=False))
