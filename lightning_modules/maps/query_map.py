"""A map for queries of a domain of their own, onto the vectors of the photos that they show, in closed form.

Photos that a generator paints are such a domain, and so are drawings: an encoder of photos sees other means in them, and
other scatter. With x the vectors of queries, y those that the encoder and the map behind it give of the photos shown, in
ridge regression (Hoerl & Kennard 1970)

    W = (C + shrinkage * tr(C) / D * I)^-1 mean((x - mean(x)) (y - mean(y))^T),    C = mean((x - mean(x)) (x - mean(x))^T),

a query becomes mean(y) + W^T (x - mean(x)), of length 1: the expected photo, as far as its numbers tell. Photos keep their
own map, so that an index stays what it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from croquis.arrays import Vectors
from croquis.nets.linear_map import LinearMap
from lightning_modules.maps.pair_map import reciprocal_rank

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class QueryPairs:
    """Vectors of queries and of the photos that they show, row for row.

    Attributes:
        queries: (N, D), of the encoder without any map.
        photos: (N, d), behind its map, of length 1.
        items: (N,) number of the item shown.
        labels: (N,) what a right answer shares with a query: its item, or its category.
    """

    queries: Vectors
    photos: Vectors
    items: Rows
    labels: Rows

    def __len__(self) -> int:
        return len(self.items)


@dataclass(frozen=True)
class ChosenQueryMap:
    """The best map, its shrinkage, and its score on val."""

    linear: LinearMap
    shrinkage: float
    score: float


def choose_query_map(train: QueryPairs, val: QueryPairs, shrinkages: Sequence[float]) -> ChosenQueryMap:
    """The map of train pairs whose shrinkage is best on val: by the mean reciprocal rank of the first right photo.

    Val decides, and no part of train: a generator paints the drawings that it has learned from better than others.

    Raises:
        ValueError: when there are fewer than two train pairs, or no shrinkage.
    """
    if len(train) < 2 or not shrinkages:
        raise ValueError(f"a map of queries needs two pairs and a shrinkage: {len(train)}, {list(shrinkages)}")
    maps = dict(zip(shrinkages, regressions(train, shrinkages), strict=True))
    scores = {each: reciprocal_rank(linear.apply(val.queries) @ val.photos.T, val) for each, linear in maps.items()}
    best = max(scores, key=lambda each: scores[each])
    return ChosenQueryMap(maps[best], best, scores[best])


def regressions(train: QueryPairs, shrinkages: Sequence[float]) -> list[LinearMap]:
    """A map for each shrinkage, above 0; the spectrum of the queries is taken once for all."""
    mean, target = (side.mean(axis=0, dtype=np.float64) for side in (train.queries, train.photos))
    centred = train.queries - mean
    values, vectors = np.linalg.eigh(centred.T @ centred / len(centred))
    together = vectors.T @ (centred.T @ (train.photos - target) / len(centred))
    found = []
    for shrinkage in shrinkages:
        weights = vectors @ (together / (np.maximum(values, 0) + shrinkage * values.mean())[:, None])
        found.append(LinearMap(np.vstack([weights, target - mean @ weights]).astype(np.float32)))
    return found
