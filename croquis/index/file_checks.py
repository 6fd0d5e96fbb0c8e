"""Whether what FAISS read from a file can be searched: FAISS believes the numbers of a file, and reads other memory, or
ends the process, where they do not fit each other."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from faiss.contrib.inspect_tools import get_invlist

from croquis.index.dense import stored_floats
from croquis.index.kinds import Hnsw, Ivf
from croquis.index.vector_index import FAISS, VectorIndexError

AGAIN = "run the stage `index` again"
LIMITS = threading.Lock()  # the limits of FAISS are those of the process
NUMBERS = 4_000_000  # looked at together
LARGEST_PART_BITS = 8  # of a product code: its parts are bytes in `croquis.index.coding`


HEAD = 37  # bytes before what is of one kind: dimension, number of vectors, and the like
COUNT = 8  # bytes before each part that say how many numbers it has
IVFPQ = b"IwPQ"
# FAISS computes a table for inverted lists of product codes, and counts it as read: 256 floats for each part of a code and
# each list. A code has at most a part per dimension, and the centres of the lists stand in the file: this is enough.
TABLES, MOST_OF_TABLES = 255, 8 << 30  # bytes
# Of each part: bytes before it, and bytes of one of its numbers.
FLOATS = ((HEAD, 4),)
LINKED = ((HEAD, 8), (0, 4), (0, 4), (0, 8), (0, 4), (20 + HEAD, 4))  # a graph, its five settings, and a flat index


def check_mapped(path: Path, *, graph: bool) -> None:
    """Refuses a file of floats whose parts do not fill it: FAISS reads on behind the end of a file that is mapped.

    Args:
        path: of a flat index, or of a graph that ends with one.

    Raises:
        VectorIndexError: when its parts are longer or shorter than the file.
    """
    size, place = path.stat().st_size, 0
    with path.open("rb") as file:
        for before, width in LINKED if graph else FLOATS:
            place += before
            if place > size:
                break
            file.seek(place)
            place += COUNT + width * int.from_bytes(file.read(COUNT), "little")
    if place != size:
        raise VectorIndexError(f"{path} is damaged: it has {size} bytes, its parts take {place}; {AGAIN}")


@contextmanager
def bounded_by(path: Path) -> Iterator[None]:
    """No part of what FAISS reads within the block is taken to be longer than the file, and its tables; older releases have
    no limits. After it the limits are what they were: others in this process read, too."""
    size = path.stat().st_size
    with path.open("rb") as file:
        tables = min(TABLES * size, MOST_OF_TABLES) if file.read(len(IVFPQ)) == IVFPQ else 0
    limits = {"vector_byte": size + tables, "loop": size}
    with LIMITS, ExitStack() as afterwards:
        for name, limit in limits.items():
            change = getattr(FAISS, f"set_deserialization_{name}_limit", None)
            if change is not None:
                afterwards.callback(change, getattr(FAISS, f"get_deserialization_{name}_limit")())
                change(limit)
        yield


def check_stored(path: Path, index: Any) -> None:
    """Refuses an index whose parts do not fit each other, or whose settings no index of ours has.

    Args:
        path: of the file, for the error.
        index: what FAISS read, of a class in `croquis.index.kinds.INDEX_KINDS`.

    Raises:
        VectorIndexError: naming the file, what is wrong in it, and the fix.
    """
    try:
        _require(bool(index.is_trained), "it is not trained")
        _require(index.metric_type == faiss.METRIC_L2, "it does not compare by squared distance")
        _require(index.ntotal >= 0 and index.d >= 1, f"it holds {index.ntotal} vectors of {index.d} numbers")
        for kind, check in CHECKS:
            if isinstance(index, kind):
                check(index)
    except (VectorIndexError, RuntimeError, MemoryError) as error:
        raise VectorIndexError(f"{path} is damaged: {error}; {AGAIN}") from error


def _check_floats(index: Any) -> None:
    count, dim = int(index.ntotal), int(index.d)
    _require(index.code_size == 4 * dim, f"a vector takes {index.code_size} bytes, {dim} numbers take {4 * dim}")
    _require(
        index.codes.size() == 4 * dim * count, f"its vectors take {index.codes.size()} bytes, not {4 * dim * count}"
    )
    if not count:
        return
    stored, some = stored_floats(index), max(1, NUMBERS // dim)
    finite = all(np.isfinite(stored[start : start + some]).all() for start in range(0, count, some))
    _require(finite, "a vector holds a NaN or an infinity")


def _check_graph(index: Any) -> None:
    storage, graph, count = faiss.downcast_index(index.storage), index.hnsw, int(index.ntotal)
    fits = isinstance(storage, faiss.IndexFlat) and storage.metric_type == faiss.METRIC_L2
    _require(fits and (storage.ntotal, storage.d) == (count, index.d), "its vectors are not those of its graph")
    _check_floats(storage)
    levels, starts, widths = (
        faiss.vector_to_array(each).astype(np.int64)
        for each in (graph.levels, graph.offsets, graph.cum_nneighbor_per_level)
    )
    _require(len(widths) >= 3 and widths[0] == 0 and bool((np.diff(widths) >= 0).all()), "its levels have no widths")
    Hnsw(hnsw_links=int(widths[2] - widths[1]), hnsw_ef_search=int(graph.efSearch))
    _require(len(levels) == count and len(starts) == count + 1, f"its graph is not one of {count} vectors")
    if not count:
        return
    _require(levels.min() >= 1 and levels.max() < len(widths), "a vector lies on a level that the graph lacks")
    size = graph.neighbors.size()
    whole = starts[0] == 0 and starts[-1] == size and np.array_equal(np.diff(starts), widths[levels])
    _require(whole, "the links of a vector lie outside the graph")
    links = faiss.rev_swig_ptr(graph.neighbors.data(), size)
    _require(links.min() >= -1 and links.max() < count, "a link leads to no vector")
    entry, top = int(graph.entry_point), int(levels.max())
    _require(graph.max_level == top - 1 and 0 <= entry < count and levels[entry] == top, "no way leads into its graph")
    for level in range(1, top):
        own = starts[np.flatnonzero(levels > level)]
        near = links[own[:, None] + np.arange(widths[level], widths[level + 1])]
        _require(bool((levels[near[near >= 0]] > level).all()), "a link leads to a level that its vector is not on")


def _check_lists(index: Any) -> None:
    """The lists hold each row once; their centres are flat."""
    count, lists = int(index.ntotal), int(index.nlist)
    Ivf(ivf_lists=lists, ivf_probes=int(index.nprobe))
    _require(index.nprobe <= lists, f"a search visits {index.nprobe} of {lists} lists")
    binary = isinstance(index, FAISS.IndexBinaryIVF)
    centres = FAISS.downcast_IndexBinary(index.quantizer) if binary else faiss.downcast_index(index.quantizer)
    flat = isinstance(centres, FAISS.IndexBinaryFlat if binary else faiss.IndexFlat)
    fits = flat and (centres.ntotal, centres.d, centres.metric_type) == (lists, index.d, faiss.METRIC_L2)
    _require(fits, f"its centres are not those of {lists} lists")
    (_check_bytes if binary else _check_floats)(centres)
    stored = FAISS.downcast_InvertedLists(index.invlists)
    # Lists "on disk" would be read from whatever file this one names.
    fits = isinstance(stored, FAISS.ArrayInvertedLists) and (stored.nlist, stored.code_size) == (lists, index.code_size)
    _require(fits, f"its lists are not {lists} of codes of {index.code_size} bytes")
    held = sum(stored.list_size(number) for number in range(lists))
    _require(held == count, f"its lists hold {held} rows, not {count}")
    seen = np.zeros(count, dtype=np.bool_)
    for number in range(lists):
        rows, _ = get_invlist(stored, number)
        _require(not rows.size or (rows.min() >= 0 and rows.max() < count), "a list holds a row that does not exist")
        seen[rows] = True
    _require(bool(seen.all()), "a row is in two lists")


def _check_codebooks(index: Any) -> None:
    pq, dim = index.pq, int(index.d)
    fits = pq.M >= 1 and 1 <= pq.nbits <= LARGEST_PART_BITS and pq.M * pq.dsub == pq.d == dim
    _require(fits, f"{pq.M} parts of {pq.nbits} bits do not fit vectors of {dim} numbers")
    fits = pq.ksub == 1 << pq.nbits and pq.centroids.size() == dim * pq.ksub
    _require(fits and index.code_size == pq.code_size == -(-pq.M * pq.nbits // 8), "its codebooks are not whole")
    _require(bool(np.isfinite(faiss.vector_to_array(pq.centroids)).all()), "a codeword holds a NaN or an infinity")


def _check_codes(index: Any) -> None:
    held, expected = index.codes.size(), int(index.ntotal) * int(index.code_size)
    _require(held == expected, f"its codes take {held} bytes, not {expected}")


def _check_bytes(index: Any) -> None:
    held, expected = index.xb.size(), int(index.ntotal) * int(index.code_size)
    _require(index.d == 8 * index.code_size and held == expected, f"its codes take {held} bytes, not {expected}")


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise VectorIndexError(otherwise)


CHECKS: tuple[tuple[Any, Callable[[Any], None]], ...] = (
    (faiss.IndexFlat, _check_floats),
    (faiss.IndexHNSWFlat, _check_graph),
    (FAISS.IndexBinaryFlat, _check_bytes),
    ((faiss.IndexIVFPQ, FAISS.IndexBinaryIVF), _check_lists),
    ((faiss.IndexPQ, faiss.IndexIVFPQ), _check_codebooks),
    (faiss.IndexPQ, _check_codes),
)
