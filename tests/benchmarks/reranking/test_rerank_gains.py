"""The benchmark of re-rankers: settings come from val, figures are paired, and tables come from reports alone."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.common.studies import load_studies
from benchmarks.reranking.rerank_gains import (
    ORACLE,
    PLAIN,
    RERANKERS,
    choose,
    compare,
    gains,
    rerank_table,
    said,
    with_true_attributes,
)
from croquis.evaluation.protocol import Queries
from croquis.index.ranking import RankedLists
from croquis.rerank.chain import Chain
from croquis.rerank.evidence import GalleryEvidence, QueryEvidence
from croquis.tuning.shortlist import Shortlists

NAMES = ("colour:blue", "colour:red", "sleeve:long")
QUERIES, GALLERY = 12, 16


def shortlists(seed: int) -> Shortlists:
    """Queries whose right answers share their attributes, ranked by vectors that know little of it."""
    random = np.random.default_rng(seed)
    held = random.random((GALLERY, len(NAMES))) < 0.5
    answers = random.integers(GALLERY, size=QUERIES)
    vectors, gallery = random.normal(size=(QUERIES, 4)), random.normal(size=(GALLERY, 4))
    similar = (vectors @ gallery.T).astype(np.float32)
    rows = np.argsort(-similar, axis=1)
    chances = np.where(held[answers], 0.8, 0.2).astype(np.float32)
    sets = [frozenset(np.array(NAMES)[line]) for line in held]
    known = GalleryEvidence(lambda some: gallery[some].astype(np.float32), NAMES, lambda: sets, lambda: held)
    labels = np.array([f"item-{answer}" for answer in answers], dtype=object)
    asks = Queries(None, np.arange(QUERIES), labels, labels, labels, np.full(QUERIES, None))
    return Shortlists(
        ranked=RankedLists(rows, np.take_along_axis(similar, rows, axis=1)),
        relevance=rows == answers[:, None],
        n_relevant=np.ones(QUERIES, dtype=np.int64),
        queries=asks,
        asked=QueryEvidence(vectors.astype(np.float32), lambda: chances, lambda _: [sets[row] for row in answers]),
        known={"predicted": known, "catalogue": known},
        normaliser="retrievable",
    )


def test_every_reranker_is_tried_and_each_point_can_be_set():
    lists = shortlists(1)
    known = lists.known["predicted"]
    for name, tried in RERANKERS.items():
        blocks = list(tried())
        assert len(blocks) > 10, name
        assert len({str(said(block)) for block in blocks}) == len(blocks), "no point is tried twice"
        assert all(Chain(block.steps, block, known) and block.enabled for block in blocks)


@pytest.mark.slow
def test_settings_are_the_best_on_val_and_test_has_no_say():
    val, tried = shortlists(1), list(RERANKERS["probability"]())
    block = choose(val, iter(tried), "map@r")
    assert val.score("map@r", block) == max(val.score("map@r", each) for each in tried)
    for seed in (2, 3):
        found = gains({"val": val, "test": shortlists(seed)}, ("map@r", "hit@1"), 50, 0)
        assert found["probability"]["settings"] == said(block)


def test_figures_are_those_of_the_lists_and_gains_are_paired():
    lists, block = shortlists(4), replace(PLAIN, enabled=True, beta=5.0)
    found = compare(lists, block, ("hit@1",), 200, 0)["hit@1"]
    before, after = lists.values("hit@1", PLAIN), lists.values("hit@1", block)
    assert np.array_equal(before, lists.relevance[:, 0])
    assert found["before"]["value"] == pytest.approx(before.mean(), abs=1e-6)
    assert found["gain"]["value"] == pytest.approx((after - before).mean(), abs=1e-6)
    same = compare(lists, PLAIN, ("hit@1",), 200, 0)["hit@1"]["gain"]
    assert (same["low"], same["high"]) == (0, 0)


def test_the_oracle_asks_with_what_the_catalogue_says():
    said_of = np.empty(QUERIES, dtype=object)
    said_of[:] = [["colour:red"]] * QUERIES
    lists = shortlists(5)
    told = with_true_attributes(lists, SimpleNamespace(column={"attributes": said_of}.__getitem__))
    assert told.asked.attributes == [frozenset({"colour:red"})] * QUERIES
    assert lists.asked.attributes != told.asked.attributes


def test_the_table_tells_gains_and_marks_those_that_are_sure():
    def figures(value, low, high):
        plain = {"value": 0.5, "low": 0.4, "high": 0.6}
        after = {"value": 0.5 + value, "low": 0.0, "high": 1.0}
        return {"before": plain, "after": after, "gain": {"value": value, "low": low, "high": high}}

    splits = {"val": {"map@r": figures(0.1, 0.05, 0.2)}, "test": {"map@r": figures(-0.1, -0.2, 0.1)}}
    told = {
        "micro_f1": 0.4,
        "macro_f1": 0.2,
        "macro_average_precision": 0.3,
        "calibration_error": 0.01,
        "decided_per_image": 8.0,
        "true_per_image": 9.0,
    }
    cell = {
        "seed": 7,
        "commit": "abc",
        "pair": "consumer->shop",
        "metrics": ["map@r", "mrr"],
        "queries": {"val": 50, "test": 60},
        "gallery": {"val": 20, "test": 20},
        "classifier": {"test": told},
        "rerankers": {ORACLE: {"settings": said(replace(PLAIN, beta=0.5)), "splits": splits}},
    }
    head = {"epochs_scale": 1.0, "changes": {}, "share": 1.0}
    lines = rerank_table(
        {"settings": head, "cells": {"siamese/7": cell}}, load_studies()["rerank-rendered"]
    ).splitlines()
    assert "micro F1 0.400" in lines[0]
    assert lines[-2] == "| none |  | 0.500 (0.400 to 0.600) | 0.500 (0.400 to 0.600) |"
    assert "0.600, **+0.100 (+0.050 to +0.200)**" in lines[-1]
    assert "0.400, -0.100 (-0.200 to +0.100)" in lines[-1]
    assert "beta 0.5, standing rank, overlap count" in lines[-1]
