"""By the expected overlap (`croquis.rerank.overlap`): a doubtful attribute counts for as much as it is likely."""

from __future__ import annotations

from croquis.rerank.evidence import GalleryEvidence
from croquis.rerank.overlap import Overlap
from croquis.rerank.rerank_settings import RerankBlock
from croquis.rerank.reranker import Reranker, needed
from croquis.rerank.steps import ByAttributes


def make(block: RerankBlock, known: GalleryEvidence) -> ByAttributes:
    """The step over the gallery's attributes; a query's count by their probabilities."""
    overlap = Overlap(needed(known.names), needed(known.holdings)(), block.overlap, known.counts)
    return ByAttributes(overlap, lambda asked, some: asked.probabilities[some], block)


RERANKER = Reranker(settings=None, make=make, needs_classifier=True, weighed=True)
