"""By the attributes that hold, as in the paper (see `croquis.rerank.shared_attributes`)."""

from __future__ import annotations

from operator import attrgetter

from croquis.rerank.evidence import GalleryEvidence
from croquis.rerank.rerank_settings import RerankBlock
from croquis.rerank.reranker import Reranker, needed
from croquis.rerank.shared_attributes import SharedAttributes, Weighing
from croquis.rerank.steps import ByAttributes


def make(block: RerankBlock, known: GalleryEvidence) -> ByAttributes:
    compared = SharedAttributes(needed(known.attributes)(), block.overlap, known.counts)
    return ByAttributes(compared, attrgetter("attributes"), Weighing(block.alpha, block.beta, block.standing))


RERANKER = Reranker(settings=None, make=make, needs_classifier=True, weighed=True)
