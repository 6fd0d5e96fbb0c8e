"""What params.yaml asks of a catalogue is held against it when it is validated, with the values that would do."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from croquis.catalog.table import Catalog, CatalogWriter
from croquis.evaluation.answerable import answered_pairs, unanswerable, unlearnable
from croquis.evaluation.protocol import PROTOCOLS, open_gallery
from croquis.params import load_params
from croquis.validation.quarantine import ValidationError
from lightning_modules.data.retrieval_data import DataError
from stages.train_classifier import load_data
from tests.support.environment import REPOSITORY

Rows = list[dict[str, Any]]
INSTANCE, CATEGORY = PROTOCOLS["instance"], PROTOCOLS["category"]


def written(folder: Path, rows: Rows) -> Catalog:
    with CatalogWriter(folder) as writer:
        for row in rows:
            writer.write(row)
    return Catalog.open(folder)


def only(rows: Rows, **values: object) -> Rows:
    return [row for row in rows if all(row[name] == value for name, value in values.items())]


def test_a_sound_catalogue_answers(tmp_path: Path, catalogue_rows: Rows):
    catalog = written(tmp_path, catalogue_rows)
    assert answered_pairs(catalog, "val", open_gallery(catalog, "val", INSTANCE)) == {
        "consumer->shop": 3,
        "shop->shop": 3,
    }
    assert unanswerable(catalog, INSTANCE, "consumer->shop/hit@1") == []
    assert unanswerable(catalog, CATEGORY, "sketch->shop/hit@1") == []
    assert unlearnable(catalog, 3) is None


def test_a_choice_by_queries_that_are_not_there_names_those_that_are(tmp_path: Path, catalogue_rows: Rows):
    catalog = written(tmp_path, only(catalogue_rows, domain="shop"))
    (problem,) = unanswerable(catalog, INSTANCE, "consumer->shop/hit@5")
    assert problem.startswith("register.select_by is consumer->shop/hit@5")
    assert problem.endswith("set it to shop->shop/hit@5 or sketch->shop/hit@5")


def without_answers(row: dict[str, Any]) -> dict[str, Any]:
    return row | {"item_id": row["image_id"]}


def one_item(row: dict[str, Any]) -> dict[str, Any]:
    return row if row["split"] != "test" else row | {"item_id": "item-09"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            without_answers,
            "no query of val has another photo of its item in the gallery; .*set base.protocol: category",
        ),
        (one_item, "the gallery of test holds one item, so that every answer is right; give it two or more"),
        (lambda row: row | {"role": row["role"].replace("query", "gallery")}, "split val has no queries; give some"),
        (lambda row: row | {"role": row["role"].replace("gallery", "query")}, "has no shop photos with role gallery"),
    ],
)
def test_a_split_that_cannot_be_judged_is_told_with_the_remedy(
    tmp_path: Path, catalogue_rows: Rows, change: Callable[[dict[str, Any]], dict[str, Any]], message: str
):
    catalog = written(tmp_path, [change(row) for row in catalogue_rows])
    problems = unanswerable(catalog, INSTANCE, "shop->shop/hit@1")
    assert any(re.search(message, problem) for problem in problems), problems


def test_attributes_that_cannot_be_learned_are_told(tmp_path: Path, catalogue_rows: Rows):
    none = written(tmp_path / "none", [row | {"attributes": []} for row in catalogue_rows])
    assert "no training photo has an attribute" in str(unlearnable(none, 1))
    few = written(tmp_path / "few", catalogue_rows)
    assert "('sleeve:long' has 9 of 18); lower train_classifier.min_positives" in str(unlearnable(few, 20))
    every = written(tmp_path / "every", [row | {"attributes": ["worn"]} for row in catalogue_rows])
    assert "is absent from others ('worn' has 18 of 18)" in str(unlearnable(every, 1))


@pytest.mark.slow
@pytest.mark.usefixtures("no_data_docs")
def test_validate_refuses_before_anything_is_trained(
    run_stage: Any, catalogue_rows: Rows, capsys: pytest.CaptureFixture[str]
):
    rows = only(catalogue_rows, domain="shop")
    with pytest.raises(ValidationError, match=r"set it to shop->shop/hit@1 or sketch->shop/hit@1"):
        run_stage(rows)
    assert "train_classifier will stop: no attribute has 20 training photos" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.usefixtures("no_data_docs")
@pytest.mark.parametrize("steps", [["attributes"], ["alpha_qe", "probability"]])
def test_re_ranking_by_attributes_that_nobody_can_learn_is_refused_with_the_values_that_work(
    run_stage: Any, catalogue_rows: Rows, steps: list[str]
):
    message = (
        "rerank.enabled is true, and its steps need the attribute classifier: no attribute has 20 training photos.*; or "
        "set rerank.enabled: false, or rerank.steps to some of alpha_qe, k_reciprocal"
    )
    with pytest.raises(ValidationError, match=message):
        run_stage(catalogue_rows, rerank__enabled=True, rerank__steps=steps)


@pytest.mark.slow
@pytest.mark.usefixtures("no_data_docs")
@pytest.mark.parametrize("rerank", [{"enabled": False}, {"enabled": True, "steps": ["k_reciprocal"]}])
def test_attributes_that_nothing_needs_are_not_asked_for(run_stage: Any, catalogue_rows: Rows, rerank: dict[str, Any]):
    """A benchmark of retrieval alone trains no classifier."""
    found = run_stage(catalogue_rows, **{f"rerank__{key}": value for key, value in rerank.items()})
    assert not found.reasons


@pytest.mark.parametrize("attributes", [[], ["worn"]])
def test_a_classifier_with_nothing_to_learn_stops_before_it_reads_an_image(
    tmp_path: Path, catalogue_rows: Rows, monkeypatch: pytest.MonkeyPatch, attributes: list[str]
):
    catalog = written(tmp_path / "catalog", [row | {"attributes": attributes} for row in catalogue_rows])
    monkeypatch.setattr(Catalog, "images", None)
    params = load_params(REPOSITORY / "params.yaml")
    with pytest.raises(DataError, match=r"no training photo has an attribute; name some|no attribute has 20 training"):
        load_data(params, catalog)
