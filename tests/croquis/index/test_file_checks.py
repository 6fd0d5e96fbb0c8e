"""A file that was crafted or damaged is one line, whatever kind it is of: FAISS itself would crash, or take all memory."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest
from faiss.contrib.inspect_tools import get_invlist

from croquis.index.build import load_index
from croquis.index.vector_index import FAISS, VectorIndex, VectorIndexError, faiss_threads
from tests.support.indexes import CODED, DENSE, DIM, clustered, index_of
from tests.support.mutations import holds_for, mutated

CASES = DENSE | CODED
ROWS = 300


def saved(case: str, folder: Path) -> tuple[Path, dict[str, Any]]:
    """A file of the kind, and the arguments of `load_index` for it."""
    index = index_of(clustered(ROWS), **CASES[case])
    index.save(folder / "index")
    told = {"metric": index.metric, "head": index.head, "dim": index.dim, "comparison": index.comparison}
    return folder / "index", told


def use(index: VectorIndex) -> None:
    queries = np.zeros((2, index.dim), dtype=np.float32)
    index.search(queries, 10)
    index.search(queries, ROWS, np.arange(0, len(index), 3))
    index.vectors()


@pytest.mark.parametrize("case", CASES)
def test_a_file_that_is_cut_off_is_told(case: str, tmp_path: Path) -> None:
    file, told = saved(case, tmp_path)
    whole = file.read_bytes()
    for length in (*range(0, 128, 5), 25, *range(128, len(whole), len(whole) // 9), len(whole) - 1):
        file.write_bytes(whole[:length])
        with pytest.raises(VectorIndexError, match="index"):
            load_index(file, **told)


@pytest.mark.parametrize("number", [2**31 - 1, 2**61 + 3])
@pytest.mark.parametrize("case", CASES)
def test_a_size_that_is_not_that_of_the_file_is_told_or_means_nothing(case: str, number: int, tmp_path: Path) -> None:
    """`number` stands where the file has a dimension, a count, a length or a setting."""
    file, told = saved(case, tmp_path)
    whole = file.read_bytes()
    for place in range(4, 128, 3):
        file.write_bytes(whole[:place] + struct.pack("<q", number) + whole[place + 8 :])
        try:
            index = load_index(file, **told)
        except VectorIndexError:
            continue
        if (len(index), index.dim) == (ROWS, told["dim"]):  # a bundle says how many it has
            use(index)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_changed_bytes(case: str, tmp_path: Path) -> None:
    file, told = saved(case, tmp_path)
    whole = file.read_bytes()

    def check(data: bytes) -> None:
        file.write_bytes(data)
        try:
            index = load_index(file, **told)
        except VectorIndexError:
            return
        if (len(index), index.dim) == (ROWS, told["dim"]):
            use(index)

    holds_for(mutated([whole]), check)


def graph() -> Any:
    index = faiss.IndexHNSWFlat(DIM, 8)
    index.add(clustered(ROWS))
    return index


def lists(centres: Any = None) -> Any:
    quantizer = faiss.IndexFlatL2(DIM) if centres is None else centres
    index = FAISS.IndexIVFPQ(quantizer, DIM, 4, 4, 4)
    with faiss_threads(1):
        index.train(clustered(ROWS))
        index.add(clustered(ROWS))
    index.nprobe = 2
    return index


def set_link(index: Any, place: int, to: int) -> None:
    faiss.rev_swig_ptr(index.hnsw.neighbors.data(), index.hnsw.neighbors.size())[place] = to


def upper_link_to_the_ground(index: Any) -> None:
    levels = faiss.vector_to_array(index.hnsw.levels)
    starts, widths = (faiss.vector_to_array(each) for each in (index.hnsw.offsets, index.hnsw.cum_nneighbor_per_level))
    above, ground = int(np.argmax(levels > 1)), int(np.argmax(levels == 1))
    set_link(index, int(starts[above] + widths[1]), ground)


def set_rows(index: Any, change: Callable[[np.ndarray], np.ndarray]) -> None:
    stored = [get_invlist(index.invlists, number) for number in range(index.nlist)]
    index.invlists.reset()
    for number, (rows, codes) in enumerate(stored):
        given, copied = np.ascontiguousarray(change(rows)), np.ascontiguousarray(codes)
        index.invlists.add_entries(number, len(given), faiss.swig_ptr(given), faiss.swig_ptr(copied))


def spoiled(index: Any, change: Callable[[Any], object]) -> Any:
    change(index)
    return index


def with_nan() -> Any:
    index = faiss.IndexFlatL2(DIM)
    vectors = clustered(ROWS)
    vectors[-1, -1] = np.nan
    index.add(vectors)
    return index


HOSTILE: dict[str, tuple[Callable[[], Any], str]] = {
    "a search of any width": (lambda: spoiled(graph(), lambda i: setattr(i.hnsw, "efSearch", 2**31 - 1)), "ef_search"),
    "a search of none": (lambda: spoiled(graph(), lambda i: setattr(i.hnsw, "efSearch", 0)), "ef_search"),
    "an entry outside": (lambda: spoiled(graph(), lambda i: setattr(i.hnsw, "entry_point", ROWS)), "no way leads"),
    "no entry": (lambda: spoiled(graph(), lambda i: setattr(i.hnsw, "entry_point", -1)), "no way leads"),
    "a level too high": (lambda: spoiled(graph(), lambda i: setattr(i.hnsw, "max_level", 9)), "no way leads"),
    "a link outside": (lambda: spoiled(graph(), lambda i: set_link(i, 0, ROWS)), "leads to no vector"),
    "a link before": (lambda: spoiled(graph(), lambda i: set_link(i, 0, -2)), "leads to no vector"),
    "a link to a level below": (lambda: spoiled(graph(), upper_link_to_the_ground), "level that its vector is not on"),
    "NaN": (with_nan, "NaN or an infinity"),
    "an inner product": (lambda: faiss.IndexFlatIP(DIM), "squared distance"),
    "every list and more": (lambda: spoiled(lists(), lambda i: setattr(i, "nprobe", 5)), "visits 5 of 4"),
    "no list": (lambda: spoiled(lists(), lambda i: setattr(i, "nprobe", 0)), "ivf_probes"),
    "centres that are a graph": (lambda: lists(centres=faiss.IndexHNSWFlat(DIM, 8)), "its centres"),
    "rows that do not exist": (
        lambda: spoiled(lists(), lambda i: set_rows(i, lambda rows: rows + 1)),
        "does not exist",
    ),
    "one row twice": (lambda: spoiled(lists(), lambda i: set_rows(i, lambda rows: rows * 0)), "in two lists"),
    "fewer rows": (lambda: spoiled(lists(), lambda i: set_rows(i, lambda rows: rows[1:])), "rows, not 300"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_crafted_file_is_told_with_what_is_wrong(name: str, tmp_path: Path) -> None:
    make, words = HOSTILE[name]
    faiss.write_index(make(), str(tmp_path / "index"))
    with pytest.raises(VectorIndexError, match=f"{words}.*; run the stage|is not a FAISS index") as told:
        load_index(tmp_path / "index", metric="l2")
    assert "\n" not in str(told.value)


def test_lists_in_another_file_are_not_read(tmp_path: Path) -> None:
    """FAISS opens whatever file the index names."""
    index = lists()
    (tmp_path / "elsewhere").write_bytes(bytes(100))
    elsewhere = FAISS.OnDiskInvertedLists(index.nlist, index.code_size, str(tmp_path / "elsewhere"))
    elsewhere.totsize = 100
    index.replace_invlists(elsewhere, False)
    faiss.write_index(index, str(tmp_path / "index"))
    with pytest.raises(VectorIndexError, match="its lists"):
        load_index(tmp_path / "index", metric="l2")


def test_a_later_file_is_not_bounded_by_an_earlier_one(tmp_path: Path) -> None:
    """The limits of FAISS are those of the process."""
    (tmp_path / "small").write_bytes(b"IxPq" + bytes(100))
    with pytest.raises(VectorIndexError):
        load_index(tmp_path / "small", metric="l2", head="pq", comparison="symmetric")
    file, told = saved("ivfpq-l2", tmp_path)
    assert len(load_index(file, **told)) == ROWS


def test_a_file_smaller_than_the_tables_that_are_computed_of_it_is_read(tmp_path: Path) -> None:
    """256 floats for each of 12 parts of a code and 64 lists: 768 KiB."""
    settings = {"ivf_lists": 64, "ivf_probes": 64, "pq_subspaces": 12, "pq_bits": 8}
    index = index_of(clustered(ROWS), kind="ivfpq", metric="l2", **settings)
    index.save(tmp_path / "index")
    assert (tmp_path / "index").stat().st_size < 100_000
    again = load_index(tmp_path / "index", metric="l2")
    queries = clustered(ROWS)[:5]
    np.testing.assert_array_equal(again.search(queries, 3)[1], index.search(queries, 3)[1])


LIMITED = ("vector_byte", "loop")


def limits() -> list[int]:
    return [getattr(FAISS, f"get_deserialization_{name}_limit")() for name in LIMITED]


@pytest.mark.skipif(not hasattr(FAISS, "get_deserialization_loop_limit"), reason="this release of FAISS has no limits")
@pytest.mark.parametrize("case", CASES)
def test_the_limits_of_the_process_are_afterwards_what_they_were(case: str, tmp_path: Path) -> None:
    """Else another part of the process could read no larger file by FAISS itself."""
    before = limits()
    file, told = saved(case, tmp_path)
    load_index(file, **told)
    assert limits() == before
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(VectorIndexError):
        load_index(file, **told)
    assert limits() == before
