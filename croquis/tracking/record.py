"""What a stage reports, as files: `record.json` and a folder of pictures and tables. MLflow shows a copy of it.

The record is a DVC output: the same inputs give the same bytes, so it holds no time, id, host or absolute path.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from croquis.files import read_json, write_json

RUNS = Path("reports/runs")
RECORD_FILE = "record.json"
WARNING = "warning"  # tag: what a stage warned of
ARTIFACTS_FOLDER = "artifacts"
Points = list[tuple[int, float]]

_NOT_IN_MLFLOW = re.compile(r"[^/\w.\- ]")


def dvc_name(stage: str, item: str | None = None) -> str:
    """`train_embedder@siamese`: what DVC calls the stage."""
    return stage if item is None else f"{stage}@{item}"


def folder_name(stage_name: str) -> str:
    """`train_embedder-siamese`: the folder of the record of the stage that DVC calls `train_embedder@siamese`."""
    return stage_name.replace("@", "-")


def mlflow_name(name: str) -> str:
    """A metric or param name that MLflow takes: `consumer->shop/hit@1` becomes `consumer_to_shop/hit_at_1`."""
    return _NOT_IN_MLFLOW.sub("_", name.replace("->", "_to_").replace("@", "_at_"))


def flatten(params: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested blocks as dotted names: `{"fit": {"epochs": 3}}` becomes `{"fit.epochs": 3}`; lists stay lists."""
    flat: dict[str, Any] = {}
    for name, value in params.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


@dataclass
class RunRecord:
    """Params by dotted name, points (step, value) by metric name, tags by name."""

    params: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Points] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, points: Iterable[tuple[int, float]]) -> None:
        """Raises ValueError for a second point of one step: MLflow would show one of the two, whichever came last."""
        kept = self.metrics.setdefault(name, [])
        taken = {step for step, _ in kept}
        for step, value in points:
            if step in taken:
                raise ValueError(
                    f"the metric {name!r} has a value at step {step} already: give one of them another name"
                )
            taken.add(step)
            kept.append((int(step), float(value)))

    def write(self, folder: Path) -> None:
        """Writes record.json in `folder`, whole or not at all."""
        metrics = {name: [[step, _to_json(value)] for step, value in points] for name, points in self.metrics.items()}
        write_json(folder / RECORD_FILE, {"params": self.params, "metrics": metrics, "tags": self.tags})

    @classmethod
    def read(cls, folder: Path) -> RunRecord:
        """Reads the record in a run's folder."""
        value = read_json(folder / RECORD_FILE)
        metrics = {name: [(int(s), float(v)) for s, v in points] for name, points in value["metrics"].items()}
        return cls(params=value["params"], metrics=metrics, tags=value["tags"])


def _to_json(value: float) -> float | str:
    """JSON has no word for NaN and the infinities; `float()` reads these strings back."""
    return value if math.isfinite(value) else str(value)
