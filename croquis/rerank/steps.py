"""The steps that a re-ranking may be made of: what each looks at, and the scores that it gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from croquis.index.ranking import RankedLists
from croquis.rerank.attributes import Weighing
from croquis.rerank.evidence import QueryEvidence, Vectors
from croquis.rerank.overlap import Floats, Rows

Contributions = tuple[tuple[str, ...], Floats]


class Step(Protocol):
    """One re-ranker."""

    def scores(self, asked: QueryEvidence, ranked: RankedLists) -> Floats:
        """New scores (Q, k) for lists (Q, k), best first, that may have ended early; higher is better."""
        ...

    def contributions(self, asked: QueryEvidence, query: int, rows: Rows) -> Contributions | None:
        """Attributes, and what each adds to the overlap of some results (n,) with a query: (n, attributes); None where
        attributes play no part."""
        ...


class Comparison(Protocol):
    """Queries against the gallery by attributes: sets that hold (`SharedAttributes`), or probabilities (`Overlap`)."""

    def overlaps(self, rows: Rows, query: Any, /) -> Floats: ...

    def contributions(self, rows: Rows, query: Any, /) -> Contributions: ...


class ByAttributes:
    """`attributes`, the sets that hold, as in the paper; and `probability`, the expected overlap, so that a doubtful
    attribute counts for as much as it is likely.

    Args:
        comparison: of the gallery.
        take: what it compares with, of the queries: one entry for each.
    """

    def __init__(
        self, comparison: Comparison, take: Callable[[QueryEvidence], Sequence[Any]], weighing: Weighing
    ) -> None:
        self._comparison, self._take, self._weighing = comparison, take, weighing

    def scores(self, asked: QueryEvidence, ranked: RankedLists) -> Floats:
        return self._weighing.totals(self.overlaps(asked, ranked.rows), ranked.scores)

    def overlaps(self, asked: QueryEvidence, rows: Rows) -> Floats:
        """(Q, k), 0 where a list has ended."""
        return self._comparison.overlaps(rows, self._take(asked))

    def contributions(self, asked: QueryEvidence, query: int, rows: Rows) -> Contributions:
        return self._comparison.contributions(rows, self._take(asked)[query])


class ByVectors:
    """`k_reciprocal` and `alpha_qe`: one shortlist at a time.

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
