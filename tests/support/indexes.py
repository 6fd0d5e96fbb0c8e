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
DIM = 24
CODEBOOKS = np.random.default_rng(7).standard_normal((6, 16, 4)).astype(np.float32)

SMALL = {"hnsw_links": 16, "ivf_lists": 8, "ivf_probes": 3, "pq_subspaces": 4, "pq_bits": 4}

DENSE: dict[str, dict[str, Any]] = {
    f"{kind}-{metric}": {"kind": kind, "metric": metric, **SMALL}
    for kind in ("flat", "hnsw", "ivfpq")
    for metric in ("cosine", "l2")
}
CODED: dict[str, dict[str, Any]] = {
    f"{head}-{codes}-{comparison}": {
        "head": head,
        "metric": metric,
        "codes": codes,
        f"{head}_comparison": comparison,
        "codebooks": CODEBOOKS if head == "pq" else None,
        **SMALL,
    }
    for head, metric in (("binary", "hamming"), ("pq", "l2"))
    for codes in ("flat", "ivf")
    for comparison in ("asymmetric", "symmetric")
}


def index_of(
    vectors: np.ndarray, *, metric: str, head: str = "dense", codebooks: np.ndarray | None = None, **values: Any
) -> VectorIndex:
    block = {**BLOCK, **values}
    settings = chosen_settings(head, block)
    comparison = chosen_comparison(head, block)
    return build_index(vectors, settings, metric=metric, head=head, comparison=comparison, codebooks=codebooks)


def clustered(count: int, dim: int = DIM, seed: int = 0, noise: float = 0.4) -> np.ndarray:
    """Points around 20 centres: neighbours mean something, unlike those of plain random vectors."""
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(99).standard_normal((20, dim))
    return (centres[random.integers(0, 20, count)] + noise * random.standard_normal((count, dim))).astype(np.float32)


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors.astype(float) / np.linalg.norm(vectors.astype(float), axis=1, keepdims=True)


def coded(vectors: np.ndarray, books: np.ndarray | None) -> np.ndarray:
    """What the codes of vectors stand for, in float64, by the definition: signs, or codewords of `books`."""
    if books is None:
        return np.where(vectors > 0, 1.0, -1.0)
    parts, _, width = books.shape
    pieces = vectors.astype(float).reshape(len(vectors), parts, 1, width)
    nearest = ((pieces - books[None].astype(float)) ** 2).sum(axis=3).argmin(axis=2)
    return np.stack([books[part, nearest[:, part]] for part in range(parts)], axis=1).reshape(len(vectors), -1)


def scores_by_definition(
    queries: np.ndarray,
    stored: np.ndarray,
    *,
    metric: str,
    comparison: str | None,
    codebooks: np.ndarray | None = None,
) -> np.ndarray:
    """All scores (Q, n) in float64 of stored vectors, of codes decoded ones."""
    asked = coded(queries, codebooks) if comparison == "symmetric" else queries.astype(float)
    stored = stored.astype(float)
    if metric == "hamming":
        return asked @ stored.T if comparison == "asymmetric" else -((asked[:, None] * stored[None]) < 0).sum(axis=2)
    asked = unit(asked) if metric == "cosine" else asked
    squared = ((asked[:, None] - stored[None]) ** 2).sum(axis=2)
    return 1 - squared / 2 if metric == "cosine" else -squared


def best_rows(scores: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """All rows, best first; equal scores (to float32, as they are returned) by key."""
    return np.stack([np.lexsort((keys, -line)) for line in scores.astype(np.float32)])
