"""The re-rankers of a bundle, one after the other over one shortlist.

A step gets the list that the step before it left, with its scores: `[alpha_qe, probability]` weighs the rank, or the score,
after query expansion against the expected overlap. Whatever the steps, the first `depth` results stay the same set, and so
does hit@depth.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from croquis.arrays import Floats, Rows
from croquis.index.ranking import RankedLists
from croquis.plugins import RERANKERS
from croquis.rerank.evidence import GalleryEvidence, QueryEvidence
from croquis.rerank.overlap import RerankError
from croquis.rerank.rerank_settings import RerankBlock
from croquis.rerank.reranker import reranker
from croquis.rerank.steps import Step
from croquis.settings import check_settings

EXPLAINED = 3  # attributes that are named for a result that moved up
NOTABLE = 0.05  # shared attributes; a smaller share in a move is not told


@dataclass(frozen=True)
class Moves:
    """What a chain did to Q lists.

    Attributes:
        order: (Q, k) int64; `order[q, 0]` is the old position (from 0) of the new best result.
        rows: (Q, k) int64 in the new order.
    """

    order: Rows
    rows: Rows


class Chain:
    """Some steps over one gallery; safe to use from several threads.

    Raises:
        RerankError: on a step that is not known or whose evidence the gallery lacks, or a setting out of range.
    """

    def __init__(self, steps: Sequence[str], block: RerankBlock, known: GalleryEvidence) -> None:
        check_steps(steps)
        check_settings(block, RerankError)
        self.depth = block.longest
        self._steps = [make_step(step, block, known) for step in steps]

    def __call__(self, asked: QueryEvidence, ranked: RankedLists) -> Moves:
        """Re-orders the first `depth` of lists of gallery rows (Q, k), best first, that may have ended early."""
        head, order = (
            ranked.cut(self.depth),
            np.tile(np.arange(ranked.rows.shape[1], dtype=np.int64), (len(ranked.rows), 1)),
        )
        for step in self._steps:
            made, head = resorted(head, step.scores(asked, head))
            order[:, : self.depth] = np.take_along_axis(order[:, : self.depth], made, axis=1)
        return Moves(order, np.take_along_axis(ranked.rows, order, axis=1))

    def explain(self, asked: QueryEvidence, moves: Moves, top: int) -> list[list[tuple[str, ...]]]:
        """For each query and each of its first `top` results: the attributes that moved the result up, the weightiest first.

        An attribute's share in a move is what it adds to the overlap of this result, less what it adds on average to
        the overlaps of the results that this one overtook. A result that did not move up, or whom vectors moved, has none.
        """
        return [list(self._reasons(asked, moves, query, top)) for query in range(len(moves.rows))]

    def _reasons(self, asked: QueryEvidence, moves: Moves, query: int, top: int) -> Iterator[tuple[str, ...]]:
        order, rows = moves.order[query], moves.rows[query]
        for place, was in enumerate(order[:top].tolist()):
            behind = slice(place + 1, None)
            overtaken = rows[behind][(order[behind] < was) & (rows[behind] >= 0)]
            yield self._reason(asked, query, int(rows[place]), overtaken) if len(overtaken) else ()

    def _reason(self, asked: QueryEvidence, query: int, row: int, overtaken: Rows) -> tuple[str, ...]:
        looked_at = np.concatenate([np.array([row], dtype=np.int64), overtaken])
        gains: dict[str, float] = {}
        for step in self._steps:
            found = step.contributions(asked, query, looked_at)
            if found is not None:
                names, parts = found
                more = parts[0] - parts[1:].mean(axis=0)
                gains |= {names[i]: gains.get(names[i], 0.0) + float(more[i]) for i in np.flatnonzero(more).tolist()}
        notable = sorted((name for name in gains if gains[name] > NOTABLE), key=lambda name: (-gains[name], name))
        return tuple(notable[:EXPLAINED])


def check_steps(steps: Sequence[str]) -> None:
    """Refuses an empty list, a step that is not known, and one that comes twice."""
    if not steps or not all(map(RERANKERS.knows, steps)) or len(set(steps)) < len(steps):
        raise RerankError(f"rerank.steps = {list(steps)}, must be some of {list(RERANKERS.names)}, each once")


def resorted(ranked: RankedLists, scores: Floats) -> tuple[Rows, RankedLists]:
    """Lists sorted by new scores (Q, k): the old positions, and the lists. Equal scores keep their rank, ends stay ends."""
    found = np.where(ranked.rows >= 0, scores, -np.inf)
    order = np.argsort(-found, axis=1, kind="stable").astype(np.int64)
    rows, kept = (np.take_along_axis(each, order, axis=1) for each in (ranked.rows, found))
    return order, RankedLists(rows, kept)


def make_step(step: str, block: RerankBlock, known: GalleryEvidence) -> Step:
    """One step by its name.

    Raises:
        RerankError: when it is not known, or needs a classifier and there is none, or a setting is out of range.
    """
    entry = reranker(step)
    if entry.needs_classifier and known.names is None:
        raise RerankError(f"the step {step!r} needs an attribute classifier, which this bundle lacks")
    return entry.make(block if entry.weighed else block.settings.get(step), known)
