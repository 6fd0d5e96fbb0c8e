"""The inverted lists of a FAISS index, read and filled from Python: row numbers and packed codes, list by list."""

from __future__ import annotations

from typing import Any

import numpy as np

from retrieval.codes import Codes
from retrieval.vector_index import FAISS, Rows

ROW_BYTES = 8  # of the row number that a list keeps beside each code


def read_list(index: Any, number: int) -> tuple[Rows, Codes]:
    """Row numbers (n,) and codes (n, code_size) of one inverted list."""
    lists = index.invlists
    size, width = lists.list_size(number), index.code_size
    if size == 0:
        return np.empty(0, dtype=np.int64), np.empty((0, width), dtype=np.uint8)
    ids = FAISS.rev_swig_ptr(lists.get_ids(number), size).copy()
    return ids, FAISS.rev_swig_ptr(lists.get_codes(number), size * width).reshape(size, width).copy()


def append_to_list(index: Any, number: int, ids: Rows, codes: Codes) -> None:
    """Adds rows to one inverted list; the caller sets `index.ntotal`."""
    if len(ids):
        ids, codes = np.ascontiguousarray(ids), np.ascontiguousarray(codes)
        index.invlists.add_entries(number, len(ids), FAISS.swig_ptr(ids), FAISS.swig_ptr(codes))


def keep_rows(source: Any, emptied: Any, rows: Rows) -> None:
    """Fills `emptied`, a clone of `source` without rows, with those of `rows`, renumbered 0.. in the given order."""
    place = np.full(source.ntotal, -1, dtype=np.int64)
    place[rows] = np.arange(len(rows))
    for number in range(source.nlist):
        ids, codes = read_list(source, number)
        kept = place[ids] >= 0
        append_to_list(emptied, number, place[ids][kept], codes[kept])
    emptied.ntotal = len(rows)
