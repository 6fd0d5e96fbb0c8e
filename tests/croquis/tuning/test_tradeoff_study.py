"""The study of three objectives: what it measures, its front, and where it shows it."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import optuna
import pytest
from ruamel.yaml import YAML

from croquis.catalog.table import Catalog
from croquis.cli import main
from croquis.evaluation.evaluate_bundle import evaluate_split
from croquis.index.dense import HnswIndex
from croquis.params import load_params
from croquis.registry.gating.gate_inputs import evaluation_settings
from croquis.search.local_retriever import LocalRetriever
from croquis.tracking.tracking_store import open_store
from croquis.tuning.mlflow_runs import EXPERIMENT
from croquis.tuning.storage import open_storage
from croquis.tuning.tradeoff.candidate import Candidate, Remembered
from croquis.tuning.tradeoff.tradeoff_study import DIRECTIONS, Tradeoff, front, measured_trials, rows

PAIR = "consumer->shop"


@pytest.fixture
def project(reranked: Path) -> Path:
    """The re-ranking tests' project, whose only retriever is the histogram."""
    yaml = YAML()
    values = yaml.load((reranked / "params.yaml").read_text())
    values["retrievers"] = ["histogram"]
    with (reranked / "params.yaml").open("w") as stream:
        yaml.dump(values, stream)
    return reranked


def candidate(root: Path) -> Candidate:
    retriever = LocalRetriever.load(root / "models/bundles/histogram")
    return Candidate(retriever, root, load_params(root / "params.yaml"), PAIR, "mrr")


@pytest.mark.slow
def test_the_quality_of_the_bundles_own_index_is_what_evaluate_reports(project: Path) -> None:
    params, retriever = load_params(project / "params.yaml"), LocalRetriever.load(project / "models/bundles/histogram")
    quality, size, milliseconds, recall = candidate(project).measure({"kind": "flat"})
    result = evaluate_split(
        retriever, Catalog.open(project / "data/catalog"), None, "val", evaluation_settings(params)
    ).run(PAIR, "encoder")
    assert result is not None
    assert quality == pytest.approx(float(result.metrics["mrr"].mean()))
    assert size == retriever.bundle.index.nbytes
    assert milliseconds > 0
    assert recall == 1.0


@pytest.mark.slow
def test_a_coarser_index_is_smaller_and_no_better(project: Path) -> None:
    tried = candidate(project)
    exact, coarse = (
        tried.measure(settings)
        for settings in (
            {"kind": "flat"},
            {"kind": "ivfpq", "ivf_lists": 1, "ivf_probes": 1, "pq_subspaces": 1, "pq_bits": 4},
        )
    )
    assert coarse[1] < exact[1] / 4
    assert coarse[0] < exact[0]
    assert coarse.recall < exact.recall == 1.0


@pytest.mark.slow
def test_quality_is_that_of_the_index_that_is_timed(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The graph over all photos is walked for both; none is built over those of val."""
    built = []
    plain = HnswIndex.of_stored
    monkeypatch.setattr(
        HnswIndex, "of_stored", lambda vectors, *settings: built.append(len(vectors)) or plain(vectors, *settings)
    )
    tried = candidate(project)
    tried.measure({"kind": "hnsw", "hnsw_links": 4, "hnsw_ef_search": 8})
    assert built == [len(tried.retriever.bundle.index)]


def test_pictures_are_encoded_once() -> None:
    calls = []
    encode = Remembered(lambda pictures: calls.append(len(pictures)) or np.zeros((len(pictures), 2), np.float32))
    first, second = np.zeros((2, 2, 3), np.uint8), np.ones((2, 2, 3), np.uint8)
    for pictures in ([first], [second], [first], [first, second]):
        encode(pictures)
    assert calls == [1, 1, 2]


def test_the_front_is_what_nothing_beats_in_all_three() -> None:
    study = optuna.create_study(directions=DIRECTIONS)
    values = [(0.5, 8.0, 2.0), (0.5, 8.0, 2.0), (0.6, 100.0, 2.0), (0.4, 8.0, 3.0), (0.4, 8.0, 1.0), (0.6, 120.0, 2.0)]
    for point in values:
        study.add_trial(optuna.trial.create_trial(values=point))
    assert [trial.number for trial in front(study)] == [4, 0, 2]


@pytest.mark.slow
def test_the_command_shows_table_plot_and_run_and_goes_on(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tune", "tradeoff", "--trials", "4", "--metric", "mrr"], project) == 0
    assert ": 4 trials, " in capsys.readouterr().out
    assert main(["tune", "tradeoff", "--trials", "9", "--metric", "mrr"], project) == 0
    shown = capsys.readouterr().out
    task = Tradeoff(load_params(project / "params.yaml"), project, "mrr")
    study = optuna.load_study(study_name=task.name, storage=open_storage(None, project))
    assert study.trials[0].params == {"method": "histogram", "kind": "flat"}
    chosen = rows(front(study))
    assert f"{len(chosen)} on the Pareto front" in shown
    assert 5 <= len(measured_trials(study)) <= 9
    store = open_store(project)
    run = store.client.search_runs([store.experiment(EXPERIMENT)])[0]
    assert run.info.status == "FINISHED"
    folder = store.root / run.info.artifact_uri
    assert (folder / "pareto.png").stat().st_size > 5000
    with (folder / "pareto.csv").open() as stream:
        kept = list(csv.DictReader(stream))
    assert [row["index"] for row in kept] == [row["index"] for row in chosen]
    for row in kept:
        assert row["index"] in shown


def test_what_it_cannot_do_is_refused(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tune", "tradeoff", "--write"], project) == 1
    assert "no single best to --write" in capsys.readouterr().err
