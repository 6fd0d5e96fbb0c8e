"""By the attributes that hold, as in the paper (see `croquis.rerank.weighing`)."""

from __future__ import annotations

from croquis.rerank.evidence import GalleryEvidence
from croquis.rerank.overlap import Overlap, flags
from croquis.rerank.rerank_settings import RerankBlock
from croquis.rerank.reranker import Reranker, needed
from croquis.rerank.steps import ByAttributes


def make(block: RerankBlock, known: GalleryEvidence) -> ByAttributes:
    """Of a gallery's attributes those count too that the classifier, and so a query, does not know: they are in unions."""
    sets = needed(known.attributes)()
    names = sorted({*needed(known.names), *(name for held in sets for name in held)})
    overlap = Overlap(names, flags(sets, names), block.overlap, known.counts)
    return ByAttributes(overlap, lambda asked, some: flags(asked.attributes[some], names), block)


RERANKER = Reranker(settings=None, make=make, needs_classifier=True, weighed=True)
