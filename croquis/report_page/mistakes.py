"""Which queries the error browser shows: the worst of each method, confusions of lookalikes, and where two methods differ.

Ranks are those that the stage `evaluate` stored. All choices are deterministic: equals go by the query's id.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from croquis.index.ranking import label_blind_keys
from croquis.report_page.method_results import QueryRanks

WORST = 10
DIFFERENT = 5  # queries for each direction of two methods
MOVED = 4  # queries that a re-ranking helped, and as many that it harmed
ALIKE = 10


def worst_queries(found: QueryRanks, count: int = WORST) -> list[str]:
    """Ids of the queries whose first right answer stands furthest behind, the worst first; right at once: left out.

    >>> import numpy as np
    >>> worst_queries(QueryRanks(["a", "b", "c", "d"], ["x"] * 4, ["y"] * 4, np.array([3, 1, 0, 9])))
    ['c', 'd', 'a']
    """
    behind = found.behind
    order = sorted(np.flatnonzero(behind > 1).tolist(), key=lambda place: (-behind[place], found.ids[place]))
    return [found.ids[place] for place in order[:count]]


def won_queries(first: QueryRanks, second: QueryRanks, count: int = DIFFERENT) -> list[str]:
    """Ids of queries that the first method answers right at once and the second does not, the largest gap first."""
    behind = {name: int(second.behind[place]) for name, place in second.places.items()}
    wins = [
        (behind[name], name)
        for name, rank in zip(first.ids, first.ranks.tolist(), strict=True)
        if rank == 1 and behind.get(name, 1) > 1
    ]
    return [name for _, name in sorted(wins, key=lambda win: (-win[0], win[1]))[:count]]


def moved_queries(before: QueryRanks, after: QueryRanks, count: int = MOVED) -> tuple[list[str], list[str]]:
    """Ids of the queries that a re-ranking helped most, and of those that it harmed most, by the share of the rank."""
    gains = []
    for name, rank in zip(before.ids, before.behind.tolist(), strict=True):
        later = int(after.behind[after.places[name]]) if name in after.places else rank
        # In ratios: from 2 to 1 is more than from 52 to 51.
        gains.append((np.log2(rank) - np.log2(later), name))
    helped = sorted((gain for gain in gains if gain[0] > 0), key=lambda gain: (-gain[0], gain[1]))
    harmed = sorted((gain for gain in gains if gain[0] < 0), key=lambda gain: (gain[0], gain[1]))
    return [name for _, name in helped[:count]], [name for _, name in harmed[:count]]


def sampled(ids: Iterable[str], count: int) -> list[str]:
    """Some of the ids by a hash of them, so that neither results nor storage order decide; the same for every method."""
    names = sorted(ids)
    keys = label_blind_keys(names)
    return [names[place] for place in np.argsort(keys, kind="stable")[:count].tolist()]


@dataclass(frozen=True)
class Confusion:
    """A wrong first answer that looks like a right one.

    Attributes:
        query: its id.
        wrong, right: gallery rows: the first answer, and the right photo that is most like it.
        difference: of the two, see `croquis.validation.fingerprints.difference`: 0 for equal pictures, about 1.4 for
            unrelated ones.
    """

    query: str
    wrong: int
    right: int
    difference: float


def closest_confusions(found: Iterable[Confusion], count: int = ALIKE) -> list[Confusion]:
    """The confusions whose pictures are most alike first; each pair of photos once."""
    kept: dict[frozenset[int], Confusion] = {}
    for each in sorted(found, key=lambda confusion: (confusion.difference, confusion.query)):
        kept.setdefault(frozenset((each.wrong, each.right)), each)
    return list(kept.values())[:count]


def queries_to_answer(needed: Iterable[Sequence[str]], wrong: Mapping[str, Iterable[str]], fill_to: int) -> list[str]:
    """Ids of all `needed` queries, and wrong ones of the methods in turn until there are `fill_to`; sorted."""
    chosen = {name for names in needed for name in names}
    rest = sampled({name for names in wrong.values() for name in names} - chosen, max(0, fill_to - len(chosen)))
    return sorted(chosen | set(rest))
