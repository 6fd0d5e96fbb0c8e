"""One ranking from two, of a picture and of words, by reciprocal rank fusion.

An image's score is `(1 - weight) / (60 + its place for the picture) + weight / (60 + its place for the words)`, where a list
without it adds nothing (Cormack, Clarke & Büttcher, SIGIR 2009, with weights). Images of equal score share the first of
their places: a hundred products with the same words stand in the order of the picture.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from croquis.arrays import Floats, Rows
from croquis.index.ranking import NO_ROW, one_list
from croquis.lazy import Lazy
from croquis.search.gallery import Listed
from croquis.search.grouping import merged

CONSTANT = 60
FUSED = 2000  # the best images of each of the two rankings take part


@dataclass(frozen=True)
class WordRanking:
    """What words find, and how much it counts.

    Attributes:
        find: from a number to the best so many images, one list.
        weight: 0 to 1; the picture has the rest.
    """

    find: Callable[[int], Listed]
    weight: float

    def beside(self, find: Callable[[int], Listed]) -> Callable[[int], Listed]:
        """What picture and words find together, from a depth to one list; `find` is the picture's."""
        once = Lazy(lambda: fused(merged(find(FUSED)), self.find(FUSED), self.weight))
        return lambda depth: cut(once.get(), depth)


def fused(pictured: Listed, worded: Listed, weight: float) -> Listed:
    """One list of every image of two lists, each of which has one; it ends."""
    images, others = pictured.images.with_others(worded.images, _present(worded))
    rows = np.concatenate([_present(pictured), others])
    parts = np.concatenate([(1 - weight) * _parts(pictured), weight * _parts(worded)])
    distinct, place = np.unique(rows, return_inverse=True)
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
    scores = listed.ranked.scores[0, : len(_present(listed))]
    places = 1 + np.searchsorted(-scores, -scores, side="left")
    return np.asarray(1 / (CONSTANT + places), dtype=np.float64)
