"""The runtime stays light: importing all of it brings in nothing that trains, tracks or versions."""

from __future__ import annotations

import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import retrieval

FORBIDDEN = {"torch", "torchvision", "lightning", "pytorch_lightning", "mlflow", "dvc", "pandas", "pydantic", "sklearn"}
OURS = {"lightning_modules", "params", "sources", "stages", "tracking", "figures", "serving"}
ROOT = Path(retrieval.__file__).parent.parent


def test_no_module_of_the_runtime_imports_the_pipeline() -> None:
    names = [f"retrieval.{module.name}" for module in pkgutil.walk_packages(retrieval.__path__)]
    assert {"retrieval.retriever", "retrieval.bundle", "retrieval.index"} <= set(names)
    script = (
        "import importlib, json, sys\n"
        f"for name in {names!r}: importlib.import_module(name)\n"
        "print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    loaded = set(json.loads(done.stdout))
    assert "faiss" in loaded
    assert not loaded & (FORBIDDEN | OURS)
