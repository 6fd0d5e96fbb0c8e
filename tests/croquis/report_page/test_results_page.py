"""The page of results: its structure, that it loads nothing, its charts' data, and the rows of the error browser."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from croquis.cli import main
from croquis.files import read_json, write_json
from croquis.params import Params
from croquis.report_page import results_page as page_module
from croquis.report_page.error_browser import SHOWN
from croquis.report_page.method_results import ResultsError, read_results
from croquis.report_page.results_page import CONTENTS, MOST_BYTES, PAGE, write_results_page

WAY = ("test", "consumer->shop", "encoder", "none")
METHODS = ["histogram", "siamese"]


@dataclass
class Reader(HTMLParser):
    """Elements with their attributes, in order; the texts of scripts; and for each row the panels that it stands in."""

    elements: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    scripts: list[tuple[dict[str, str], str]] = field(default_factory=list)
    rows: list[tuple[tuple[str, ...], str, list[list[str]]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self._open: list[tuple[str, dict[str, str]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.elements.append((tag, found))
        kind = found.get("class", "")
        if kind == "row":
            panels = tuple(each["data-key"] for _, each in self._open if "data-key" in each)
            section = next((each["id"] for name, each in self._open if name == "section"), "")
            self.rows.append(((section, *panels), found["data-query"], []))
        elif kind == "line":
            self.rows[-1][2].append([])
        elif kind in ("hit", "miss"):
            self.rows[-1][2][-1].append(kind)
        if tag not in ("img", "meta", "br", "input"):
            self._open.append((tag, found))

    def handle_endtag(self, tag: str) -> None:
        while self._open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1][0] == "script":
            self.scripts.append((self._open[-1][1], data))

    def charts(self) -> dict[str, dict[str, Any]]:
        return {about["data-chart"]: json.loads(text) for about, text in self.scripts if "data-chart" in about}

    def panel(self, *names: str) -> list[tuple[str, list[list[str]]]]:
        return [(query, lines) for panels, query, lines in self.rows if panels == names]


@pytest.fixture(scope="module")
def reader(results_text: str) -> Reader:
    found = Reader()
    found.feed(results_text)
    return found


@pytest.fixture(scope="module")
def ranks(results_project: Path) -> dict[str, dict[str, int]]:
    """Method -> query -> rank, as the stage `evaluate` stored them."""
    found = {}
    for method in METHODS:
        table = pq.read_table(results_project / f"reports/evaluation/{method}.queries.parquet").to_pylist()
        keys = ("split", "pair", "path", "rerank")
        found[method] = {row["query_id"]: row["rank"] for row in table if tuple(row[key] for key in keys) == WAY}
    return found


def behind(rank: int) -> int:
    return rank or 10**9


@pytest.mark.slow
def test_the_contents_list_leads_to_every_section(reader: Reader) -> None:
    links = [about["href"] for tag, about in reader.elements if tag == "a"]
    sections = [about["id"] for tag, about in reader.elements if tag == "section"]
    assert links == [f"#{name}" for name in sections] == [f"#{name}" for name in CONTENTS]


def test_nothing_is_loaded_from_outside(reader: Reader) -> None:
    assert not {tag for tag, _ in reader.elements} & {"link", "iframe", "object", "embed", "base"}
    places = [about[name] for _, about in reader.elements for name in ("src", "href", "action") if name in about]
    assert [place for place in places if not place.startswith("#")] == []
    policies = [
        about["content"] for _, about in reader.elements if about.get("http-equiv") == "Content-Security-Policy"
    ]
    assert len(policies) == 1
    assert policies[0].startswith("default-src 'none'")
    assert "http" not in policies[0]


def test_every_picture_that_is_named_is_there(reader: Reader) -> None:
    pictures = json.loads(next(text for about, text in reader.scripts if about.get("id") == "pictures"))
    assert pictures
    assert all(picture.startswith("data:image/jpeg;base64,") for picture in pictures)
    numbers = [int(about["data-p"]) for tag, about in reader.elements if tag == "img"]
    mapped = [row["picture"] for row in reader.charts()["map"]["data"]["values"]]
    assert set(numbers) | set(mapped) == set(range(len(pictures)))


def fields_of(value: Any) -> set[str]:
    """The names of columns that a specification uses."""
    if isinstance(value, dict):
        own = {value["field"]} if isinstance(value.get("field"), str) else set()
        return own.union(*(fields_of(each) for name, each in value.items() if name != "data"))
    return set().union(*map(fields_of, value)) if isinstance(value, list) else set()


def test_every_chart_has_data_for_what_it_draws_and_for_what_is_chosen_first(reader: Reader) -> None:
    charts = reader.charts()
    places = {about["id"] for tag, about in reader.elements if tag == "div" and "id" in about}
    assert {f"chart-{name}" for name in charts} == places
    wanted = {"scores", "curves", "by-category", "pareto-0", "pareto-1", "ranks", "rerank", "map", "training", "parts"}
    assert set(charts) == wanted
    for name, spec in charts.items():
        rows = spec["data"]["values"]
        assert rows, name
        assert fields_of(spec) <= set(rows[0]), name
        for param in spec["params"]:
            if "bind" in param and "options" in param["bind"]:
                column = param["bind"]["name"].removesuffix(": ")
                rows = [row for row in rows if row[column] == param["value"]]
        assert rows, name


def test_the_charts_repeat_the_reports(reader: Reader, results_project: Path) -> None:
    charts = reader.charts()
    for method in METHODS:
        report = read_json(results_project / f"reports/evaluation/{method}.json")["splits"]["test"]["runs"]
        run = next(each for each in report if (each["pair"], each["path"], each["rerank"]) == WAY[1:])
        about = {"method": method, "queries": "consumer to shop"}
        (score,) = select(charts["scores"], **about, metric="hit@1")
        assert score["value"] == run["metrics"]["hit@1"]["value"]
        (first,) = select(charts["curves"], **about, k=5)
        assert first["hit@k"] == pytest.approx(run["metrics"]["hit@5"]["value"], abs=1e-6)
        assert sum(row["count"] for row in select(charts["ranks"], method=method)) == run["queries"]
        assert sum(row["count"] for row in select(charts["by-category"], method=method)) == run["queries"]
    assert {"train/loss", "val/score"} < {row["metric"] for row in select(charts["training"], method="siamese")}
    assert not select(charts["training"], method="histogram")
    assert not select(charts["training"], metric="started")
    assert {row["re-ranking"] for row in charts["rerank"]["data"]["values"]} == {"alpha_qe"}


def select(chart: dict[str, Any], **wanted: Any) -> list[dict[str, Any]]:
    return [row for row in chart["data"]["values"] if wanted.items() <= row.items()]


@pytest.mark.parametrize("method", METHODS)
def test_the_worst_queries_come_first_with_the_answers_that_they_got(
    reader: Reader, ranks: dict[str, dict[str, int]], method: str
) -> None:
    wrong = {query: behind(rank) for query, rank in ranks[method].items() if rank != 1}
    rows = reader.panel("errors", "Worst queries", method)
    assert [query for query, _ in rows] == sorted(wrong, key=lambda query: (-wrong[query], query))[:10]
    for query, (answers, right) in rows:
        first = answers.index("hit") + 1 if "hit" in answers else None
        assert first == (wrong[query] if wrong[query] <= SHOWN else None)
        assert right == ["hit"] * len(right)
        assert right


def test_two_methods_side_by_side_show_where_one_is_right_and_the_other_wrong(
    reader: Reader, ranks: dict[str, dict[str, int]]
) -> None:
    best_first = sorted(METHODS, key=lambda name: -sum(rank == 1 for rank in ranks[name].values()))
    assert best_first != list(METHODS), "the order of params.yaml would do"
    wanted = []
    for winner, loser in (best_first, best_first[::-1]):
        won = [query for query in ranks[winner] if ranks[winner][query] == 1 != ranks[loser][query]]
        wanted += sorted(won, key=lambda query: (-behind(ranks[loser][query]), query))[:5]
    rows = reader.panel("errors", "Two methods side by side", "|".join(best_first))
    assert [query for query, _ in rows] == wanted
    assert [lines[0][0] for _, lines in rows] == ["hit"] * len(wanted)
    assert [lines[1][0] for _, lines in rows] == ["miss"] * len(wanted)


@pytest.mark.parametrize("method", METHODS)
def test_confusions_show_the_wrong_first_answer_beside_the_right_one_most_alike_first(
    results_text: str, reader: Reader, ranks: dict[str, dict[str, int]], method: str
) -> None:
    rows = reader.panel("errors", "Near-identical confusions", method)
    assert rows
    assert all(lines == [["miss", "hit"]] for _, lines in rows)
    assert all(ranks[method][query] != 1 for query, _ in rows)
    start = results_text.index(f'data-key="{method}"', results_text.index('data-key="Near-identical confusions"'))
    gaps = [float(gap) for gap in re.findall(r"difference (\d\.\d\d)", results_text[start:])[: len(rows)]]
    assert gaps == sorted(gaps)


def test_galleries_show_the_same_queries_for_every_method(reader: Reader) -> None:
    ways = {panels[1] for panels, _, _ in reader.rows if panels[0] == "answers"}
    assert ways == {"consumer to shop", "shop to shop", "sketch to shop by direct"}
    for way in ways:
        first, second = ([query for query, _ in reader.panel("answers", way, method)] for method in METHODS)
        assert first == second
        assert first


def test_a_re_ranking_is_shown_before_and_after(reader: Reader, ranks: dict[str, dict[str, int]]) -> None:
    rows = reader.panel("reranking", "siamese")
    assert rows
    for query, (before, _) in rows:
        rank = ranks["siamese"][query]
        assert (before.index("hit") + 1 if "hit" in before else 0) == (rank if rank <= SHOWN else 0)


def test_the_command_writes_one_file_within_the_bound(
    results_project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(results_project)
    monkeypatch.setattr(page_module, "results_page", lambda *_: "<p>page</p>")
    assert main(["plots"]) == 0
    assert f"wrote {(results_project / PAGE).resolve()} (0.0 MB)" in capsys.readouterr().out
    assert (results_project / PAGE).read_text() == "<p>page</p>"


def test_the_page_is_small_and_a_larger_one_is_refused(
    results_text: str, results_project: Path, results_params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(results_text.encode()) < MOST_BYTES == 10_000_000
    monkeypatch.setattr(page_module, "results_page", lambda *_: "x" * (MOST_BYTES + 1))
    with pytest.raises(ResultsError, match=r"10\.0 MB.*fewer methods"):
        write_results_page(results_project, results_params)


def test_outputs_that_are_missing_or_of_another_bundle_are_named(
    results_project: Path, results_params: Params, tmp_path: Path
) -> None:
    with pytest.raises(ResultsError, match=r"no method of histogram, siamese .*: run croquis repro"):
        read_results(tmp_path, results_params)
    for name in ("reports", "models"):
        shutil.copytree(results_project / name, tmp_path / name)
    (tmp_path / "reports/evaluation/histogram.queries.parquet").unlink()
    assert [result.name for result in read_results(tmp_path, results_params)] == ["siamese"]
    report = read_json(tmp_path / "reports/evaluation/siamese.json")
    write_json(tmp_path / "reports/evaluation/siamese.json", report | {"bundle": "0" * 64})
    with pytest.raises(ResultsError, match=r"siamese\.json was measured with another bundle"):
        read_results(tmp_path, results_params)
