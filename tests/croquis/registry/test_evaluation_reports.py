"""Reading the reports of `evaluate`: which run counts, who is best, and results query by query."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from croquis.files import write_json
from croquis.registry.evaluation_reports import (
    EvaluationError,
    EvaluationReport,
    Measure,
    gains,
    query_scores,
    rank,
    read_evaluations,
)

HIT = Measure("consumer->shop", "hit@1")
SKETCH = Measure("sketch->shop", "hit@1")


def run(pair: str, path: str, rerank: str, value: float) -> dict[str, Any]:
    return {
        "pair": pair,
        "path": path,
        "rerank": rerank,
        "metrics": {"hit@1": {"value": value}, "map@r": {"value": value / 2}},
    }


def write(folder: Path, method: str, *runs: dict[str, Any]) -> None:
    write_json(
        folder / f"{method}.json", {"method": method, "bundle": "b" * 64, "splits": {"val": {"runs": list(runs)}}}
    )


@pytest.fixture
def evaluation(tmp_path: Path) -> EvaluationReport:
    write(
        tmp_path,
        "siamese",
        run("consumer->shop", "encoder", "none", 0.5),
        run("consumer->shop", "encoder", "attributes", 0.6),
        run("sketch->shop", "edges", "none", 0.9),
        run("sketch->shop", "direct", "none", 0.1),
        run("sketch->shop", "gan", "none", 0.2),
    )
    return EvaluationReport.read(tmp_path / "siamese.json")


def test_the_run_that_a_user_gets_counts(evaluation: EvaluationReport) -> None:
    assert evaluation.value("val", HIT) == 0.5
    assert evaluation.value("val", HIT, reranked=True) == 0.6
    assert evaluation.value("val", SKETCH) == 0.2, "through the generator, not edge maps, however good"
    assert evaluation.value("val", SKETCH, reranked=True) == 0.2, "there is no re-ranked run of sketches"


def test_codes_count_by_the_comparison_that_is_served(tmp_path: Path) -> None:
    runs = (run("consumer->shop", "encoder-asymmetric", "none", 0.9), run("consumer->shop", "encoder", "none", 0.4))
    write(tmp_path, "dhd", *runs)
    evaluation = EvaluationReport.read(tmp_path / "dhd.json")
    assert evaluation.value("val", HIT) == evaluation.value("val", HIT, reranked=True) == 0.4
    assert dict(evaluation.figures())["val/consumer->shop/encoder-asymmetric/hit@1"] == 0.9


def test_a_pair_without_queries_names_those_that_exist(evaluation: EvaluationReport) -> None:
    with pytest.raises(
        EvaluationError, match=r"no queries 'shop->shop' \(it has \['consumer->shop', 'sketch->shop'\]\)"
    ):
        evaluation.value("val", Measure("shop->shop", "hit@1"))


def test_best_first_and_equals_in_the_given_order(tmp_path: Path) -> None:
    for method, value in (("histogram", 0.3), ("siamese", 0.5), ("image2vec", 0.5)):
        write(tmp_path, method, run("consumer->shop", "encoder", "none", value))
    ranking = rank(read_evaluations(tmp_path, ["histogram", "siamese", "image2vec"]), "val", HIT, False)
    assert [evaluation.method for evaluation in ranking] == ["siamese", "image2vec", "histogram"]


def test_a_missing_report_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="dvc repro evaluate@siamese"):
        read_evaluations(tmp_path, ["siamese"])


def test_figures_have_names_of_their_own(evaluation: EvaluationReport) -> None:
    figures = dict(evaluation.figures())
    assert len(figures) == 10
    assert figures["val/consumer->shop/encoder+attributes/hit@1"] == 0.6
    assert figures["val/sketch->shop/edges/map@r"] == 0.45


def test_results_query_by_query() -> None:
    rows = [
        ("val", "consumer->shop", "encoder", "none", "q1", "i1", "coat", 1.0),
        ("val", "consumer->shop", "encoder", "none", "q2", "i1", "coat", 0.0),
        ("val", "consumer->shop", "encoder", "attributes", "q1", "i1", "coat", 0.0),
        ("val", "shop->shop", "encoder", "none", "q3", "i2", "dress", 1.0),
        ("test", "consumer->shop", "encoder", "none", "q4", "i3", "dress", 1.0),
    ]
    names = ["split", "pair", "path", "rerank", "query_id", "item_id", "category", "hit@1"]
    table = pa.table(dict(zip(names, zip(*rows, strict=True), strict=True)))
    scores = query_scores(table, "val", HIT, False, "table")
    assert scores.queries.tolist() == ["q1", "q2"]
    assert scores.items.tolist() == ["i1", "i1"]
    assert scores.categories.tolist() == ["coat", "coat"]
    assert scores.values.tolist() == [1.0, 0.0]
    assert query_scores(table, "val", HIT, True, "table").queries.tolist() == ["q1"]
    with pytest.raises(EvaluationError, match="table has no metric 'mrr'"):
        query_scores(table, "val", Measure("consumer->shop", "mrr"), False, "table")


def test_gains_are_paired_by_query_whatever_the_order(tmp_path: Path) -> None:
    """The second is better by 0.5 on every query: no interval is narrower, though each method's own is wide."""
    columns = ["split", "pair", "path", "rerank", "query_id", "item_id", "category", "hit@1"]
    rows = [("test", "consumer->shop", "encoder", "none", f"q{n}", f"i{n}", "coat", n % 2 / 2) for n in range(20)]
    for method, more, order in (("histogram", 0.0, 1), ("siamese", 0.5, -1)):
        write(tmp_path, method, run("consumer->shop", "encoder", "none", 0.25 + more))
        moved = [(*row[:-1], row[-1] + more) for row in rows[::order]]
        table = pa.table(dict(zip(columns, zip(*moved, strict=True), strict=True)))
        pq.write_table(table, tmp_path / f"{method}.queries.parquet")
    floor, best = read_evaluations(tmp_path, ["histogram", "siamese"])
    found = gains(floor, [best], "test", HIT)["siamese"]
    assert (found.value, found.low, found.high) == (0.5, 0.5, 0.5)


def test_measures_are_parsed() -> None:
    assert Measure.parse("consumer->shop/hit@1") == HIT
    assert str(HIT) == "consumer->shop/hit@1"
    with pytest.raises(EvaluationError, match="PAIR/METRIC"):
        Measure.parse("hit@1")
