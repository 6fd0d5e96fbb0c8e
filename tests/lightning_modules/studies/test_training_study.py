"""Studies that train: short trainings, pruned by their val score, that leave nothing behind."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest

from croquis.catalog.table import Catalog
from croquis.params import Params, load_params
from croquis.settings import SearchRange
from croquis.tuning.search_values import suggest_point
from croquis.tuning.task import TuneError
from lightning_modules.data.retrieval_data import RetrievalData
from lightning_modules.methods import siamese
from lightning_modules.studies.margin import margin_task
from lightning_modules.studies.training import TrainingTask, short
from lightning_modules.training.fit import FitPlan, fit
from lightning_modules.training.numerics import prepare_torch
from tests.support.tuning.study_projects import write_params

ALSO = ("learning_rate", "negatives", "embedding_dim")


def loaded(root: Path) -> Params:
    return load_params(root / "params.yaml", methods=True)


def make(root: Path, **options) -> TrainingTask:
    return margin_task(loaded(root), root, **options)


def own(root: Path, space, **options) -> TrainingTask:
    return TrainingTask(loaded(root), root, space, **options)


def files(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


class NeverAgain(optuna.pruners.BasePruner):
    """Ends every trial at its second validation."""

    def prune(self, study, trial):  # noqa: ARG002
        return trial.last_step >= 1


def ask(task: TrainingTask, pruner=None, point=None) -> optuna.Trial:
    study = optuna.create_study(direction="maximize", pruner=pruner or optuna.pruners.NopPruner())
    study.enqueue_trial(point or task.anchors[0])
    trial = study.ask()
    suggest_point(trial, task.space)
    return trial


@pytest.mark.slow
def test_the_value_is_the_best_val_score_of_a_plain_training(shapes, tmp_path_factory):
    task = make(shapes, epochs=3)
    before, trial = files(shapes), ask(task, point={"siamese.margin": 0.5})
    value = task.measure(trial)
    assert files(shapes) == before
    params = short(loaded(shapes), {"siamese.margin": 0.5}, "siamese", 3)
    prepare_torch(params.base.seed, 1)
    catalog = Catalog.open(shapes / "data/catalog")
    data = RetrievalData.from_catalog(catalog, ["shop", "consumer"], params.base.image_size)
    module = siamese.build(params, data)
    data.use_sampler(module.sampler(params.base.seed))
    history = fit(module, data, FitPlan("plain", 3, 3, "val/score", "max"), params.base, tmp_path_factory.mktemp("fit"))
    assert trial.user_attrs["curves"] == history
    assert value == max(value for _, value in history["val/score"])
    assert len(history["train/loss"]) == 3


@pytest.mark.slow
def test_the_margin_reaches_the_loss_and_a_trial_repeats_to_the_bit(shapes):
    task = make(shapes, epochs=1)
    trials = [ask(task, point={"siamese.margin": margin}) for margin in (0.05, 0.9, 0.05)]
    for trial in trials:
        task.measure(trial)
    losses = [trial.user_attrs["curves"]["train/loss"] for trial in trials]
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
    assert not [path for path in (shapes / ".scratch/tune").rglob("*") if path.is_file()]


@pytest.mark.slow
def test_an_interrupted_training_passes_ctrl_c_on(shapes, monkeypatch):
    task = make(shapes, epochs=6)

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("lightning_modules.studies.training.Pruning.on_validation_end", interrupt)
    with pytest.raises(KeyboardInterrupt):
        task.measure(ask(task))


def test_the_present_params_are_the_first_point(shapes):
    write_params(shapes, siamese__margin=1.5, siamese__embedding_dim=48)
    task = make(shapes, also=ALSO)
    params = loaded(shapes).siamese
    assert task.anchors == [
        {
            "siamese.margin": 1.5,
            "siamese.fit.learning_rate": params.fit.learning_rate,
            "siamese.negatives": params.negatives,
            "siamese.embedding_dim": 48,
        }
    ]
    assert task.settings(task.anchors[0]) == task.anchors[0]
    assert task.changes(task.anchors[0]) == {}
    assert (task.space["siamese.margin"].low, task.space["siamese.margin"].high) == (0.02, 1.5)
    assert task.space["siamese.embedding_dim"] == (48, 32, 64, 128, 256)


def test_every_point_of_the_space_is_a_set_of_params(shapes):
    task = make(shapes, also=ALSO)
    params = loaded(shapes)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    for _ in range(9):
        settings = task.settings(suggest_point(study.ask(), task.space))
        assert short(params, settings, "siamese", 3).siamese.margin == settings["siamese.margin"]


def test_a_third_of_the_schedule_by_default_without_early_stopping(shapes):
    task = make(shapes)
    assert task.epochs == 3
    schedule = short(loaded(shapes), {}, "siamese", task.epochs).siamese.fit
    assert (schedule.epochs, schedule.patience, schedule.validate_every, schedule.warmup_epochs) == (3, 3, 1, 1)


@pytest.mark.slow
def test_a_study_belongs_to_its_data_and_schedule_but_not_to_the_margin(shapes):
    name = make(shapes).name
    assert len({name, make(shapes, epochs=2).name, make(shapes, also=["negatives"]).name}) == 3
    text = (shapes / "params.yaml").read_text()
    write_params(shapes, siamese__margin=0.77)
    values = {"margin": loaded(shapes).siamese.margin}
    (shapes / "params.yaml").write_text(text.replace("margin: 0.2", f"margin: {values['margin']}"))
    assert make(shapes).name == name
    (shapes / "params.yaml").write_text(text.replace("seed: 7", "seed: 8"))
    assert make(shapes).name != name


def test_the_fix_is_named_when_something_is_missing(shapes, tmp_path):
    with pytest.raises(TuneError, match="learning_rate, negatives, embedding_dim"):
        make(shapes, also=["momentum"])
    with pytest.raises(TuneError, match=r"data/catalog.*make repro"):
        margin_task(loaded(shapes), tmp_path / "empty")


@pytest.mark.parametrize(("key", "options", "told"), [
    ("index.pq_bits", {}, r"index.pq_bits: the training of siamese does not read it.*take it out"),
    ("gpq.fit.learning_rate", {"method": "spq"}, "the training of spq does not read it"),
    ("siamese.fit.epochs", {}, "the same in all trials, whose length --epochs sets"),
    ("base.processes", {}, "base.processes: it is the same in all trials"),
    ("base.image_size", {"method": "siamse"}, "no method 'siamse'; did you mean siamese"),
    ("histogram.grid", {}, "histogram learns nothing"),
])  # fmt: skip
def test_keys_that_a_training_does_not_read_are_refused(shapes, key, options, told):
    with pytest.raises(TuneError, match=told):
        own(shapes, {key: SearchRange(0, 1)}, **options)


@pytest.mark.slow
def test_keys_of_any_method_its_images_and_its_net_reach_the_training(shapes):
    space = {
        "image2vec.label_smoothing": SearchRange(0.0, 0.5),
        "train_embedder.backbone.width": SearchRange(8, 24, step=8),
        "base.image_size": (24, 32),
    }
    task = own(shapes, space, epochs=1)
    assert task.metric == "val/image2vec/score"
    present = task.anchors[0]
    assert present["train_embedder.backbone.width"] == 8
    losses = []
    for changed in (
        {},
        {"image2vec.label_smoothing": 0.4},
        {"train_embedder.backbone.width": 16},
        {"base.image_size": 24},
    ):
        trial = ask(task, point={**present, **changed})
        task.measure(trial)
        losses.append(trial.user_attrs["curves"]["train/loss"][0][1])
    assert len(set(losses)) == 4


def test_values_that_do_not_fit_together_end_the_trial_and_say_why(shapes):
    layers, weight = "triplet_gan.discriminator_layers", "triplet_gan.adversarial_weight"
    task = own(shapes, {layers: (2, 3), weight: (0.0, 0.01), "base.image_size": (16, 32)})
    trial = ask(task, point={layers: 3, weight: 0.01, "base.image_size": 16})
    with pytest.raises(optuna.TrialPruned):
        task.measure(trial)
    assert "too many for images of base.image_size 16" in trial.user_attrs["error"]
