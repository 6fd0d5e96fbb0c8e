"""What re-ranking may know: of the queries, and of the gallery whose rows it sorts again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from croquis.arrays import Rows, Vectors
from croquis.rerank.overlap import Counts, Holdings, flags
from croquis.rerank.reranker import needed

Probabilities = npt.NDArray[np.float32]


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
        """(Q, A) float32 of the attributes, in [0, 1]."""
        return needed(self.label)()

    @cached_property
    def attributes(self) -> list[frozenset[str]]:
        """The attributes that hold, a set for each query."""
        return needed(self.decide)(self.probabilities)

    def kept(self, labelled: bool) -> QueryEvidence:
        """The same without the pictures: with what the classifier sees now, or without it."""
        if not labelled or self.label is None:
            return QueryEvidence(self.vectors)
        found = self.probabilities
        return QueryEvidence(self.vectors, lambda: found, self.decide)

    def together(self, vectors: Vectors) -> QueryEvidence:
        """All queries as one: with `vectors` (1, D), and with what the classifier sees in them on average."""
        return self.in_groups(len(self.vectors), vectors)

    def in_groups(self, size: int, vectors: Vectors) -> QueryEvidence:
        """Each `size` queries in a row as one: with `vectors` (Q / size, D), and with what the classifier sees in them on
        average."""
        if size == 1:
            return self
        if self.label is None:
            return QueryEvidence(vectors)

        def label() -> Probabilities:
            groups = self.probabilities.reshape(-1, size, self.probabilities.shape[1])
            return np.asarray(groups.mean(axis=1), dtype=np.float32)

        return QueryEvidence(vectors, label, self.decide)

    @classmethod
    def joined(cls, parts: Sequence[QueryEvidence]) -> QueryEvidence:
        """All queries of one search, at least one, in one."""
        vectors = np.concatenate([part.vectors for part in parts])
        if parts[0].label is None:
            return cls(vectors)
        return cls(vectors, lambda: np.concatenate([part.probabilities for part in parts]), parts[0].decide)


@dataclass(frozen=True)
class GalleryEvidence:
    """What is known of the gallery, or of some of its images, by row.

    Attributes:
        vectors: gives the stored vectors of some rows, (n,) -> (n, D); decoded where the index keeps codes.
        names: the classifier's attributes; None without one.
        attributes: gives the sets that queries are compared with.
        holdings: gives (N, names) for `probability`, see `croquis.rerank.overlap.Holdings`.
        counts: gives those of the whole gallery; None where the rows are all of it.
    """

    vectors: Callable[[Rows], Vectors]
    names: tuple[str, ...] | None = None
    attributes: Callable[[], Sequence[Collection[str]]] | None = None
    holdings: Callable[[], Holdings] | None = None
    counts: Counts | None = None


def certain_gallery(
    vectors: Callable[[Rows], Vectors],
    names: tuple[str, ...],
    sets: Sequence[Collection[str]],
    counts: Counts | None = None,
) -> GalleryEvidence:
    """A gallery whose attributes are those of the catalogue: what it says is certain.

    Args:
        vectors: gives the stored vectors of some rows.
    """
    return GalleryEvidence(vectors, names, lambda: sets, lambda: flags(sets, names), counts)
