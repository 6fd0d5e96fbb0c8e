"""How much a result has in common with its query.

Attributes come as rows of numbers: 0 or 1 where they are known or decided, a probability where they are not. The overlap
of two rows p and g is then the *expected* number of shared attributes, sum of p * g, which for zeros and ones is the plain
count. `jaccard` divides it by the expected number of attributes that either has; `idf` weighs each attribute by how rare
it is in the gallery.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from croquis.arrays import Floats, Rows

Holdings = npt.NDArray[np.bool_] | npt.NDArray[np.uint8]
OverlapKind = Literal["count", "jaccard", "idf"]

OVERLAPS: tuple[OverlapKind, ...] = get_args(OverlapKind)
LEVELS = 255  # of a probability that is kept in a byte


class RerankError(ValueError):
    """Settings or rows that cannot be re-ranked."""


def flags(sets: Sequence[Collection[str]], names: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Which of `names` each set holds, (len(sets), len(names)); what a set holds besides is left out."""
    columns = {name: column for column, name in enumerate(names)}
    held = np.zeros((len(sets), len(columns)), dtype=np.bool_)
    for row, found in enumerate(sets):
        held[row, [columns[name] for name in found if name in columns]] = True
    return held


@dataclass(frozen=True)
class AttributeCounts:
    """How many images of a whole gallery have each attribute, where only some of its rows are at hand.

    Attributes:
        images: all of them.
        decided: by attribute, those that hold it; an attribute that is not there, none.
        expected: by attribute, the sum of its probabilities.
    """

    images: int
    decided: Mapping[str, float]
    expected: Mapping[str, float]

    def weights(self, names: Sequence[str], held: Holdings) -> Floats:
        """`inverse_frequencies` of the whole gallery, (A,), by what `held` keeps: decisions, or probabilities."""
        by_name = self.decided if held.dtype == np.bool_ else self.expected
        found = np.array([by_name.get(name, 0.0) for name in names], dtype=np.float64)
        return np.asarray(np.log((1 + self.images) / (1 + found)), dtype=np.float64)


def to_bytes(probabilities: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Probabilities in steps of 1 / 255."""
    return np.asarray(np.rint(np.clip(probabilities, 0, 1) * LEVELS), dtype=np.uint8)


def inverse_frequencies(held: Holdings) -> Floats:
    """log((1 + N) / (1 + images with the attribute)) for (N, A): rare attributes weigh more, one of all weighs 0.

    Probabilities in bytes count by their expectation.
    """
    unit = 1.0 if held.dtype == np.bool_ else 1.0 / LEVELS
    return np.asarray(np.log((1 + len(held)) / (1 + held.sum(axis=0) * unit)), dtype=np.float64)


Counts = Callable[[], AttributeCounts]


class Overlap:
    """What queries have in common with the images of a gallery.

    Args:
        names: the attributes, A of them.
        gallery: (N, A) by row, bool or probabilities in bytes (`to_bytes`).
        kind: `count`, `jaccard` or `idf`.
        counts: gives those of the whole gallery, where `gallery` is some rows of it; asked for `idf`.

    Raises:
        RerankError: when the kind is not known, or names and gallery differ in number.
    """

    def __init__(
        self, names: Sequence[str], gallery: Holdings, kind: str = "count", counts: Counts | None = None
    ) -> None:
        if kind not in OVERLAPS:
            raise RerankError(f"overlap = {kind!r}, must be one of {list(OVERLAPS)}")
        if gallery.ndim != 2 or gallery.shape[1] != len(names):
            raise RerankError(f"the gallery's attributes are {gallery.shape}, expected (images, {len(names)})")
        self.names = tuple(names)
        self.kind = kind
        self._gallery = gallery
        self._unit = 1.0 if gallery.dtype == np.bool_ else 1.0 / LEVELS
        self._weights = np.ones(len(names))
        if kind == "idf":
            self._weights = inverse_frequencies(gallery) if counts is None else counts().weights(names, gallery)

    def overlaps(self, rows: Rows, query: npt.NDArray[Any]) -> Floats:
        """The overlap of each query with each of its results.

        Args:
            rows: (Q, k) gallery rows, -1 where a list has ended.
            query: (Q, A), the attributes of the queries: 0 and 1, or probabilities.

        Returns:
            (Q, k) float64, at least 0; 0 where a list has ended.

        Raises:
            RerankError: when the numbers of lists and queries differ, or a row is not in the gallery.
        """
        check_rows(rows, len(query), len(self._gallery))
        found = np.zeros(rows.shape)
        # One list at a time: (k, A) numbers are held, never (Q, k, A).
        for number, (listed, asked) in enumerate(zip(rows, query.astype(np.float64), strict=True)):
            held = self._held(listed)
            shared = held @ (asked * self._weights)
            if self.kind == "jaccard":
                either = asked.sum() + held.sum(axis=1) - shared
                shared = np.divide(shared, either, out=np.zeros_like(shared), where=either > 0)
            found[number] = np.where(listed >= 0, shared, 0.0)
        return found

    def contributions(self, rows: Rows, query: npt.NDArray[Any]) -> tuple[tuple[str, ...], Floats]:
        """The names, and what each adds to the overlap of one query (A,) with some results (n,): (n, A)."""
        return self.names, np.asarray(self._held(rows) * query * self._weights, dtype=np.float64)

    def _held(self, rows: Rows) -> Floats:
        return self._gallery[np.maximum(rows, 0)].astype(np.float64) * self._unit


def check_rows(rows: Rows, queries: int, gallery: int) -> None:
    """Refuses lists that are not (queries, k), and rows that a gallery of so many images does not have."""
    if rows.ndim != 2 or len(rows) != queries:
        raise RerankError(f"rows {rows.shape} must be (queries, k) for {queries} queries")
    if rows.size and (rows.min() < -1 or rows.max() >= gallery):
        raise RerankError(f"rows go from {rows.min()} to {rows.max()}, the gallery has {gallery} images")
