"""The file that figures are kept in."""

from __future__ import annotations

import pytest

from benchmarks.common.recorded_results import Results, by_name
from benchmarks.common.studies import BenchmarkError
from croquis.files import read_json


def test_figures_stay_and_are_found_by_their_key(tmp_path):
    first = Results(tmp_path / "reports/some.json", {"scale": 1}, tmp_path)
    first.add("dhd/2", {"key": "abc", "value": 1})
    again = Results(tmp_path / "reports/some.json", {"scale": 1}, tmp_path)
    assert again.has("dhd/2", "abc")
    assert not again.has("dhd/2", "changed")
    assert not again.has("dhd/3", "abc")


def test_two_processes_do_not_lose_each_others_figures(tmp_path):
    first, second = (Results(tmp_path / "some.json", {}, tmp_path) for _ in range(2))
    first.add("a/1", {"key": "x"})
    second.add("b/1", {"key": "y"})
    assert list(read_json(tmp_path / "some.json")["cells"]) == ["a/1", "b/1"]


def test_figures_made_otherwise_are_not_mixed(tmp_path):
    Results(tmp_path / "some.json", {"epochs_scale": 1.0}, tmp_path).add("a/1", {"key": "x"})
    with pytest.raises(BenchmarkError, match=r"some\.json was made with other settings \(epochs_scale\).*--reports"):
        Results(tmp_path / "some.json", {"epochs_scale": 0.1}, tmp_path).has("a/1", "x")


def test_cells_are_grouped_by_name_in_order_of_the_seeds():
    grouped = by_name({"dhd@16/10": 1, "dhd@16/9": 2, "spq/1": 3})
    assert {name: list(cells.items()) for name, cells in grouped.items()} == {
        "dhd@16": [(9, 2), (10, 1)], "spq": [(1, 3)],
    }  # fmt: skip
