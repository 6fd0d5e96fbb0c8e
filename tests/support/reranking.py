"""Galleries, queries and ranked lists for tests of re-ranking."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from croquis.index.ranking import RankedLists
from croquis.rerank.evidence import GalleryEvidence, QueryEvidence
from croquis.rerank.overlap import LEVELS, to_bytes
from croquis.rerank.rerank_settings import RerankBlock
from croquis.rerank.rerankers.alpha_qe import AlphaQe
from croquis.rerank.rerankers.k_reciprocal import KReciprocal

NAMES = tuple(f"attribute:{number}" for number in range(6))
GALLERY, RANKS, DIM = 40, 30, 5
BLOCK = RerankBlock(
    enabled=True,
    depth=20,
    alpha=1.0,
    beta=2.0,
    overlap="count",
    gallery_attributes="predicted",
    steps=("attributes",),
    standing="rank",
    compare=(),
    settings={"k_reciprocal": KReciprocal(20, 6, 0.3), "alpha_qe": AlphaQe(3, 3.0)},
)


def decide(probabilities: np.ndarray) -> list[frozenset[str]]:
    return [frozenset(NAMES[column] for column in np.flatnonzero(row >= 0.5)) for row in probabilities]


def asks(sets: Sequence[set[str]]) -> QueryEvidence:
    """Queries of which only attributes are known."""
    vectors = np.zeros((len(sets), DIM), np.float32)
    return QueryEvidence(vectors, lambda: vectors, lambda _: [frozenset(one) for one in sets])


def world(seed: int, queries: int = 5) -> tuple[QueryEvidence, GalleryEvidence, RankedLists]:
    """Queries, a gallery, and lists of which the first ends early."""
    random = np.random.default_rng(seed)
    vectors, gallery = random.normal(size=(queries, DIM)), random.normal(size=(GALLERY, DIM))
    chances, held = random.random((queries, len(NAMES))), to_bytes(random.random((GALLERY, len(NAMES))))
    similar = (vectors @ gallery.T).astype(np.float32)
    rows = np.argsort(-similar, axis=1)[:, :RANKS]
    scores = np.take_along_axis(similar, rows, axis=1)
    rows[0, 11:], scores[0, 11:] = -1, -np.inf
    known = GalleryEvidence(
        vectors=lambda some: gallery[some].astype(np.float32),
        names=NAMES,
        attributes=lambda: decide(held / LEVELS),
        holdings=lambda: held,
    )
    asked = QueryEvidence(vectors.astype(np.float32), lambda: chances.astype(np.float32), decide)
    return asked, known, RankedLists(rows, scores)
