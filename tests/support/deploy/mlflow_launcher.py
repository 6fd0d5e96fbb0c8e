"""deploy/mlflow/server.py as a module: it lies beside its Dockerfile, in no package."""

from __future__ import annotations

import importlib.util
from functools import cache
from types import ModuleType

from tests.support.deploy.compose_file import DEPLOY

SCRIPT = DEPLOY / "mlflow/server.py"


@cache
def launcher() -> ModuleType:
    spec = importlib.util.spec_from_file_location("mlflow_server", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
