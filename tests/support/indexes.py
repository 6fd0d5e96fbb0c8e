"""Indexes by the keys of the block `index` of params.yaml, of which a test names those that it is about."""

from __future__ import annotations

from typing import Any

import numpy as np

from croquis.index.build import build_index
from croquis.index.kinds import chosen_comparison, chosen_settings
from croquis.index.vector_index import VectorIndex

BLOCK = {
    "kind": "flat",
    "hnsw_links": 32,
    "hnsw_ef_search": 64,
    "ivf_lists": 16,
    "ivf_probes": 8,
    "pq_subspaces": 16,
    "pq_bits": 8,
    "codes": "flat",
    "binary_comparison": "symmetric",
    "pq_comparison": "asymmetric",
}


def index_of(
    vectors: np.ndarray, *, metric: str, head: str = "dense", codebooks: np.ndarray | None = None, **values: Any
) -> VectorIndex:
    block = {**BLOCK, **values}
    settings = chosen_settings(head, block)
    comparison = chosen_comparison(head, block)
    return build_index(vectors, settings, metric=metric, head=head, comparison=comparison, codebooks=codebooks)
