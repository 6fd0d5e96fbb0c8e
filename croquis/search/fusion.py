"""One ranking from several, of a picture, of words and of a text tower, by reciprocal rank fusion.

An image's score is the sum of `weight / (60 + its place)` over the rankings, where a list without it adds nothing (Cormack,
Clarke & Büttcher, SIGIR 2009, with weights). With w of the words, and t of the tower within their share, the weights are
1 - w of the picture, w (1 - t) of the words themselves and w t of the tower. Without a picture w is 1, without a tower t is
0. Images of equal score share the first of their places: a hundred products with the same words stand in the order of the
picture.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from croquis.arrays import Floats, Rows, Scores
from croquis.index.ranking import NO_ROW, one_list
from croquis.lazy import Lazy
from croquis.search.gallery import Listed
from croquis.search.grouping import merged

CONSTANT = 60
FUSED = 2000  # the best images of each ranking take part
Find = Callable[[int], Listed]
"""From a number to the best so many images, one list."""


@dataclass(frozen=True)
class WordRanking:
    """What words find, and how much it counts.

    Attributes:
        find: by the words themselves.
        weight: 0 to 1; the picture has the rest.
        tower: by the vector that a text tower gives the words; None without one.
        tower_weight: 0 to 1, of the tower within `weight`; the words themselves have the rest.
    """

    find: Find
    weight: float
    tower: Find | None = None
    tower_weight: float = 0.0

    def alone(self) -> Find:
        """What words find without a picture."""
        return self.find if self.tower is None else _together(self._weighted(1.0))

    def beside(self, find: Find) -> Find:
        """What picture and words find together, from a depth to one list; `find` is the picture's."""
        return _together([(lambda depth: merged(find(depth)), 1 - self.weight), *self._weighted(self.weight)])

    def _weighted(self, whole: float) -> list[tuple[Find, float]]:
        if self.tower is None:
            return [(self.find, whole)]
        return [(self.find, whole * (1 - self.tower_weight)), (self.tower, whole * self.tower_weight)]


def _together(rankings: Sequence[tuple[Find, float]]) -> Find:
    """One ranking; those of weight 0 are not asked."""
    once = Lazy(lambda: fused([(find(FUSED), weight) for find, weight in rankings if weight]))
    return lambda depth: cut(once.get(), depth)


def fused(rankings: Sequence[tuple[Listed, float]]) -> Listed:
    """One list of every image of some lists, each of which has one and a weight; it ends."""
    images = rankings[0][0].images
    rows = [_present(rankings[0][0])]
    for listed, _ in rankings[1:]:
        images, moved = images.with_others(listed.images, _present(listed))
        rows.append(moved)
    parts = np.concatenate([weight * _parts(listed) for listed, weight in rankings])
    distinct, place = np.unique(np.concatenate(rows), return_inverse=True)
    scores = np.zeros(len(distinct))
    np.add.at(scores, place, parts)
    order = np.lexsort((images.keys(distinct), -scores)) if len(distinct) else np.empty(0, dtype=np.int64)
    return Listed(one_list(distinct[order], scores[order]), images)


def cut(listed: Listed, depth: int) -> Listed:
    """The best `depth` of a ranking, or all of it with its end."""
    return Listed(listed.ranked.cut(depth), listed.images)


def _present(listed: Listed) -> Rows:
    rows = listed.ranked.rows[0]
    return np.asarray(rows[rows != NO_ROW], dtype=np.int64)


def _parts(listed: Listed) -> Floats:
    """What each image of a list gets for its place."""
    return reciprocal_ranks(listed.ranked.scores[0, : len(_present(listed))])


def reciprocal_ranks(scores: Floats | Scores) -> Floats:
    """1 / (60 + place) of each score, (n,), the highest first; equal scores share the first of their places."""
    places = 1 + np.searchsorted(-scores, -scores, side="left")
    return np.asarray(1 / (CONSTANT + places), dtype=np.float64)
