"""What the steps of a re-ranking are made of: by attributes, or by the vectors of the shortlist alone.

By vectors, one query and its n nearest results are looked at, (n + 1) x (n + 1) distances at most: never queries x gallery.
Vectors that an index only keeps as codes come back decoded; the query stays as the encoder gave it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from croquis.arrays import Floats, Rows, Vectors
from croquis.index.ranking import RankedLists
from croquis.rerank.evidence import QueryEvidence
from croquis.rerank.overlap import Overlap
from croquis.rerank.rerank_settings import RerankBlock
from croquis.rerank.weighing import totals

Contributions = tuple[tuple[str, ...], Floats]

DIGITS = 12  # of a score by vectors: results that are equal on paper must not part ways in the last bit


class Step(Protocol):
    """One re-ranker."""

    def scores(self, asked: QueryEvidence, ranked: RankedLists) -> Floats:
        """New scores (Q, k) for lists (Q, k), best first, that may have ended early; higher is better."""
        ...

    def contributions(self, asked: QueryEvidence, query: int, rows: Rows) -> Contributions | None:
        """Attributes, and what each adds to the overlap of some results (n,) with a query: (n, attributes); None where
        attributes play no part."""
        ...


class ByAttributes:
    """A weighed step: alpha * standing + beta * overlap.

    Args:
        overlap: with the gallery's attributes.
        take: the attributes (n, A) of some of the queries, as `overlap` compares them.
        block: the weights.
    """

    def __init__(
        self, overlap: Overlap, take: Callable[[QueryEvidence, slice], npt.NDArray[Any]], block: RerankBlock
    ) -> None:
        self._overlap, self._take, self._block = overlap, take, block

    def scores(self, asked: QueryEvidence, ranked: RankedLists) -> Floats:
        return totals(self._block, self.overlaps(asked, ranked.rows), ranked.scores)

    def overlaps(self, asked: QueryEvidence, rows: Rows) -> Floats:
        """(Q, k), 0 where a list has ended."""
        return self._overlap.overlaps(rows, self._take(asked, slice(None)))

    def contributions(self, asked: QueryEvidence, query: int, rows: Rows) -> Contributions:
        return self._overlap.contributions(rows, self._take(asked, slice(query, query + 1))[0])


class ByVectors:
    """A step that rates one shortlist at a time.

    Args:
        vectors: gives the gallery's vectors of some rows.
        rate: query (D,) and shortlist (n, D) to new scores (n,).
    """

    def __init__(self, vectors: Callable[[Rows], Vectors], rate: Callable[[Floats, Floats], Floats]) -> None:
        self._vectors, self._rate = vectors, rate

    def scores(self, asked: QueryEvidence, ranked: RankedLists) -> Floats:
        found = np.zeros(ranked.rows.shape)
        for number, listed in enumerate(ranked.rows):
            present = listed[listed >= 0]  # they come first: a list ends once
            if len(present):
                near = self._vectors(present).astype(np.float64)
                found[number, : len(present)] = self._rate(asked.vectors[number].astype(np.float64), near)
        return found

    def contributions(self, asked: QueryEvidence, query: int, rows: Rows) -> None:  # noqa: ARG002
        return None


def unit_rows(vectors: npt.NDArray[np.floating]) -> Floats:
    """Rows of length 1; a zero row stays zero."""
    values = np.asarray(vectors, dtype=np.float64)
    lengths = np.linalg.norm(values, axis=-1, keepdims=True)
    return np.asarray(values / np.where(lengths > 0, lengths, 1.0), dtype=np.float64)
