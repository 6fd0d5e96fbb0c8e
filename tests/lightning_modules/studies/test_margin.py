"""The study `margin`: short trainings, pruned by their val score, that leave nothing behind."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest

from croquis.catalog.table import Catalog
from croquis.params import load_params
from croquis.tuning.task import TuneError
from lightning_modules.data.retrieval_data import RetrievalData
from lightning_modules.methods import siamese
from lightning_modules.studies.margin import MarginTask, scratch_folder, short
from lightning_modules.training.fit import FitPlan, fit
from lightning_modules.training.numerics import prepare_torch
from tests.support.tuning.study_projects import write_params


def make(root: Path, **options) -> MarginTask:
    return MarginTask(load_params(root / "params.yaml", methods=True), root, **options)


def files(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


class NeverAgain(optuna.pruners.BasePruner):
    """Ends every trial at its second validation."""

    def prune(self, study, trial):  # noqa: ARG002
        return trial.last_step >= 1


def ask(task: MarginTask, pruner=None, point=None) -> optuna.Trial:
    study = optuna.create_study(direction="maximize", pruner=pruner or optuna.pruners.NopPruner())
    study.enqueue_trial(point or task.anchors[0])
    return study.ask(dict(task.space))


@pytest.mark.slow
def test_the_value_is_the_best_val_score_of_a_plain_training(shapes, tmp_path_factory):
    task = make(shapes, epochs=3)
    point = {"margin": 0.5}
    before = files(shapes)
    tried = task.measure(ask(task, point=point))
    assert files(shapes) == before
    params = short(load_params(shapes / "params.yaml", methods=True), {"siamese.margin": 0.5}, 3)
    prepare_torch(params.base.seed, 1)
    catalog = Catalog.open(shapes / "data/catalog")
    data = RetrievalData.from_catalog(catalog, ["shop", "consumer"], params.base.image_size)
    module = siamese.build(params, data)
    data.use_sampler(module.sampler(params.base.seed))
    history = fit(module, data, FitPlan("plain", 3, 3, "val/score", "max"), params.base, tmp_path_factory.mktemp("fit"))
    assert tried.curves == history
    assert tried.value == max(value for _, value in history["val/score"])
    assert tried.settings == {"siamese.margin": 0.5}
    assert len(tried.curves["train/loss"]) == 3


@pytest.mark.slow
def test_the_margin_reaches_the_loss_and_a_trial_repeats_to_the_bit(shapes):
    task = make(shapes, epochs=1)
    losses = [task.measure(ask(task, point={"margin": m})).curves["train/loss"] for m in (0.05, 0.9, 0.05)]
    assert losses[0] == losses[2]
    assert losses[1][0][1] > losses[0][0][1]


@pytest.mark.slow
def test_a_hopeless_trial_is_pruned_and_its_curve_is_kept(shapes):
    task = make(shapes, epochs=6)
    trial = ask(task, NeverAgain())
    with pytest.raises(optuna.TrialPruned):
        task.measure(trial)
    frozen = trial.study.get_trials()[0]
    assert sorted(frozen.intermediate_values) == [0, 1]
    assert [value for _, value in frozen.user_attrs["curves"]["val/score"]] == list(frozen.intermediate_values.values())
    assert not list((shapes / ".scratch/tune").iterdir())


@pytest.mark.slow
def test_an_interrupted_training_passes_ctrl_c_on(shapes, monkeypatch):
    task = make(shapes, epochs=6)

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("lightning_modules.studies.margin.Pruning.on_validation_end", interrupt)
    with pytest.raises(KeyboardInterrupt):
        task.measure(ask(task))


def test_the_present_params_are_the_first_point(shapes):
    write_params(shapes, siamese__margin=1.5, siamese__embedding_dim=48)
    task = make(shapes, also=["learning_rate", "negatives", "embedding_dim"])
    params = load_params(shapes / "params.yaml", methods=True).siamese
    assert task.anchors == [
        {
            "margin": 1.5,
            "learning_rate": params.fit.learning_rate,
            "negatives": params.negatives,
            "embedding_dim": 48,
        }
    ]
    assert set(task.settings(task.anchors[0])) == {
        "siamese.margin", "siamese.fit.learning_rate", "siamese.negatives", "siamese.embedding_dim",
    }  # fmt: skip
    assert task.changes(task.anchors[0]) == {}
    for name, value in task.anchors[0].items():
        assert task.space[name]._contains(task.space[name].to_internal_repr(value))


def test_every_point_of_the_space_is_a_set_of_params(shapes):
    task = make(shapes, also=["learning_rate", "negatives", "embedding_dim"])
    params = load_params(shapes / "params.yaml", methods=True)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    for _ in range(30):
        settings = task.settings(study.ask(dict(task.space)).params)
        assert short(params, settings, 3).siamese.margin == settings["siamese.margin"]


def test_a_third_of_the_schedule_by_default_without_early_stopping(shapes):
    task = make(shapes)
    assert task.epochs == 3
    schedule = short(load_params(shapes / "params.yaml", methods=True), {}, task.epochs).siamese.fit
    assert (schedule.epochs, schedule.patience, schedule.validate_every, schedule.warmup_epochs) == (3, 3, 1, 1)


def test_a_study_belongs_to_its_data_and_schedule_but_not_to_the_margin(shapes):
    name = make(shapes).name
    assert len({name, make(shapes, epochs=2).name, make(shapes, also=["negatives"]).name}) == 3
    text = (shapes / "params.yaml").read_text()
    write_params(shapes, siamese__margin=0.77)
    values = {"margin": load_params(shapes / "params.yaml", methods=True).siamese.margin}
    (shapes / "params.yaml").write_text(text.replace("margin: 0.2", f"margin: {values['margin']}"))
    assert make(shapes).name == name
    (shapes / "params.yaml").write_text(text.replace("seed: 7", "seed: 8"))
    assert make(shapes).name != name


def test_the_fix_is_named_when_something_is_missing(shapes, tmp_path_factory):
    with pytest.raises(TuneError, match="learning_rate, negatives, embedding_dim"):
        make(shapes, also=["momentum"])
    with pytest.raises(TuneError, match=r"data/catalog.*make repro"):
        MarginTask(load_params(shapes / "params.yaml", methods=True), tmp_path_factory.mktemp("empty"))


def test_scratch_of_dead_processes_is_removed(tmp_path):
    left = tmp_path / ".scratch/tune/99999999-5-abc"
    left.mkdir(parents=True)
    with scratch_folder(tmp_path) as mine, scratch_folder(tmp_path) as other:
        assert not left.exists()
        assert mine.is_dir()
        assert mine != other
    assert not mine.exists()
