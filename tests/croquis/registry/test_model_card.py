"""The model card's words: what it is meant for, and which categories it says are below the whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from croquis.bundle import Bundle
from croquis.files import read_json
from croquis.params import load_params
from croquis.registry.evaluation_reports import EvaluationReport, Measure
from croquis.registry.model_card import CardFacts, model_card
from croquis.registry.registry import RegisteredVersion
from tests.support.registry.evaluated_project import empty_project

METRIC = "hit@1"
Figure = tuple[float, float, float]
Card = Callable[..., str]


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> CardFacts:
    root = empty_project(tmp_path_factory)
    bundle = Bundle.load(root / "models/bundles/siamese")
    return CardFacts(
        version=RegisteredVersion(1, bundle.hash, "siamese", {}, "run"),
        bundle=bundle,
        evaluation=EvaluationReport.read(root / "reports/evaluation/siamese.json"),
        measure=Measure("shop->shop", METRIC),
        params=load_params(root / "params.yaml").model_dump(by_alias=True),
        validation=None,
        latency_ms=1.0,
    )


@pytest.fixture
def card(facts: CardFacts) -> Card:
    """`card(overall, {category: (value, low, high)})`: the card of a retriever with these figures; 40 items each."""

    def written(overall: float, categories: dict[str, Figure], protocol: str = "instance") -> str:
        splits = read_json(facts.evaluation.path)["splits"]
        run = next(run for run in splits["test"]["runs"] if run["pair"] == "shop->shop")
        run["metrics"][METRIC] = {"value": overall, "low": overall, "high": overall, "chance": 0.01}
        run["categories"] = {name: category(figure) for name, figure in categories.items()}
        params = {**facts.params, "base": {**facts.params["base"], "protocol": protocol}}
        return model_card(replace(facts, evaluation=replace(facts.evaluation, splits=splits), params=params))

    return written


def category(figure: Figure) -> dict[str, Any]:
    estimate = dict(zip(("value", "low", "high"), figure, strict=True))
    return {"items": 40, "queries": 40, "metrics": {METRIC: estimate}}


@pytest.mark.slow
def test_a_category_as_good_as_the_whole_is_not_called_weak(card: Card) -> None:
    text = card(0.96, {"shoes": (0.95, 0.91, 0.98), "bags": (0.97, 0.94, 1.0)})
    assert "No category of at least 10 items is surely below the overall hit@1 of 0.960." in text
    assert "Weak" not in text
    assert "shoes is below" not in text


def test_a_category_surely_below_the_whole_is_named_with_its_interval(card: Card) -> None:
    text = card(0.9, {"shoes": (0.5, 0.35, 0.65), "bags": (0.97, 0.94, 1.0), "hats": (0.7, 0.6, 0.89)})
    assert "- shoes is below the overall hit@1 of 0.900: 0.500 (0.350-0.650),\n  40 items." in text
    assert "- hats is below the overall hit@1 of 0.900" in text
    assert "bags is below" not in text
    assert "No category" not in text


@pytest.mark.parametrize(
    ("protocol", "sought"),
    [
        ("instance", "the same product"),
        ("category", "products of the same category"),
        ("cifar10_c", "products of the same category"),
    ],
)
def test_it_says_what_the_protocol_counts_as_right(card: Card, protocol: str, sought: str) -> None:
    text = card(0.9, {}, protocol)
    assert f"Meant for: finding {sought} in a catalogue" in text
    assert ("the same product" in text) == (protocol == "instance")
