"""The error browser: worst queries, confusions of lookalikes, two methods side by side, and what a re-ranking moved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import permutations

import numpy as np

from croquis.arrays import Uint8Image
from croquis.evaluation.protocol import JudgedGallery
from croquis.evaluation.results import NO_RERANK
from croquis.report_page.answer_lists import AnswerSheet, Questions
from croquis.report_page.markup import HIT, MISS, PictureRows, panels_of, said, selects, tabs
from croquis.report_page.method_results import MethodResult, QueryRanks, Way
from croquis.report_page.mistakes import (
    Confusion,
    closest_confusions,
    moved_queries,
    queries_to_answer,
    won_queries,
    worst_queries,
)
from croquis.validation.fingerprints import Thumbnails as Cells
from croquis.validation.fingerprints import contrast, difference, thumbnail

SHOWN = 6  # answers in a row
COMPARED = 5  # of each of two methods
FILL_TO = 400  # queries that every method answers, at most, beside those that rows need
ALTERNATIVES = 20  # right photos that a wrong first answer is compared with
NOT_FOUND = "not found"


@dataclass
class ErrorBrowser:
    """Rows of queries that methods answer wrong.

    Attributes:
        results, way: the methods, and the queries in question.
        questions: the opened catalogue.
        rows: that draws them.
        sheets: by method and re-ranking, what it answers the chosen queries with.
    """

    results: Sequence[MethodResult]
    way: Way
    questions: Questions
    rows: PictureRows
    ranks: dict[str, QueryRanks] = field(init=False)
    sheets: dict[str, dict[str, AnswerSheet]] = field(init=False)

    def __post_init__(self) -> None:
        self.ranks = {result.name: result.ranks(self.way) for result in self.results}
        self._moved = dict(self._moves())
        self._looks: dict[int, Uint8Image] = {}
        needed = [worst_queries(found) for found in self.ranks.values()]
        needed += [won_queries(self.ranks[a], self.ranks[b]) for a, b in permutations(self.ranks, 2)]
        needed += [names for _, *moves in self._moved.values() for names in moves]
        wrong = {name: worst_queries(found, len(found.ids)) for name, found in self.ranks.items()}
        ids = queries_to_answer(needed, wrong, FILL_TO)
        self.sheets = {
            result.name: self.questions.answered(result, self.way, ids, rerank=True) for result in self.results
        }

    def _moves(self) -> Iterator[tuple[str, tuple[str, list[str], list[str]]]]:
        """By method: the re-ranking of its bundle, and the queries that it helped and harmed."""
        for result in self.results:
            chains = [run["rerank"] for run in result.runs(rerank=None) if Way(run["pair"], run["path"]) == self.way]
            chain = next((name for name in chains if name != NO_RERANK), None)
            if chain is not None:
                helped, harmed = moved_queries(self.ranks[result.name], result.ranks(self.way, chain))
                yield result.name, (chain, helped, harmed)

    def html(self) -> str:
        """The three browsers behind tabs."""
        names = list(self.ranks)
        pairs = panels_of((f"{a}|{b}", self.differing(a, b)) for a, b in _pairs(names))
        panels = {
            "Worst queries": selects(
                {"method": names},
                panels_of((name, self.worst(name)) for name in names),
                "This method answers every query right at once.",
            ),
            "Near-identical confusions": selects(
                {"method": names},
                panels_of((name, self.confused(name)) for name in names),
                "No first answer of this method is wrong.",
            ),
        }
        if len(names) > 1:
            empty = "Choose two different methods; two that answer the same queries right have nothing to show."
            panels["Two methods side by side"] = selects({"first": names, "second": names}, pairs, empty)
        return tabs(panels)

    def worst(self, method: str) -> Iterator[str]:
        """The queries whose right answer stands furthest behind, then what a right answer is."""
        ranks = self.ranks[method]
        for query in worst_queries(ranks):
            lines = [self._line(method, query, SHOWN, f"{method}:"), self._right(query)]
            yield self.rows.row(query, lines, _rank(ranks, query))

    def confused(self, method: str) -> Iterator[str]:
        """Wrong first answers beside the right photo that they look like, the most alike first."""
        ranks, sheet = self.ranks[method], self.sheets[method][NO_RERANK]
        wrong = [query for query in sheet.places if ranks.behind[ranks.places[query]] > 1]
        for found in closest_confusions(self._confusions(sheet, wrong)):
            photos = self.rows.photo(found.wrong, MISS, "first answer")
            photos += self.rows.photo(found.right, HIT, "right answer")
            note = f"difference {found.difference:.2f}"
            yield self.rows.row(
                found.query, [f'<div class="line">{photos}</div>'], f"{_rank(ranks, found.query)}; {note}"
            )

    def _confusions(self, sheet: AnswerSheet, wrong: Sequence[str]) -> Iterator[Confusion]:
        pairs = [
            (query, first[0], right)
            for query in wrong
            if (first := sheet.rows(query, 1))
            for right in self.rows.right_photos(query)[:ALTERNATIVES]
        ]
        if not pairs:
            return
        photos = sorted({row for _, wrong_row, right in pairs for row in (wrong_row, right)})
        cells = self._cells(photos)
        places = {row: place for place, row in enumerate(photos)}
        one = np.array([places[wrong_row] for _, wrong_row, _ in pairs])
        two = np.array([places[right] for _, _, right in pairs])
        contrasts = contrast(cells)
        gaps = difference(cells[one], cells[two], (contrasts[one], contrasts[two]))
        for (query, wrong_row, right), gap in zip(pairs, gaps.tolist(), strict=True):
            yield Confusion(query, wrong_row, right, gap)

    def _cells(self, photos: Sequence[int]) -> Cells:
        """What photos of the gallery are compared by, (n, 16, 16, 3)."""
        gallery: JudgedGallery = self.questions.gallery
        new = np.array([row for row in photos if row not in self._looks], dtype=np.int64)
        new = new[np.argsort(gallery.rows[new], kind="stable")]  # shards are read once when rows ascend
        for row, image in zip(new.tolist(), gallery.images(new), strict=True):
            self._looks[row] = thumbnail(image)
        return np.stack([self._looks[row] for row in photos])

    def differing(self, first: str, second: str) -> Iterator[str]:
        """Queries that one of two methods answers right at once and the other does not, in both directions."""
        for winner, loser in ((first, second), (second, first)):
            found = won_queries(self.ranks[winner], self.ranks[loser])
            if found:
                yield f"<h4>{winner} is right, {loser} is wrong</h4>"
            for query in found:
                lines = [self._line(name, query, COMPARED, f"{name}:") for name in (winner, loser)]
                yield self.rows.row(query, lines, f"{loser}: {_rank(self.ranks[loser], query)}")

    def reranked(self) -> str:
        """Before and after the re-ranking of each method's bundle; empty where nothing is re-ranked."""
        panels = panels_of((name, self._moved_rows(name, *moves)) for name, moves in self._moved.items())
        return selects({"method": list(panels)}, panels, "") if panels else ""

    def _moved_rows(self, method: str, chain: str, helped: Sequence[str], harmed: Sequence[str]) -> Iterator[str]:
        sheet = self.sheets[method].get(chain)
        if sheet is None:
            return
        after = next(result for result in self.results if result.name == method).ranks(self.way, chain)
        for title, queries in ((f"{chain} helped", helped), (f"{chain} harmed", harmed)):
            if queries:
                yield f"<h4>{title}</h4>"
            for query in queries:
                moves = [] if sheet.before is None else sheet.before[sheet.places[query], :SHOWN].tolist()
                notes = [f"was {move + 1}" if move != place else "" for place, move in enumerate(moves)]
                lines = [
                    self._line(method, query, SHOWN, "before:"),
                    self.rows.line(query, sheet.rows(query, SHOWN), "after:", notes),
                ]
                yield self.rows.row(query, lines, f"{_rank(self.ranks[method], query)}, then {_rank(after, query)}")

    def _line(self, method: str, query: str, count: int, label: str) -> str:
        return self.rows.line(query, self.sheets[method][NO_RERANK].rows(query, count), label)

    def _right(self, query: str) -> str:
        return self.rows.line(query, self.rows.right_photos(query)[:SHOWN], "right:")


def _pairs(names: Sequence[str]) -> list[tuple[str, str]]:
    return [(a, b) for place, a in enumerate(names) for b in names[place + 1 :]]


def _rank(found: QueryRanks, query: str) -> str:
    rank = int(found.ranks[found.places[query]])
    return f"rank {rank}" if rank else NOT_FOUND


def galleries(
    results: Sequence[MethodResult], all_ways: Mapping[Way, tuple[PictureRows, Sequence[str]]], questions: Questions
) -> str:
    """A tab for each way of answering queries; in it the same queries for every method.

    Args:
        all_ways: way -> what draws its rows, and the queries that are shown.
    """
    shown = {}
    for way, (rows, ids) in all_ways.items():
        panels = {}
        for result in results:
            if result.run(way) is None:
                continue
            ranks, sheet = result.ranks(way), questions.answered(result, way, ids)[NO_RERANK]
            found = (
                rows.row(query, [rows.line(query, sheet.rows(query, SHOWN))], _rank(ranks, query))
                for query in ids
                if query in sheet.places
            )
            panels[result.name] = "".join(found)
        shown[way.title] = selects({"method": list(panels)}, panels, "")
    return tabs(shown) if shown else said("No way of answering has queries.")
