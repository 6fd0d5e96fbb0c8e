"""The study in MLflow: a parent run with a child per trial. It is a copy: whatever is missing is made from the study."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from croquis.tracking.git import git_state
from croquis.tracking.mlflow_mirror import FINISHED, RUNNING, RunMirror
from croquis.tracking.mlflow_view import PARENT_TAG
from croquis.tracking.tracking_store import Store, TrackingError, open_store
from croquis.tuning.study import ANCHOR, DONE, SETTINGS
from croquis.tuning.study_plots import draw_plots
from croquis.tuning.task import CURVES, Task

logger = logging.getLogger(__name__)

EXPERIMENT = "croquis-tuning"
STUDY_TAG = "optuna.study"
TRIAL_TAG = "optuna.trial"
MOST_CHILDREN = 50  # of a study with thousands of trials only the best are worth a page
MOST_FOUND = 50_000  # MLflow gives no more at once


class StudyRun(RunMirror):
    """The parent run of one study, continued by every later call; does nothing once the tracker is dead.

    Several processes may hold one: the first begins it, the others find it.
    """

    def __init__(self, store: Store | None) -> None:
        super().__init__(store, EXPERIMENT)

    def open(self, study: optuna.Study, task: Task, root: Path) -> None:
        """Finds the run of the study or begins it, with the study's space as params."""
        found = self._try(lambda store: self._runs(store, f"tags.`{STUDY_TAG}` = '{study.study_name}'"))
        parents = [run for run in found or [] if PARENT_TAG not in run.data.tags]
        state = git_state(root)
        tags = {STUDY_TAG: study.study_name, "metric": task.metric, **(state.tags() if state else {})}
        if parents:
            self.run_id = str(parents[0].info.run_id)
            self._try(lambda store: store.client.update_run(self.run_id, status=RUNNING))
            self.tags(tags)
            return
        space = {f"space.{name}": str(values) for name, values in task.space.items()}
        self.start(study.study_name, tags, {"seed": task.seed, **space})

    def __call__(self, study: optuna.Study, trial: FrozenTrial) -> None:  # noqa: ARG002
        """Logs a trial that was trained as soon as it has ended; a callback of `optimize`."""
        if CURVES in trial.user_attrs:
            self.log_trial(trial)

    def log_trial(self, trial: FrozenTrial) -> None:
        """A child run with the trial's params, its value and its curves."""
        if self.store is None or self.run_id is None:
            return
        child = RunMirror(self.store, EXPERIMENT)
        tags = {PARENT_TAG: self.run_id, TRIAL_TAG: str(trial.number), "optuna.state": trial.state.name.lower()}
        child.start(f"trial {trial.number}", tags, trial.user_attrs.get(SETTINGS) or trial.params)
        curves: Mapping[str, Any] = trial.user_attrs.get(CURVES, {})
        points = [(name, int(step), value) for name, curve in curves.items() for step, value in curve]
        child.metrics([*points, *([("value", 0, trial.value)] if trial.value is not None else [])])
        child.finish(FINISHED)

    def log_missing(self, study: optuna.Study) -> None:
        """Children for the trials without one: for all, or of more than `MOST_CHILDREN` for the best."""
        if self.store is None or self.run_id is None:
            return
        wanted = f"tags.`{PARENT_TAG}` = '{self.run_id}'"
        present = self._try(lambda store: {run.data.tags.get(TRIAL_TAG) for run in self._runs(store, wanted)})
        for trial in worth_a_page(study.get_trials(deepcopy=False, states=DONE)):
            if present is not None and str(trial.number) not in present:
                self.log_trial(trial)

    def close(self, study: optuna.Study, best: FrozenTrial, status: str = FINISHED) -> None:
        """Children, plots and the best value of the study; ends the parent run."""
        if self.store is not None and self.run_id is not None:
            self.log_missing(study)
            trials = len(study.get_trials(deepcopy=False, states=DONE))
            self.metrics([("best", trials, best.value or 0.0), ("trials", trials, trials)])
            settings = best.user_attrs.get(SETTINGS, {})
            self.tags(
                {"best.trial": str(best.number), **{f"best.{key}": str(value) for key, value in settings.items()}}
            )
            with tempfile.TemporaryDirectory() as folder:
                draw_plots(study, Path(folder))
                self.upload(Path(folder))
        self.finish(status)

    def finish(self, status: str) -> None:
        """As `RunMirror.finish`; nothing where no run was begun."""
        if self.run_id is not None:
            super().finish(status)

    def _runs(self, store: Store, wanted: str) -> list[Any]:
        return list(store.client.search_runs([store.experiment(EXPERIMENT)], wanted, max_results=MOST_FOUND))


def worth_a_page(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """All trials that were trained, the anchors, and of the others the `MOST_CHILDREN` best, by number."""
    kept: list[FrozenTrial] = []
    brief: list[FrozenTrial] = []
    for trial in trials:
        attributes = trial.user_attrs
        always = attributes.get(CURVES) or attributes.get(ANCHOR) or trial.state == TrialState.PRUNED
        (kept if always else brief).append(trial)
    brief.sort(key=lambda trial: (-(trial.value or 0.0), trial.number))
    return sorted([*kept, *brief[:MOST_CHILDREN]], key=lambda trial: trial.number)


def study_run(root: Path) -> StudyRun:
    """A run on the project's store; on nothing, after one warning, where that cannot be used."""
    try:
        return StudyRun(open_store(root))
    except TrackingError as error:
        logger.warning("%s; the study goes on without it, and a later call makes the missing runs", error)
        return StudyRun(None)
