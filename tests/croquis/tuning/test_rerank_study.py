"""The study `rerank`: its objective is what the stage `evaluate` reports for the same weights."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import optuna
import pytest

from croquis.catalog.table import Catalog
from croquis.evaluation.evaluate_bundle import EvaluationSettings, evaluate_split
from croquis.params import load_params
from croquis.rerank.overlap import RerankError
from croquis.rerank.rerank_settings import RerankBlock
from croquis.search.local_retriever import LocalRetriever
from croquis.settings import SearchRange
from croquis.tuning.rerank_space import point_of, weights
from croquis.tuning.rerank_study import RerankTask, parse_metric
from croquis.tuning.search_values import suggest_point
from croquis.tuning.shortlist import collect
from croquis.tuning.task import TuneError
from tests.support.catalogues.blob_catalogue import RERANK
from tests.support.tuning.study_projects import write_params, write_reranked_bundle

SETTINGS = EvaluationSettings(depth=100, resamples=10, chunk=16, seed=3, edges="canny", edge_size=32)
METRICS = ("hit@1", "hit@10", "precision@5", "map@r", "mrr")


def lists(root, pair="consumer->shop", depth=100):
    retriever = LocalRetriever.load(root / "models/bundles/histogram")
    catalogs = Catalog.open(root / "data/catalog"), Catalog.open(root / "data/sketches")
    return collect(retriever, *catalogs, pair, "val", depth, 7)


def task_of(root, *metric, **options):
    return RerankTask(load_params(root / "params.yaml"), root, "histogram", *metric, **options)


def block(**changes):
    return RerankBlock.from_description({**RERANK, "enabled": True, **changes}, "rerank", RerankError)


OFF = replace(block(), enabled=False)


def evaluated(root, folder, rerank):
    """What `evaluate_split` says of a bundle with these settings, plain and re-ranked."""
    for name in ("models/histogram", "data"):
        shutil.copytree(root / name, folder / name, dirs_exist_ok=True)
    bundle = write_reranked_bundle(folder, Catalog.open(folder / "data/catalog"), "other", **rerank)
    catalogs = Catalog.open(root / "data/catalog"), Catalog.open(root / "data/sketches")
    return evaluate_split(LocalRetriever.load(bundle), *catalogs, "val", SETTINGS)


@pytest.mark.slow
@pytest.mark.parametrize("rerank", [
    {"depth": 60, "alpha": 1.0, "beta": 1.0, "overlap": "count", "gallery_attributes": "predicted"},
    {"depth": 7, "alpha": 2.0, "beta": 3.0, "overlap": "idf", "gallery_attributes": "predicted"},
    {"depth": 25, "alpha": 0.0, "beta": 1.0, "overlap": "jaccard", "gallery_attributes": "predicted"},
    {"depth": 51, "alpha": 0.05, "beta": 1.0, "overlap": "count", "gallery_attributes": "catalogue"},
    {"steps": ["probability"], "depth": 40, "overlap": "idf", "alpha": 9.0, "standing": "score"},
    {"steps": ["probability"], "depth": 40, "gallery_attributes": "catalogue"},
    {"steps": ["k_reciprocal"], "depth": 30},
    {"steps": ["alpha_qe", "attributes"], "depth": 30, "standing": "score", "alpha": 5.0},
])  # fmt: skip
def test_scores_equal_those_of_the_evaluation(reranked_world, tmp_path, rerank):
    result, name = evaluated(reranked_world, tmp_path, rerank), "+".join(rerank.get("steps", ["attributes"]))
    chosen = block(**rerank)
    for pair, path in (("consumer->shop", "encoder"), ("shop->shop", "encoder"), ("sketch->shop", "direct")):
        found = lists(reranked_world, pair)
        run, plain = result.run(pair, path, name), result.run(pair, path)
        for metric in METRICS:
            assert np.array_equal(found.values(metric, chosen), run.metrics[metric])
            assert found.score(metric, OFF) == plain.metrics[metric].mean()
    if chosen.gallery_attributes == "predicted":  # the comparison above must have something to compare
        assert not np.array_equal(result.run("consumer->shop", "encoder").top, run.top)


def test_reranking_changes_the_scores_in_this_world(reranked_world):
    found = lists(reranked_world)
    values = {found.score("mrr", block(beta=beta)) for beta in (0.0, 0.5, 3.0)}
    assert len(values) == 3


def test_lists_that_end_early_stay_as_they_are(reranked_world):
    """The gallery has 60 photos, the lists could hold 100; a query that is a gallery photo itself would leave a gap."""
    found = lists(reranked_world, depth=100)
    assert found.ranked.rows.shape == (60, 60)
    found.ranked.rows[:, -3:] = -1
    found.relevance[:, -3:] = False
    found.overlaps.clear()
    assert 0 < found.score("mrr", block(alpha=0.0)) <= 1


def test_trial_0_is_what_params_say_and_trial_1_switches_it_off(reranked):
    params = load_params(reranked / "params.yaml")
    task = RerankTask(params, reranked, "histogram")
    said = params.rerank
    assert weights(task.anchors[0]["share"]) == (pytest.approx(1.0), pytest.approx(said.beta / said.alpha))
    same = ("depth", "standing", "overlap", "gallery_attributes")
    assert {name: task.anchors[0][name] for name in same} == {name: getattr(said, name) for name in same}
    found = lists(reranked)
    rest = {name: getattr(said, name) for name in same} | {"steps": list(said.steps)}
    assert task.value(task.anchors[0]) == found.score("hit@1", block(alpha=said.alpha, beta=said.beta, **rest))
    assert task.value(task.anchors[1]) == found.score("hit@1", OFF)


def test_settings_say_what_was_measured(reranked):
    task = task_of(reranked)
    same = {"depth": 55, "overlap": "idf", "gallery_attributes": "catalogue", "standing": "score"}
    point = {"share": 0.61803, "evidence": "probability", **same}
    trial = optuna.trial.FixedTrial(point)
    suggest_point(trial, task.space)
    value = task.measure(trial)
    said = {key.removeprefix("rerank."): value for key, value in task.settings(point).items()}
    assert said.pop("enabled") is True
    assert said == {"alpha": 1.0, "beta": 1.618, "steps": ["probability"], **same}
    assert value == lists(reranked).score("hit@1", block(**{**said, "steps": ["probability"]}))


@pytest.mark.slow
def test_steps_that_look_at_vectors_are_searched_too(reranked):
    write_params(reranked, evaluate__depth=100, rerank__depth=60, rerank__steps=["alpha_qe", "attributes"])
    task = task_of(reranked)
    assert {"share", "enabled", "alpha_qe.neighbours", "alpha_qe.power"} <= set(task.space)
    assert task.settings(task.anchors[1]) == {"rerank.enabled": False}
    assert task.value(task.anchors[1]) == lists(reranked).score("hit@1", OFF)
    said = task.settings({**task.anchors[0], "evidence": "probability", "alpha_qe.power": 1.23456})
    assert said["rerank.steps"] == ["alpha_qe", "probability"]
    assert said["rerank.alpha_qe.power"] == 1.235
    write_params(reranked, evaluate__depth=100, rerank__depth=60, rerank__steps=["k_reciprocal"])
    task = task_of(reranked, "mrr")
    assert "share" not in task.space
    values = {task.value({**task.anchors[0], "k_reciprocal.distance_weight": weight}) for weight in (0.0, 0.3, 1.0)}
    assert len(values) > 1
    write_params(reranked, evaluate__depth=100, rerank__depth=60, rerank__steps=["attributes", "probability"])
    with pytest.raises(TuneError, match="share their weights: keep one of them"):
        task_of(reranked)


@pytest.mark.slow
def test_keys_of_ones_own_are_searched_alone(reranked):
    space = {"rerank.beta": SearchRange(0.1, 1.0), "rerank.overlap": ("count", "idf")}
    task, said = task_of(reranked, space=space), load_params(reranked / "params.yaml").rerank
    assert task.anchors == [{"rerank.beta": said.beta, "rerank.overlap": said.overlap}]
    assert task.space["rerank.beta"].low == said.beta  # 0.05, which is trial 0
    point = {"rerank.beta": 0.123456, "rerank.overlap": "idf"}
    assert task.settings(point) == {"rerank.enabled": True, "rerank.beta": 0.1235, "rerank.overlap": "idf"}
    names = ("alpha", "depth", "standing", "gallery_attributes")
    rest = {"steps": list(said.steps), **{name: getattr(said, name) for name in names}}
    assert task.value(point) == lists(reranked).score("hit@1", block(beta=0.1235, overlap="idf", **rest))
    names = {task.name, task_of(reranked).name}
    for changed in ({"rerank__beta": 0.2}, {"rerank__alpha": 2.0}):
        write_params(reranked, evaluate__depth=100, rerank__depth=60, **changed)
        names.add(task_of(reranked, space={"rerank.beta": SearchRange(0.01, 1.0)}).name)
    assert len(names) == 4


def test_off_is_a_possible_answer_and_keeps_the_weights(reranked):
    task = task_of(reranked)
    assert task.settings(task.anchors[1]) == {"rerank.enabled": False}
    assert task.settings(task.anchors[0])["rerank.enabled"] is True


@pytest.mark.slow
def test_weights_as_spelt_are_kept(reranked):
    write_params(reranked, evaluate__depth=100, rerank__depth=60, rerank__alpha=2.0, rerank__beta=3.0)
    task = task_of(reranked)
    said = task.settings(task.anchors[0])
    assert (said["rerank.alpha"], said["rerank.beta"]) == (2.0, 3.0)
    assert task.changes(task.anchors[0]) == {"rerank.enabled": True}


@pytest.mark.parametrize(("share", "found"), [
    (0.0, (1.0, 0.0)), (0.5, (1.0, 1.0)), (0.6, (1.0, 1.5)), (0.9, (1.0, 9.0)), (0.99, (0.0101, 1.0)), (1.0, (0.0, 1.0)),
])  # fmt: skip
def test_weights_of_a_share_stay_within_the_schema(share, found):
    alpha, beta = weights(share)
    assert (alpha, beta) == pytest.approx(found, abs=1e-4)
    assert 0 <= alpha <= 100
    assert 0 <= beta <= 100


@pytest.mark.slow
def test_every_point_of_the_space_fits_the_schema(reranked):
    task = task_of(reranked)
    text = (reranked / "params.yaml").read_text()
    from croquis.params.write_back import changed_text

    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    for _ in range(30):
        changed_text(text, task.settings(suggest_point(study.ask(), task.space)))


@pytest.mark.slow
def test_a_study_belongs_to_its_data_bundle_and_metric_but_not_to_the_weights(reranked):
    def name(metric=None, **changes):
        write_params(reranked, evaluate__depth=100, rerank__depth=60, **changes)
        return task_of(reranked, metric).name

    assert name() == name(rerank__alpha=3.0, rerank__enabled=True)
    assert len({name(), name("map@r"), name("shop->shop/hit@1"), name(register__select_by="consumer->shop/mrr")}) == 4


def test_metrics_are_checked(reranked):
    params = load_params(reranked / "params.yaml")
    assert str(parse_metric(params, "map@r")) == "consumer->shop/map@r"
    assert str(parse_metric(params, "sketch->shop/mrr")) == "sketch->shop/mrr"
    with pytest.raises(TuneError, match="hit@3"):
        parse_metric(params, "hit@3")


def test_the_fix_is_named_when_something_is_missing(reranked):
    params = load_params(reranked / "params.yaml")
    with pytest.raises(TuneError, match=r"models/bundles/siamese.*make repro"):
        RerankTask(params, reranked, "siamese")
    with pytest.raises(TuneError, match=r"reports/evaluation.*make repro"):
        RerankTask(params, reranked)
    (reranked / "data").unlink()
    with pytest.raises(TuneError, match=r"data/catalog.*make repro"):
        RerankTask(params, reranked, "histogram")


def test_a_bundle_without_a_classifier_has_nothing_to_rerank_by(reranked_world, tmp_path):
    from tests.support.catalogues import blob_catalogue as world

    shutil.copytree(reranked_world / "data", tmp_path / "data")
    catalog = Catalog.open(tmp_path / "data/catalog")
    world.write_histogram_bundle(tmp_path, catalog)
    with pytest.raises(TuneError, match="no attribute classifier"):
        lists(tmp_path)


def test_point_of_no_weights_is_off(reranked):
    idle = load_params(reranked / "params.yaml").rerank.model_copy(update={"alpha": 0.0, "beta": 0.0})
    assert point_of(idle)["share"] == 0.0
