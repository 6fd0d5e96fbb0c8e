"""A task that trains nothing: its value is a parabola, and `measure` can be made to hang, fail or be interrupted."""

from __future__ import annotations

import os
import socket
import sys
import time
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock
from optuna.distributions import CategoricalDistribution, FloatDistribution

from croquis.tuning.storage import open_storage
from croquis.tuning.study import open_study
from croquis.tuning.study_search import search
from croquis.tuning.task import Tried


class ToyTask:
    """Highest at x = 0.7; TOY_HANG in the environment makes it hang, TOY_SECONDS makes it slow.

    TOY_HOST gives the process that runs this file another host name, TOY_HEARTBEAT sets the seconds of its heartbeat.
    """

    def __init__(self, name: str = "toy") -> None:
        self.name, self.metric, self.seed, self.pruner = name, "val/toy", 3, None
        self.space = {"x": FloatDistribution(0.0, 1.0), "kind": CategoricalDistribution(["a", "b"])}
        self.anchors = [{"x": 0.25, "kind": "a"}, {"x": 0.0, "kind": "a"}]
        self.anchor_names = ["params.yaml", "off"]
        self.measured: list[dict[str, Any]] = []
        self.raises: BaseException | None = None

    def measure(self, trial: optuna.trial.BaseTrial) -> Tried:
        self.measured.append(dict(trial.params))
        if self.raises is not None:
            raise self.raises
        if os.environ.get("TOY_HANG"):
            Path(os.environ["TOY_HANG"]).write_text(str(trial.number))
            time.sleep(60)
        time.sleep(float(os.environ.get("TOY_SECONDS", "0")))
        return Tried(self.value(trial.params), self.settings(trial.params), {})

    def value(self, point: dict[str, Any]) -> float:
        return 1 - (point["x"] - 0.7) ** 2

    def settings(self, point: Any) -> dict[str, Any]:
        return {"toy.x": point["x"], "toy.kind": point["kind"]}

    def changes(self, point: Any) -> dict[str, Any]:
        return {key: value for key, value in self.settings(point).items() if value not in self.anchors[0].values()}


def main(root: Path, total: int, url: str | None = None) -> None:
    task = ToyTask()
    study = open_study(task, open_storage(url, root, int(os.environ.get("TOY_HEARTBEAT", "20"))))
    search(study, task, total, FileLock(root / "lock"), lambda _: None)


if __name__ == "__main__":
    if name := os.environ.get("TOY_HOST"):
        socket.gethostname = lambda: name
    main(Path(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
