"""Retrieval figures of the val split during training, on the same definitions as the final evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from croquis.arrays import Vectors
from croquis.evaluation import metrics
from croquis.index.ranking import label_blind_keys

if TYPE_CHECKING:
    from lightning_modules.data.retrieval_data import RetrievalData

CHUNK = 256
HIT_KS = (1, 5)
QUERY_DOMAINS = ("consumer", "shop", "sketch")
Ranking = npt.NDArray[np.int64]


def primary_pair(data: RetrievalData) -> str:
    """The pair that decides on checkpoints: that of the first of `QUERY_DOMAINS` that val has queries of."""
    domains = data.val.domains[data.val_is_query]
    return f"{next(domain for domain in QUERY_DOMAINS if domain in domains)}_to_shop"


def decisive_score(data: RetrievalData) -> str:
    """The score by which the best epoch is picked: mAP@R of the primary pair, or mAP@all where categories count."""
    return f"{primary_pair(data)}/{average_name(data)}"


def average_name(data: RetrievalData) -> str:
    """As a tracker takes it. A depth of its own would mean nothing on a sample of the gallery, so that all ranks count."""
    return "map_at_r" if data.protocol.relevance == "item" else "map_at_all"


def retrieval_scores(asked: Vectors, stored: Vectors, data: RetrievalData) -> dict[str, float]:
    """hit@1, hit@5 and mAP of every domain pair of the val split.

    Args:
        asked: (len(data.val), D), each val image as a query.
        stored: (len(data.val), D), each val image as the index keeps it.

    Returns:
        Names such as `consumer_to_shop/hit_at_1` (the tracker allows no `@` or `>` in names).
    """
    scores: dict[str, float] = {}
    gallery = np.flatnonzero(~data.val_is_query)
    gallery = gallery[np.argsort(label_blind_keys(data.val.image_ids[gallery].tolist()), kind="stable")]
    for domain in QUERY_DOMAINS:
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
    n_relevant = np.bincount(items[gallery], minlength=int(items.max(initial=0)) + 1)[items[queries]]
    whole = average_name(data) == "map_at_all"
    depth = len(gallery) if whole else min(len(gallery), max(int(n_relevant.max(initial=1)), *HIT_KS))
    found: dict[str, list[metrics.PerQuery]] = {}
    for start in range(0, len(queries), CHUNK):
        part = queries[start : start + CHUNK]
        order = rank_gallery(asked[part], stored[gallery], depth)
        relevance, counts = items[gallery][order] == items[part][:, None], n_relevant[start : start + CHUNK]
        average = metrics.named_average_precision("map@all" if whole else "map@r", relevance, counts)
        values = {f"hit_at_{k}": metrics.hit_at_k(relevance, k) for k in HIT_KS} | {average_name(data): average}
        for name, each in values.items():
            found.setdefault(name, []).append(each)
    return {name: float(np.concatenate(parts).mean()) for name, parts in found.items()}


def rank_gallery(queries: Vectors, gallery: Vectors, depth: int) -> Ranking:
    """The `depth` nearest gallery rows, best first; (Q, D) and (G, D) -> (Q, depth).

    By Euclidean distance, which orders vectors of one length as cosine and signs as Hamming distance do. Equal distances
    keep the gallery's order.
    """
    nearness = queries @ gallery.T - np.square(gallery).sum(axis=1) / 2
    return np.argsort(-nearness, axis=1, kind="stable")[:, :depth]
