"""Fusing rankings: what weights give, what Optuna finds, and that no query is judged by weights that saw it."""

from __future__ import annotations

import numpy as np
import optuna
import pytest

from benchmarks.common.studies import load_studies
from benchmarks.sketches.path_fusion import BY_PLACES, BY_SCORES, FusedPaths
from benchmarks.sketches.sketch_fusion import across_halves, fusion_table
from croquis.evaluation.protocol import INSTANCE
from croquis.evaluation.ranked_answers import RelevanceJudge
from croquis.index.ranking import NO_ROW, RankedLists
from tests.support.benchmark_cells import rows_of

QUERIES, IMAGES = 200, 20
optuna.logging.set_verbosity(optuna.logging.WARNING)


def ranked(scores: np.ndarray) -> RankedLists:
    order = np.argsort(-scores, axis=1, kind="stable")
    return RankedLists(order, np.take_along_axis(scores, order, axis=1).astype(np.float32))


@pytest.fixture(scope="module")
def paths() -> FusedPaths:
    """Two paths that each see the right photo through noise of their own, and one that sees nothing, on another scale."""
    drawn = np.random.default_rng(0)
    right = np.arange(QUERIES) % IMAGES
    clear = np.eye(IMAGES)[right]
    scores = {name: clear + 0.55 * drawn.normal(size=clear.shape) for name in ("one", "other")}
    scores["blind"] = 100 * drawn.normal(size=clear.shape)
    none = np.full((QUERIES, 1), NO_ROW)
    judge = RelevanceJudge(right, np.arange(IMAGES), none, np.ones(QUERIES, dtype=np.int64), INSTANCE)
    items = np.array([f"item-{number}" for number in right])
    return FusedPaths.of({name: ranked(each) for name, each in scores.items()}, judge, items)


@pytest.mark.parametrize("kind", [BY_PLACES, BY_SCORES])
def test_a_weight_alone_gives_the_paths_own_ranking(paths: FusedPaths, kind: str) -> None:
    for path in range(3):
        totals = paths.tables[BY_SCORES][path]
        hits = totals.argmax(axis=1) == paths.judge.query_codes
        assert paths.values(kind, paths.alone(path), "hit@1").tolist() == hits.astype(float).tolist()


def test_places_add_what_the_librarys_fusion_gives_and_scores_are_of_one_scale() -> None:
    lists = RankedLists(np.array([[2, 0, 1, NO_ROW]]), np.array([[9.0, 5.0, 5.0, -np.inf]], dtype=np.float32))
    judge = RelevanceJudge(np.array([0]), np.arange(4), np.array([[NO_ROW]]), np.array([1]), INSTANCE)
    found = FusedPaths.of({"path": lists}, judge, np.array(["item"]))
    assert found.tables[BY_PLACES][0, 0].tolist() == [1 / 62, 1 / 62, 1 / 61, 0.0]
    scores = found.tables[BY_SCORES][0, 0]
    assert scores.mean() == pytest.approx(0)
    assert scores.std() == pytest.approx(1)
    assert scores[3] == scores[0] == scores[1] < scores[2]


@pytest.mark.parametrize("kind", [BY_PLACES, BY_SCORES])
def test_weights_leave_out_what_sees_nothing_and_gain_by_the_rest(paths: FusedPaths, kind: str) -> None:
    weights = paths.best_weights(kind, "map@r", 30, 7)
    best = paths.values(kind, paths.alone(paths.best_alone("map@r")), "map@r").mean()
    assert weights.sum() == pytest.approx(1)
    assert weights[2] < min(weights[:2])
    assert paths.values(kind, weights, "map@r").mean() > best + 0.05
    assert np.array_equal(weights, paths.best_weights(kind, "map@r", 30, 7))


def test_where_fusing_gains_nothing_a_path_stays_alone(paths: FusedPaths) -> None:
    perfect = ranked(np.eye(IMAGES)[paths.judge.query_codes])
    lists = {"blind": ranked(-np.eye(IMAGES)[paths.judge.query_codes]), "perfect": perfect}
    found = FusedPaths.of(lists, paths.judge, paths.items)
    assert found.best_alone("map@r") == 1
    assert found.best_weights(BY_SCORES, "map@r", 10, 7).tolist() == [0.0, 1.0]


def test_each_half_is_judged_by_what_was_chosen_on_the_other(paths: FusedPaths) -> None:
    chosen_on: list[set[str]] = []

    def choose(half: FusedPaths) -> np.ndarray:
        chosen_on.append(set(half.items))
        return half.alone(len(chosen_on) - 1)  # the first path for the one half, the second for the other

    found = across_halves(paths, choose, BY_SCORES, 7)["hit@1"]
    first, second = chosen_on
    assert first | second == set(paths.items)
    assert not first & second
    for items, path in ((second, 0), (first, 1)):
        judged = np.isin(paths.items, list(items))
        own = paths.values(BY_SCORES, paths.alone(path), "hit@1")
        assert found[judged].tolist() == own[judged].tolist()


def test_the_table_has_each_path_with_its_weights_and_each_fusion_with_its_gain() -> None:
    def figure(value: float) -> dict[str, float]:
        return {"value": value, "low": value - 0.1, "high": value + 0.1}

    alone = {
        path: {split: {metric: figure(value) for metric in ("hit@1", "map@r")} for split in ("val", "test")}
        for path, value in (("straight, edges", 0.5), ("straight, sketch_map", 0.6))
    }
    weights = {"straight, edges": 0.25, "straight, sketch_map": 0.75}
    gain = {metric: figure(0.05) for metric in ("hit@1", "map@r")}
    split = {"hit@1": figure(0.65), "map@r": figure(0.65), "gain": gain}
    fused = {kind: {"weights": weights, "val": split, "test": split} for kind in (BY_PLACES, BY_SCORES)}
    cell = {"seed": 7, "commit": "abc", "alone": alone, "fused": fused, "queries": [9, 8], "images": 20}
    settings = {"epochs_scale": 1.0, "changes": {}, "share": 1.0}
    found = fusion_table({"settings": settings, "cells": {"lines/7": cell}}, load_studies()["sketch-fusion"])
    assert found.startswith(
        "Row `lines`: 9 and 8 queries of val and test; 20 gallery images of test; seed 7; code abc."
    )
    rows = rows_of(found)
    assert rows["straight, edges"][0] == "0.500 (0.400 to 0.600)"
    assert rows["straight, edges"][4:] == ["", "", "0.25", "0.25"]
    assert rows["fused by scores"][4:6] == ["+0.050 (-0.050 to +0.150)"] * 2
