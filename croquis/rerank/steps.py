"""The steps that a re-ranking may be made of: what each looks at, and the scores that it gives."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from croquis.arrays import Floats, Rows, Vectors
from croquis.index.ranking import RankedLists
from croquis.rerank.attributes import Weighing
from croquis.rerank.overlap import Holdings, RerankError

Probabilities = npt.NDArray[np.float32]
Contributions = tuple[tuple[str, ...], Floats]


@dataclass(frozen=True)
class QueryEvidence:
    """What is known of Q queries; the classifier looks at them when first asked, and once.

    Attributes:
        vectors: (Q, D) as they were searched.
        label: gives the probabilities (Q, A) of the queries; None without a classifier.
        decide: from those to the sets of attributes that hold.
    """

    vectors: Vectors
    label: Callable[[], Probabilities] | None = None
    decide: Callable[[Probabilities], list[frozenset[str]]] | None = None

    @cached_property
    def probabilities(self) -> Probabilities:
        if self.label is None:
            raise RerankError("there is no attribute classifier: choose the steps k_reciprocal or alpha_qe")
        return self.label()

    @cached_property
    def attributes(self) -> list[frozenset[str]]:
        if self.decide is None:
            raise RerankError("there is no attribute classifier: choose the steps k_reciprocal or alpha_qe")
        return self.decide(self.probabilities)


@dataclass(frozen=True)
class GalleryEvidence:
    """What is known of the gallery, by row.

    Attributes:
        vectors: gives the stored vectors of some rows, (n,) -> (n, D); decoded where the index keeps codes.
        names: the classifier's attributes; None without one.
        attributes: gives the sets that queries are compared with.
        holdings: gives (N, names) for `probability`, see `croquis.rerank.overlap.Holdings`.
    """

    vectors: Callable[[Rows], Vectors]
    names: tuple[str, ...] | None = None
    attributes: Callable[[], Sequence[Collection[str]]] | None = None
    holdings: Callable[[], Holdings] | None = None


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
