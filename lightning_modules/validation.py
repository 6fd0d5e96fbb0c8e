"""Retrieval figures of the val split during training, on the same definitions as the final evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from retrieval import metrics
from retrieval.ranking import label_blind_keys

if TYPE_CHECKING:
    from lightning_modules.data import RetrievalData

CHUNK = 256
HIT_KS = (1, 5)
Ranking = npt.NDArray[np.int64]
Vectors = npt.NDArray[np.float32]


def primary_pair(data: RetrievalData) -> str:
    """The pair that decides on checkpoints: consumer to shop where val has such queries, else shop to shop."""
    domains = data.val.domains[data.val_is_query]
    return "consumer_to_shop" if "consumer" in domains else "shop_to_shop"


def retrieval_scores(asked: Vectors, stored: Vectors, data: RetrievalData) -> dict[str, float]:
    """hit@1, hit@5 and mAP@R of every domain pair of the val split.

    Args:
        asked: (len(data.val), D), each val image as a query.
        stored: (len(data.val), D), each val image as the index keeps it.

    Returns:
        Names such as `consumer_to_shop/hit_at_1` (the tracker allows no `@` or `>` in names).
    """
    scores: dict[str, float] = {}
    gallery = np.flatnonzero(~data.val_is_query)
    gallery = gallery[np.argsort(label_blind_keys(data.val.image_ids[gallery].tolist()), kind="stable")]
    for domain in ("consumer", "shop"):
        queries = np.flatnonzero(data.val_is_query & (data.val.domains == domain))
        if len(queries):
            pair = f"{domain}_to_shop"
            scores |= {
                f"{pair}/{name}": value for name, value in _pair_scores(asked, stored, data, queries, gallery).items()
            }
    return scores


def _pair_scores(
    asked: Vectors, stored: Vectors, data: RetrievalData, queries: Ranking, gallery: Ranking
) -> dict[str, float]:
    items = data.val.items
    n_relevant = (items[queries][:, None] == items[gallery]).sum(axis=1)
    depth = min(len(gallery), max(int(n_relevant.max(initial=1)), *HIT_KS))
    order = np.concatenate(
        [rank_gallery(asked[queries[i : i + CHUNK]], stored[gallery], depth) for i in range(0, len(queries), CHUNK)]
    )
    relevance = items[gallery][order] == items[queries][:, None]
    scores = {f"hit_at_{k}": float(metrics.hit_at_k(relevance, k).mean()) for k in HIT_KS}
    return scores | {"map_at_r": float(metrics.average_precision_at_r(relevance, n_relevant).mean())}


def rank_gallery(queries: Vectors, gallery: Vectors, depth: int) -> Ranking:
    """The `depth` nearest gallery rows, best first; (Q, D) and (G, D) -> (Q, depth).

    By Euclidean distance, which orders vectors of one length as cosine and signs as Hamming distance do. Equal distances
    keep the gallery's order.
    """
    nearness = queries @ gallery.T - np.square(gallery).sum(axis=1) / 2
    return np.argsort(-nearness, axis=1, kind="stable")[:, :depth]
