"""A task that trains nothing: its value is a parabola, and `measure` can be made to hang or fail."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna

from croquis.settings import SearchRange
from croquis.tuning.storage import open_storage
from croquis.tuning.study import enqueue_anchors, open_study
from croquis.tuning.study_search import at_work, requeue_left_trials, search


class ToyTask:
    """Highest at x = 0.7; TOY_HANG in the environment makes it hang, TOY_TOGETHER wait for a second process.

    TOY_HEARTBEAT sets the seconds of the heartbeat of the process that runs this file.
    """

    def __init__(self, name: str = "toy") -> None:
        self.name, self.metric, self.seed, self.pruner = name, "val/toy", 3, None
        self.space = {"x": SearchRange(0.0, 1.0), "kind": ("a", "b")}
        self.anchors = [{"x": 0.25, "kind": "a"}, {"x": 0.0, "kind": "a"}]
        self.anchor_names = ["params.yaml", "off"]
        self.measured: list[dict[str, Any]] = []
        self.raises: BaseException | None = None

    def measure(self, trial: optuna.Trial) -> float:
        self.measured.append(dict(trial.params))
        trial.set_user_attr("process", os.getpid())
        if self.raises is not None:
            raise self.raises
        if os.environ.get("TOY_HANG"):
            Path(os.environ["TOY_HANG"]).write_text(str(trial.number))
            time.sleep(60)
        if together := os.environ.get("TOY_TOGETHER"):
            (Path(together) / str(os.getpid())).touch()
            while len(list(Path(together).iterdir())) < 2:
                time.sleep(0.05)
        return self.value(trial.params)

    def value(self, point: Mapping[str, Any]) -> float:
        return 1 - (point["x"] - 0.7) ** 2

    def settings(self, point: Mapping[str, Any]) -> dict[str, Any]:
        return {"toy.x": point["x"], "toy.kind": point["kind"]}

    def changes(self, point: Mapping[str, Any]) -> dict[str, Any]:
        present = self.settings(self.anchors[0])
        return {key: value for key, value in self.settings(point).items() if value != present[key]}


def work(root: Path, total: int, task: ToyTask | None = None, url: str | None = None) -> optuna.Study:
    """What `run_study` does with a task, without params.yaml and MLflow."""
    task = task or ToyTask()
    storage = open_storage(url, root, int(os.environ.get("TOY_HEARTBEAT", "20")))
    study = open_study(task, storage)

    def begin() -> None:
        requeue_left_trials(study, storage)
        enqueue_anchors(study, task)

    with at_work(root / "lock", begin):
        enqueue_anchors(study, task)
        search(study, task, total)
    return study


def states(study: optuna.Study) -> list[str]:
    return [trial.state.name for trial in study.get_trials(deepcopy=False)]


if __name__ == "__main__":
    work(Path(sys.argv[1]), int(sys.argv[2]), url=sys.argv[3] if len(sys.argv) > 3 else None)
