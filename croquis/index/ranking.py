"""Ranked lists that no label and no storage order can influence.

An index returns equal scores in the order in which it holds the images, which is often the order of the classes; that
alone has moved published mAP by points. Here equal scores are ordered by a hash of the image's id.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from croquis.arrays import Floats, Keys, Rows, Scores

NO_ROW = -1


@dataclass(frozen=True)
class RankedLists:
    """Results of several queries, best first.

    Attributes:
        rows: (queries, depth) int64 row numbers of the gallery; -1 where a list has ended.
        scores: (queries, depth) float32, higher is better; -inf where a list has ended.
    """

    rows: Rows
    scores: Scores

    def cut(self, depth: int) -> RankedLists:
        """The first `depth` places of each list, at most those that there are."""
        return self if depth >= self.rows.shape[1] else RankedLists(self.rows[:, :depth], self.scores[:, :depth])


def one_list(rows: Rows, scores: Floats | Scores) -> RankedLists:
    """A whole ranking (n,) as one list, (1, n + 1), at whose last place it has ended."""
    return RankedLists(
        np.append(rows, NO_ROW).astype(np.int64)[None], np.append(scores, -np.inf).astype(np.float32)[None]
    )


def label_blind_keys(image_ids: Sequence[str]) -> Keys:
    """64 bits of SHA-256 of each id: an order that is independent of items, classes and storage; (rows,) uint64."""
    digests = (hashlib.sha256(image_id.encode()).digest()[:8] for image_id in image_ids)
    return np.frombuffer(b"".join(digests), dtype=">u8").astype(np.uint64)


def drop_rows(ranked: RankedLists, unwanted: Rows) -> RankedLists:
    """Takes the `unwanted` rows (queries, any number; -1 for none) out of each query's list and closes the gaps."""
    touched = np.flatnonzero((unwanted != NO_ROW).any(axis=1))
    if not len(touched):
        return ranked
    rows, scores = ranked.rows.copy(), ranked.scores.copy()
    head = rows[touched]
    drop = (head[:, :, None] == unwanted[touched][:, None, :]).any(axis=2) & (head != NO_ROW)
    order = np.argsort(drop, axis=1, kind="stable")
    rows[touched] = np.take_along_axis(np.where(drop, NO_ROW, head), order, axis=1)
    scores[touched] = np.take_along_axis(np.where(drop, -np.inf, scores[touched]), order, axis=1)
    return RankedLists(rows, scores)


def relevance_of(ranked: RankedLists, query_labels: npt.NDArray[np.int64], labels: Rows) -> npt.NDArray[np.bool_]:
    """(queries, depth) bool: whether the image at that rank carries the query's label (item, or class)."""
    present = ranked.rows != NO_ROW
    return np.asarray(present & (labels[np.where(present, ranked.rows, 0)] == query_labels[:, None]), dtype=np.bool_)
