"""Where the project stands and how its libraries behave: telemetry off, waiting threads quiet, short network patience."""

from __future__ import annotations

import os
from pathlib import Path

PIPELINE_FILE = "dvc.yaml"

# Nothing that this project runs reports home. MLflow honours DO_NOT_TRACK only when it equals "true".
SILENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "DVC_NO_ANALYTICS": "1",
    "GX_ANALYTICS_ENABLED": "false",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "ORT_DISABLE_TELEMETRY": "1",  # also by croquis/nets/session.py, as a server runs without this
}

# May be overruled from outside.
SENSIBLE = {
    "OMP_WAIT_POLICY": "passive",  # spinning OpenMP threads cost a factor of five when the machine is shared
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # otherwise `mlflow server` starts seven idle workers
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # a dead server is found out in seconds, not in minutes
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "GIT_PYTHON_REFRESH": "quiet",
    "HF_HUB_OFFLINE": "yes",  # but for weights that params.yaml names, unless it is set to `1`: lightning_modules/nets/
}

# Of a server, which goes on with the model that it has: it tries again later, and must not wait long for one answer.
PROMPT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false",  # MLflow would sleep for as long as an answer says
}


def quiet(*, prompt: bool = False) -> None:
    """Sets the environment of this process and its children; call it before heavy imports, as libraries read it then.

    Args:
        prompt: whether the process is a server, whose calls of the registry are to give up soon.
    """
    os.environ.update(SILENT)
    for name, value in (SENSIBLE | PROMPT if prompt else SENSIBLE).items():
        if os.environ.get(name) in (None, SENSIBLE.get(name)):  # a process that started this one may have set ours
            os.environ[name] = value


def project_root(start: Path | None = None) -> Path:
    """The nearest folder at or above `start` (the current one by default) with a dvc.yaml; else `start` itself."""
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / PIPELINE_FILE).is_file():
            return folder
    return here


def store_root(root: Path | None = None) -> Path:
    """The folder whose mlruns/ keeps the runs.

    In `dvc exp run --temp` and `--queue` a stage works in a throw-away copy; DVC names the main repository in DVC_ROOT.
    """
    main = os.environ.get("DVC_ROOT")
    if main and Path(main).is_dir():
        return Path(main).resolve()
    return (root or project_root()).resolve()


def experiment_name() -> str | None:
    """The name of the DVC experiment that is running, or None in an ordinary `dvc repro`."""
    return os.environ.get("DVC_EXP_NAME") or None
