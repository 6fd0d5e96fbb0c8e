"""By the cosine with the query, and a share of that with the mean of the shortlist."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from croquis.arrays import Floats
from croquis.rerank.evidence import GalleryEvidence
from croquis.rerank.overlap import RerankError
from croquis.rerank.reranker import Reranker
from croquis.rerank.steps import ByVectors, unit_rows
from croquis.settings import SearchRange, check_settings, setting


@dataclass(frozen=True)
class TowardsMean:
    share: float = setting("how much the mean counts", 0.0, 1.0)

    def __post_init__(self) -> None:
        check_settings(self, RerankError)


def scores(query: Floats, shortlist: Floats, *, share: float) -> Floats:
    """Query (D,) and shortlist (n, D) -> (n,)."""
    points = unit_rows(shortlist)
    found: Floats = (1 - share) * points @ unit_rows(query) + share * points @ unit_rows(points.mean(axis=0))
    return found


def make(settings: TowardsMean, known: GalleryEvidence) -> ByVectors:
    return ByVectors(known.vectors, partial(scores, share=settings.share))


RERANKER = Reranker(settings=TowardsMean, make=make, needs_classifier=False, space={"share": SearchRange(0.0, 1.0)})
