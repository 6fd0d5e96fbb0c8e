"""What is reported stands once: tables, chance levels, short tables and params derive from it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from croquis.evaluation.metrics import (
    REPORTED,
    REPORTED_K,
    chance_table,
    headline_metrics,
    metric_called,
    metric_table,
)
from croquis.evaluation.protocol import PAIRS, PROTOCOLS
from croquis.params.loader import ParamsError, parse_params, read_yaml
from croquis.tuning.shortlist import per_query
from croquis.tuning.task import TuneError

RELEVANCE = np.array([[True, False, False, True, False], [False, False, True, False, False]])
COUNTS = np.array([3, 1])


def test_the_names_are_those_that_reports_have_always_had() -> None:
    names = ["hit@1", "hit@5", "hit@10", "hit@20", "hit@50", "precision@5", "map@r", "mrr"]
    assert [metric.name for metric in REPORTED] == names
    assert [metric.name for metric in REPORTED if metric.printed] == ["hit@1", "hit@5", "hit@10", "map@r", "mrr"]
    assert headline_metrics(names) == ("hit@1", "hit@5", "map@r")
    assert REPORTED_K == (1, 5, 10, 20, 50)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_protocol_reports_its_own_average_precision_and_its_chance(name: str) -> None:
    protocol = PROTOCOLS[name]
    found = metric_table(RELEVANCE, COUNTS, protocol.metrics)
    levels = chance_table(np.array([99, 99]), COUNTS, 5, protocol.metrics)
    assert list(found) == list(levels) == [metric.name for metric in protocol.metrics]
    assert [each for each in found if each.startswith("map@")] == [protocol.average_precision]
    for metric in protocol.metrics:
        one = metric_called(metric.name, protocol.normaliser).per_query(RELEVANCE, COUNTS)
        assert np.array_equal(one, found[metric.name])
        assert 0 < levels[metric.name] < 1


def test_a_further_metric_is_one_entry() -> None:
    other = replace(REPORTED[0], name="first")
    assert np.array_equal(metric_table(RELEVANCE, COUNTS, (*REPORTED, other))["first"], [1.0, 0.0])
    assert "first" in chance_table(np.array([99, 99]), COUNTS, 5, (other,))


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("pair", [pair.name for pair in PAIRS])
def test_params_may_select_by_whatever_is_reported(protocol: str, pair: str) -> None:
    values = read_yaml("params.yaml")
    values["base"]["protocol"] = protocol
    values["ingest"]["source"] = "folder"
    for metric in PROTOCOLS[protocol].metrics:
        values["register"]["select_by"] = f"{pair}/{metric.name}"
        assert parse_params(values).register_.select_by == f"{pair}/{metric.name}"


@pytest.mark.parametrize("text", ["consumer->shop/hit@2", "shop->consumer/hit@1", "hit@1", "consumer->shop/ndcg@10"])
def test_what_nothing_reports_is_named_with_what_is(text: str) -> None:
    values = read_yaml("params.yaml")
    values["register"]["select_by"] = text
    with pytest.raises(ParamsError, match=r"register\.select_by = '.*must be PAIR/METRIC .*consumer->shop.*hit@50"):
        parse_params(values)


def test_an_unknown_protocol_is_named_with_those_that_are_known() -> None:
    values = read_yaml("params.yaml")
    values["base"]["protocol"] = "cifar10_b"
    with pytest.raises(ParamsError, match=r"base\.protocol = 'cifar10_b': Input should be 'instance', 'category'"):
        parse_params(values)


def test_a_shortlist_tells_all_but_what_needs_the_whole_gallery() -> None:
    for metric in REPORTED:
        assert per_query(metric.name)(RELEVANCE, COUNTS).shape == (2,)
    with pytest.raises(TuneError, match="whole gallery"):
        per_query("map@all")
    with pytest.raises(ValueError, match="'ndcg' is not reported; known: hit@1"):
        per_query("ndcg")
