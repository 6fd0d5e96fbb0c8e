"""Indexes that keep the floats: exhaustive search, and a navigable graph (Malkov and Yashunin 2018)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Self

import faiss
import numpy as np

from croquis.arrays import Keys, Rows, Scores, Vectors
from croquis.files import write_bytes
from croquis.index.exact import (
    SPARE,
    best_first,
    empty_result,
    is_faster,
    normalise,
    search_exact,
    search_kept,
    search_matrix,
    similarity,
)
from croquis.index.vector_index import (
    FAISS,
    check_depth,
    check_rows,
    check_subset,
    check_vectors,
    faiss_threads,
    tie_keys,
)

EF_CONSTRUCTION = 100
SAME = 1e-5  # vectors of one picture differ by less, whatever pictures are encoded with it
TOP = 10  # results that every walk is wide enough for
WIDER = 4  # how much each further walk is wider than the one before


class FaissIndex(ABC):
    """What the dense kinds share: a FAISS index, exact search over chosen rows, candidates that are scored again.

    Args:
        index: a filled FAISS index with L2 distances.
        metric: `cosine` when the vectors have unit length, else `l2`.
    """

    kind: str
    head = "dense"
    comparison = None

    def __init__(self, index: Any, metric: str) -> None:
        self.metric = metric
        self.dim = int(index.d)
        self.threads = 1
        self._index = index

    def __len__(self) -> int:
        return int(self._index.ntotal)

    @property
    @abstractmethod
    def nbytes(self) -> int: ...

    @property
    @abstractmethod
    def parameters(self) -> dict[str, int]: ...

    @abstractmethod
    def vectors(self, rows: Rows | None = None) -> Vectors: ...

    @abstractmethod
    def subset(self, rows: Rows) -> Self: ...

    @abstractmethod
    def refilled(self, vectors: Vectors) -> Self: ...

    @abstractmethod
    def _search_all(self, queries: Vectors, k: int, keys: Keys) -> tuple[Scores, Rows]: ...

    def search(
        self, queries: Vectors, k: int, rows: Rows | None = None, *, tiebreak: Keys | None = None
    ) -> tuple[Scores, Rows]:
        check_depth(k)
        prepared = check_vectors(queries, self.dim, "queries")
        prepared = normalise(prepared) if self.metric == "cosine" else prepared
        keys = tie_keys(tiebreak, len(self))
        with faiss_threads(self.threads):
            if rows is None:
                return self._search_all(prepared, k, keys)
            chosen = check_rows(rows, len(self))
            if self.kind == "flat" and len(chosen) == len(self):
                return self._search_all(prepared, k, keys)
            flat = self._flat()
            if flat is not None and not is_faster(prepared, len(chosen), k):
                return search_exact(prepared, stored_floats(flat), k, keys, self.metric, chosen, flat)
            scores, local = _search_every(prepared, self.vectors(chosen), k, keys[chosen], self.metric)
        return scores, np.where(local >= 0, np.append(chosen, -1)[local], -1)

    def _flat(self) -> Any:
        """FAISS's flat index of the floats, row for row; None where there is none."""
        return None

    def save(self, path: str | Path) -> None:
        write_bytes(path, faiss.serialize_index(self._index).tobytes())

    def _search_candidates(self, queries: Vectors, k: int, keys: Keys, options: Any) -> tuple[Scores, Rows]:
        """FAISS proposes a few more than k; they are scored against the stored vectors and ordered."""
        scores, rows = empty_result(len(queries), k)
        if len(queries) == 0:
            return scores, rows
        _, candidates = self._index.search(queries, min(len(self), k + SPARE), params=options)
        for number, query in enumerate(queries):
            found = candidates[number][candidates[number] >= 0]
            near = similarity(query, self.vectors(found), self.metric)
            chosen = best_first(near, keys[found], k)
            scores[number, : len(chosen)], rows[number, : len(chosen)] = near[chosen], found[chosen]
        return scores, rows


class FlatIndex(FaissIndex):
    """Exhaustive search: exact, and its ties are label-blind at every rank."""

    kind = "flat"

    def __init__(self, index: Any, metric: str) -> None:
        super().__init__(index, metric)
        self._floats = stored_floats(index)

    @classmethod
    def build(cls, vectors: Vectors, metric: str) -> Self:
        """Stores (n, dim) float32; unit length is given to the rows for `cosine`."""
        return cls.of_stored(normalise(vectors) if metric == "cosine" else vectors, metric)

    @classmethod
    def of_stored(cls, vectors: Vectors, metric: str) -> Self:
        """Keeps (n, dim) float32 to the bit, as an index of this metric gave them back."""
        index = faiss.IndexFlatL2(vectors.shape[1])
        index.add(np.ascontiguousarray(vectors))
        return cls(index, metric)

    @property
    def nbytes(self) -> int:
        return 4 * self.dim

    @property
    def parameters(self) -> dict[str, int]:
        return {}

    def vectors(self, rows: Rows | None = None) -> Vectors:
        return self._floats.copy() if rows is None else self._floats[rows]

    def subset(self, rows: Rows) -> Self:
        return self.of_stored(self.vectors(check_subset(rows, len(self))), self.metric)

    def refilled(self, vectors: Vectors) -> Self:
        return self.build(vectors, self.metric)

    def _flat(self) -> Any:
        return self._index

    def _search_all(self, queries: Vectors, k: int, keys: Keys) -> tuple[Scores, Rows]:
        return _search_every(queries, self._floats, k, keys, self.metric)


class HnswIndex(FaissIndex):
    """Search along a graph: approximate, and fast on large galleries. Built by one thread, so always the same graph.

    The first results are those of one walk, `ef_search` wide, however many are asked for: what a longer list adds
    comes from a wider walk and stands behind them, so that a long list shows what a short one finds.

    Args:
        index: the graph.
        metric: `cosine` or `l2`.
        chosen: the rows of the graph that may answer, of a subset; all when None.
    """

    kind = "hnsw"

    def __init__(self, index: Any, metric: str, chosen: Rows | None = None) -> None:
        super().__init__(index, metric)
        self._chosen = chosen

    def __len__(self) -> int:
        return int(self._index.ntotal) if self._chosen is None else len(self._chosen)

    @classmethod
    def build(cls, vectors: Vectors, metric: str, *, links: int, ef_search: int) -> Self:
        """Links each vector to `links` others (twice as many on the lowest level).

        Args:
            vectors: (n, dim) float32.
            metric: `cosine` or `l2`.
            links: 4 to 128.
            ef_search: candidates that a search keeps, at least 1; more finds more and takes longer.
        """
        return cls.of_stored(normalise(vectors) if metric == "cosine" else vectors, metric, links, ef_search)

    @classmethod
    def of_stored(cls, vectors: Vectors, metric: str, links: int, ef_search: int) -> Self:
        """A graph over (n, dim) float32, which are kept to the bit, as an index of this metric gave them back."""
        index = faiss.IndexHNSWFlat(vectors.shape[1], links, faiss.METRIC_L2)
        index.hnsw.efConstruction = EF_CONSTRUCTION
        index.hnsw.efSearch = ef_search
        with faiss_threads(1):
            index.add(vectors)
        return cls(index, metric)

    @property
    def nbytes(self) -> int:
        links = 4 * self._index.hnsw.neighbors.size() / max(1, self._index.ntotal)
        return int(4 * self.dim + round(links) + 12)  # offset (8) and level (4) of each vector

    @property
    def parameters(self) -> dict[str, int]:
        return {"links": int(self._index.hnsw.nb_neighbors(1)), "ef_search": int(self._index.hnsw.efSearch)}

    def vectors(self, rows: Rows | None = None) -> Vectors:
        stored = stored_floats(faiss.downcast_index(self._index.storage))
        if self._chosen is None:
            return stored.copy() if rows is None else stored[rows]
        return stored[self._chosen if rows is None else self._chosen[rows]]

    def subset(self, rows: Rows) -> Self:
        """The same graph, of whose answers only those among `rows` are given; saved, it is a graph of its own."""
        chosen = check_subset(rows, len(self))
        return type(self)(self._index, self.metric, chosen if self._chosen is None else self._chosen[chosen])

    def refilled(self, vectors: Vectors) -> Self:
        return self.build(vectors, self.metric, **self.parameters)

    def replaced(self, places: Rows, vectors: Vectors) -> Self:
        """The rows of some vectors in this index, as it would be if they were in it.

        Args:
            places: (n,) the row that each of `vectors` has here, -1 for one that is new.
            vectors: (n, dim) float32, of the encoder.
        """
        stored, here = self.vectors(), places >= 0
        given = normalise(vectors) if self.metric == "cosine" else vectors
        if here.all() and np.allclose(stored[places], given, rtol=0, atol=SAME):
            return self.subset(places)
        stored[places[here]] = given[here]
        rows = np.where(here, places, len(stored) + np.cumsum(~here) - 1)
        whole = self.of_stored(np.concatenate([stored, given[~here]]), self.metric, **self.parameters)
        return whole.subset(rows)

    def save(self, path: str | Path) -> None:
        if self._chosen is not None:
            self.of_stored(self.vectors(), self.metric, **self.parameters).save(path)
        else:
            super().save(path)

    def _flat(self) -> Any:
        return faiss.downcast_index(self._index.storage) if self._chosen is None else None

    def _search_all(self, queries: Vectors, k: int, keys: Keys) -> tuple[Scores, Rows]:
        if self._chosen is None:
            return self._search_graph(queries, k, keys)
        whole = type(self)(self._index, self.metric)
        place, own = np.full(len(whole), -1, dtype=np.int64), np.zeros(len(whole), dtype=np.uint64)
        place[self._chosen], own[self._chosen] = np.arange(len(self)), keys
        return search_kept(lambda depth: whole._search_graph(queries, depth, own), place, k)

    def _search_graph(self, queries: Vectors, k: int, keys: Keys) -> tuple[Scores, Rows]:
        """A longer list begins with the shorter one: walks get wider by fixed steps, and each adds what it finds more."""
        reach = max(self._index.hnsw.efSearch - SPARE, TOP)
        scores, rows = self._walk(queries, min(k, reach), reach + SPARE, keys)
        while reach < min(k, len(self)):
            reach *= WIDER
            scores, rows = _extended(scores, rows, *self._walk(queries, reach, reach + SPARE, keys))
        return _cut_to(scores, rows, k)

    def _walk(self, queries: Vectors, k: int, width: int, keys: Keys) -> tuple[Scores, Rows]:
        return self._search_candidates(queries, k, keys, FAISS.SearchParametersHNSW(efSearch=width))


def _search_every(queries: Vectors, vectors: Vectors, k: int, keys: Keys, metric: str) -> tuple[Scores, Rows]:
    """`search_exact`, by whichever way is faster."""
    search = search_matrix if is_faster(queries, len(vectors), k) else search_exact
    return search(queries, vectors, k, keys, metric)


def _extended(scores: Scores, rows: Rows, wider: Scores, more: Rows) -> tuple[Scores, Rows]:
    """Lists (Q, a), and behind them what lists (Q, b) have besides; (Q, b), b being at least a."""
    near, found = empty_result(*more.shape)
    for number in range(len(rows)):
        held = rows[number] >= 0
        new = ~np.isin(more[number], rows[number]) & (more[number] >= 0)
        count = min(more.shape[1], int(held.sum() + new.sum()))
        near[number, :count] = np.concatenate([scores[number][held], wider[number][new]])[:count]
        found[number, :count] = np.concatenate([rows[number][held], more[number][new]])[:count]
    return near, found


def _cut_to(scores: Scores, rows: Rows, k: int) -> tuple[Scores, Rows]:
    """The first `k` of lists, which may be shorter."""
    near, found = empty_result(len(rows), k)
    width = min(k, rows.shape[1])
    near[:, :width], found[:, :width] = scores[:, :width], rows[:, :width]
    return near, found


def stored_floats(index: Any) -> Vectors:
    """A view of the floats in a flat FAISS index; it must not outlive the index."""
    stored: Vectors = faiss.rev_swig_ptr(index.get_xb(), index.ntotal * index.d).reshape(index.ntotal, index.d)
    return stored
