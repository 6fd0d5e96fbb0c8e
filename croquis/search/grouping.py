"""From rankings of images to one answer: photos of one query put together, and the best photos of each product.

An answer is what grouping the whole ranking of an index gives: a list is searched deeper until it holds the products that
are asked for, or has ended. This needs indexes whose longer lists begin with the shorter ones, as all of ours do; Milvus
gives no more than 16,384 images, and the graph of Milvus may answer a longer list otherwise.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from croquis.arrays import Rows, Vectors
from croquis.index.exact import normalise
from croquis.index.ranking import NO_ROW, RankedLists
from croquis.search.gallery import Listed, ListedImages
from croquis.search.query import AnswerChoice

SPARE = 32  # images beyond those that would do if every one was of another product
DEEPER = 4  # times as many images in the next list


@dataclass(frozen=True)
class AnswerForm(AnswerChoice):
    """`AnswerChoice`, and how an answer of that form is made of rankings."""

    def listed(self, find: Callable[[int], Listed], k: int, head: int = 0) -> Listed:
        """A ranking of images, one list, that holds the answer.

        Args:
            find: from a depth to the best images for each photo of the query.
            k: images or products.
            head: the first so many images may come in another order later.
        """
        depth = max(k, head)
        if self.group_by == "none":
            return merged(find(depth))
        depth = max(head, k * self.max_per_item + SPARE)
        while True:
            listed = merged(find(depth))
            if listed.ranked.rows[0, -1] == NO_ROW or self._filled(listed, k, head):
                return listed
            depth *= DEEPER

    def answer(self, ranked: RankedLists, images: ListedImages, k: int) -> RankedLists:
        """The best `k` images or products of a ranking that `listed` gave, in whatever order since."""
        if self.group_by == "none":
            return ranked.cut(k)
        rows = ranked.rows[0]
        places = [place for of_one in self._places(_products(rows, images), k).values() for place in of_one]
        return RankedLists(ranked.rows[:, places], ranked.scores[:, places])

    def _places(self, products: Rows, k: int) -> dict[int, list[int]]:
        """The places of the best photos of the first `k` products of a ranking."""
        found: dict[int, list[int]] = {}
        for place, product in enumerate(products.tolist()):
            if product in found:
                if len(found[product]) < self.max_per_item:
                    found[product].append(place)
            elif len(found) < k:
                found[product] = [place]
            elif self.max_per_item == 1:
                break
        return found

    def _filled(self, listed: Listed, k: int, head: int) -> bool:
        """Whether no longer list would change the answer, however the head is ordered."""
        rows = listed.ranked.rows[0]
        products = _products(rows, listed.images)
        if self.max_per_item == 1:
            return len(np.unique(products)) >= k
        in_head = len(np.unique(products[:head]))
        found = self._places(products, max(k, in_head))
        firsts = np.array([places[0] for places in found.values()], dtype=np.int64)
        sizes = np.minimum(listed.images.sizes(rows[firsts]), self.max_per_item)
        return len(found) >= k and all(len(of_one) >= size for of_one, size in zip(found.values(), sizes, strict=True))


def merged(listed: Listed) -> Listed:
    """The lists of several photos as one: the best of their heads is taken again and again, each image once.

    An image's score is thus the best that a photo gives it; equal scores stand in label-blind order. The list ends where one
    of the lists does that might go on, and is the begin of what longer lists would give.
    """
    ranked = listed.ranked
    if len(ranked.rows) == 1:
        return listed
    present = np.unique(ranked.rows[ranked.rows >= 0])
    keys = dict(zip(present.tolist(), listed.images.keys(present).tolist(), strict=True))
    lengths = (ranked.rows >= 0).sum(axis=1).tolist()
    ended = (ranked.rows[:, -1] == NO_ROW).tolist()

    def heads(number: int) -> Iterator[tuple[float, int, int, int]]:
        lines = (line[number, : lengths[number]].tolist() for line in (ranked.scores, ranked.rows))
        return ((-score, keys[row], row, number) for score, row in zip(*lines, strict=True))

    found: dict[int, float] = {}
    whole = True
    for worse, _, row, number in heapq.merge(*map(heads, range(len(lengths)))):
        found.setdefault(row, -worse)
        lengths[number] -= 1
        if not lengths[number] and not ended[number]:
            whole = False
            break
    end = {NO_ROW: -np.inf} if whole else {}
    rows, scores = np.array([*found, *end], dtype=np.int64), np.array([*found.values(), *end.values()], np.float32)
    return Listed(RankedLists(rows[None], scores[None]), listed.images)


def without(listed: Listed, image_id: str, item_id: str | None) -> RankedLists:
    """A ranking without an image, and without the product `item_id`."""
    rows = listed.ranked.rows[0]
    known = listed.images.records(rows[rows >= 0].tolist())
    kept = [record["image_id"] != image_id and record["item_id"] != item_id for record in known]
    places = np.concatenate([np.flatnonzero(kept), np.arange(len(kept), len(rows))])
    return RankedLists(listed.ranked.rows[:, places], listed.ranked.scores[:, places])


def centre(vectors: Vectors, metric: str) -> Vectors:
    """The mean (1, D) of vectors (n, D), each of which counts the same where only their directions do."""
    return centres(vectors, metric, len(vectors))


def centres(vectors: Vectors, metric: str, size: int) -> Vectors:
    """The `centre` of each `size` vectors in a row, (n * size, D) to (n, D)."""
    alike = normalise(vectors) if metric == "cosine" else vectors
    groups = alike.reshape(-1, size, alike.shape[1])
    return np.asarray(groups.mean(axis=1, dtype=np.float64), dtype=np.float32)


def _products(rows: Rows, images: ListedImages) -> Rows:
    return images.products(rows[rows >= 0])
