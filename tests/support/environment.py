"""The repository's folder, and the environment variables that would lead a test out of its own folder."""

from __future__ import annotations

from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
OUTSIDE = ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "MLFLOW_EXPERIMENT_NAME", "DVC_ROOT", "DVC_EXP_NAME")


def clear_environment(patch: pytest.MonkeyPatch) -> None:
    for name in OUTSIDE:
        patch.delenv(name, raising=False)
