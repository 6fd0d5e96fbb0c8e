"""Retrieval figures of the val split during training, on the same definitions as the final evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from retrieval import metrics

if TYPE_CHECKING:
    from lightning_modules.data import RetrievalData

CHUNK = 256
HIT_KS = (1, 5)
Ranking = npt.NDArray[np.int64]


def primary_pair(data: RetrievalData) -> str:
    """The pair that decides on checkpoints: consumer to shop where val has such queries, else shop to shop."""
    domains = data.val.domains[data.val_is_query]
    return "consumer_to_shop" if "consumer" in domains else "shop_to_shop"


def retrieval_scores(embeddings: npt.NDArray[np.float32], data: RetrievalData) -> dict[str, float]:
    """hit@1, hit@5 and mAP@R of every domain pair of the val split.

    Args:
        embeddings: (len(data.val), D), of length 1.

    Returns:
        Names such as `consumer_to_shop/hit_at_1` (the tracker allows no `@` or `>` in names).
    """
    scores: dict[str, float] = {}
    gallery = np.flatnonzero(~data.val_is_query)
    for domain in ("consumer", "shop"):
        queries = np.flatnonzero(data.val_is_query & (data.val.domains == domain))
        if len(queries):
            pair = f"{domain}_to_shop"
            scores |= {
                f"{pair}/{name}": value for name, value in _pair_scores(embeddings, data, queries, gallery).items()
            }
    return scores


def _pair_scores(
    embeddings: npt.NDArray[np.float32], data: RetrievalData, queries: Ranking, gallery: Ranking
) -> dict[str, float]:
    items = data.val.items
    n_relevant = (items[queries][:, None] == items[gallery]).sum(axis=1)
    depth = min(len(gallery), max(int(n_relevant.max(initial=1)), *HIT_KS))
    order = np.concatenate(
        [
            rank_gallery(embeddings[queries[i : i + CHUNK]], embeddings[gallery], depth)
            for i in range(0, len(queries), CHUNK)
        ]
    )
    relevance = items[gallery][order] == items[queries][:, None]
    scores = {f"hit_at_{k}": float(metrics.hit_at_k(relevance, k).mean()) for k in HIT_KS}
    return scores | {"map_at_r": float(metrics.average_precision_at_r(relevance, n_relevant).mean())}


def rank_gallery(queries: npt.NDArray[np.float32], gallery: npt.NDArray[np.float32], depth: int) -> Ranking:
    """The `depth` nearest gallery rows by cosine, best first; (Q, D) and (G, D) -> (Q, depth)."""
    return np.argsort(-(queries @ gallery.T), axis=1, kind="stable")[:, :depth]
