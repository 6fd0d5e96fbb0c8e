"""By alpha-weighted query expansion (Radenovic, Tolias and Chum 2019), on the shortlist."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial

import numpy as np

from croquis.arrays import Floats
from croquis.rerank.evidence import GalleryEvidence
from croquis.rerank.overlap import RerankError
from croquis.rerank.reranker import Reranker
from croquis.rerank.steps import DIGITS, ByVectors, unit_rows
from croquis.settings import SearchRange, check_settings, setting


@dataclass(frozen=True)
class AlphaQe:
    """See `alpha_qe_scores`."""

    neighbours: int = setting("results that join the query", 1, 1000)
    power: float = setting("alpha of the paper: results weigh cosine ** power", 0.0, 100.0)

    def __post_init__(self) -> None:
        check_settings(self, RerankError)


def alpha_qe_scores(query: Floats, shortlist: Floats, *, neighbours: int, power: float) -> Floats:
    """A shortlist by alpha-weighted query expansion (Radenovic, Tolias and Chum 2019): cosines (n,).

    The query becomes the unit vector of itself plus its nearest results, each times max(cosine, 0) ** power, and the
    shortlist is compared with that. The original searches the gallery again; here the shortlist is what is sorted.

    Args:
        query: (D,).
        shortlist: (n, D), nearest first.
        neighbours: results that join the query, at least 1.
        power: the paper's alpha, at least 0; 0 is plain averaging.
    """
    asked, points = unit_rows(query), unit_rows(shortlist)
    joined = points[:neighbours]
    weights = np.maximum(joined @ asked, 0.0) ** power
    expanded = unit_rows(asked + weights @ joined)
    return np.asarray(np.round(points @ expanded, DIGITS), dtype=np.float64)


def make(settings: AlphaQe, known: GalleryEvidence) -> ByVectors:
    """The step over a gallery's vectors."""
    return ByVectors(known.vectors, partial(alpha_qe_scores, **asdict(settings)))


RERANKER = Reranker(
    settings=AlphaQe,
    make=make,
    needs_classifier=False,
    space={"neighbours": SearchRange(1, 30, log=True), "power": SearchRange(0.0, 10.0)},
)
