"""What every index of vectors can do, whatever it stores."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, Self

import faiss
import numpy as np
import numpy.typing as npt

from croquis.arrays import Keys, Rows, Scores, Vectors

FAISS: Any = faiss  # its stub file lacks classes and arguments that the library has


class VectorIndexError(ValueError):
    """Vectors, rows or files that an index cannot work with; the message gives value and limit."""


class VectorIndex(Protocol):
    """Vectors numbered 0, 1, ... that can be searched.

    Attributes:
        kind: `flat`, `hnsw` or `ivfpq` of floats; `binary_flat`, `binary_ivf`, `pq_flat` or `pq_ivf` of codes.
        head: what it keeps, a key of `croquis.nets.encoder.HEADS`.
        metric: `cosine` (score = cosine), `l2` (score = negative squared distance) or `hamming` (score = negative number
            of differing bits; the inner product of query and code when the comparison is asymmetric).
        comparison: of codes, `asymmetric` or `symmetric`; None where floats are kept.
        dim: numbers per query.
        threads: threads that one search may use.
    """

    kind: str
    head: str
    metric: str
    dim: int
    threads: int

    def __len__(self) -> int: ...

    @property
    def comparison(self) -> str | None: ...

    @property
    def nbytes(self) -> int:
        """Bytes that one more vector costs in the file: code, row id and links; shared codebooks not counted."""
        ...

    @property
    def parameters(self) -> dict[str, int]:
        """The settings that shape the index, for manifests and reports."""
        ...

    def search(
        self, queries: Vectors, k: int, rows: Rows | None = None, *, tiebreak: Keys | None = None
    ) -> tuple[Scores, Rows]:
        """The best `k` rows for each query, best first.

        Args:
            queries: (Q, dim) float32.
            k: at least 1; may exceed the number of rows.
            rows: distinct row numbers to search among; the search over them is exact for every kind. All when None.
            tiebreak: (len(self),) uint64; equal scores are ordered by it, lowest first. By row number when None.

        Returns:
            scores (Q, k) float32, higher is better, and rows (Q, k) int64. Where a list has ended, -inf and -1.

        Raises:
            VectorIndexError: on another width, non-finite numbers, k < 1, or rows that do not exist.
        """
        ...

    def subset(self, rows: Rows) -> Self:
        """The same kind of index over `rows` only, renumbered 0.. in the given order; codes and codebooks are kept.

        It answers as the whole index does, rows that were not chosen left out: a graph is walked as it stands.

        Raises:
            VectorIndexError: when `rows` is empty, repeats a row or names one that does not exist.
        """
        ...

    def refilled(self, vectors: Vectors) -> Self:
        """The same kind of index with the same settings over other vectors of the encoder, (n, dim) float32.

        Lists, quantisers and codebooks stay as they were trained; a graph is built again.
        """
        ...

    def vectors(self, rows: Rows | None = None) -> Vectors:
        """The stored vectors, (len(rows), dim) float32; decoded where only codes are stored."""
        ...

    def save(self, path: str | Path) -> None:
        """Writes one file; equal builds give equal bytes."""
        ...


@contextmanager
def faiss_threads(count: int) -> Iterator[None]:
    """Limits FAISS in the calling thread, and puts the old number back.

    FAISS may share its OpenMP pool with torch, where a number left behind would change the bits of a training.
    """
    before = faiss.omp_get_max_threads()
    if before == count:
        yield
        return
    faiss.omp_set_num_threads(count)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def check_vectors(vectors: npt.NDArray[Any], dim: int | None, what: str) -> Vectors:
    """`vectors` as contiguous float32 (n, dim).

    Raises:
        VectorIndexError: on another shape or a number that is not finite.
    """
    if vectors.ndim != 2 or (dim is not None and vectors.shape[1] != dim):
        raise VectorIndexError(f"{what} must have the shape (n, {dim or 'dim'}), not {vectors.shape}")
    checked = np.ascontiguousarray(vectors, dtype=np.float32)
    if not np.isfinite(checked).all():
        row = int(np.flatnonzero(~np.isfinite(checked).all(axis=1))[0])
        raise VectorIndexError(f"{what} hold a NaN or an infinity, first in row {row}")
    return checked


def check_depth(k: int) -> None:
    """Refuses a `k` below 1 by a VectorIndexError."""
    if k < 1:
        raise VectorIndexError(f"k = {k}, must be at least 1")


def tie_keys(tiebreak: Keys | None, count: int) -> Keys:
    """What orders equal scores, (count,): `tiebreak`, or the row numbers when None.

    Raises:
        VectorIndexError: when there is not one key per row.
    """
    if tiebreak is None:
        return np.arange(count, dtype=np.uint64)
    if tiebreak.shape != (count,):
        raise VectorIndexError(f"tiebreak has the shape {tiebreak.shape}, the index has {count} rows")
    return tiebreak


def check_rows(rows: npt.NDArray[Any], count: int) -> Rows:
    """`rows` as int64 (n,).

    Raises:
        VectorIndexError: when a row is outside 0 to count - 1 or comes twice.
    """
    checked = np.asarray(rows)
    if checked.ndim != 1 or (checked.size and not np.issubdtype(checked.dtype, np.integer)):
        raise VectorIndexError(f"rows must be whole numbers of shape (n,), not {checked.dtype} {checked.shape}")
    checked = checked.astype(np.int64)
    if checked.size and (checked.min() < 0 or checked.max() >= count):
        raise VectorIndexError(f"rows go from {checked.min()} to {checked.max()}, the index has 0 to {count - 1}")
    seen = np.zeros(count, dtype=np.bool_)
    seen[checked] = True
    if np.count_nonzero(seen) < len(checked):
        raise VectorIndexError(f"{len(checked)} rows hold only {len(np.unique(checked))} different ones")
    return checked


def check_subset(rows: Rows, count: int) -> Rows:
    """`rows` when they are distinct, exist, and are at least one.

    Raises:
        VectorIndexError: otherwise.
    """
    checked = check_rows(rows, count)
    if not checked.size:
        raise VectorIndexError("a subset needs at least one row")
    return checked
