"""The runtime stays light: importing all of it brings in nothing that trains, tracks or versions."""

from __future__ import annotations

import json
import pkgutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import croquis

FORBIDDEN = {"torch", "torchvision", "lightning", "pytorch_lightning", "mlflow", "dvc", "pandas", "pydantic", "sklearn"}
ROOMS = ("catalog", "nets", "index", "bundle", "rerank", "search", "evaluation", "store")
ROOT = Path(croquis.__file__).parent.parent


def test_no_module_of_the_runtime_imports_the_pipeline() -> None:
    rooms = [import_module(f"croquis.{room}") for room in ROOMS]
    names = [f"{room.__name__}.{module.name}" for room in rooms for module in pkgutil.walk_packages(room.__path__)]
    assert {"croquis.search.local_retriever", "croquis.bundle.reader", "croquis.index.build"} <= set(names)
    script = (
        "import importlib, json, sys\n"
        f"for name in {names!r}: importlib.import_module(name)\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    loaded = set(json.loads(done.stdout))
    assert "faiss" in loaded
    assert not {name.partition(".")[0] for name in loaded} & (FORBIDDEN | {"lightning_modules", "stages"})
    ours = {name.split(".")[1] for name in loaded if name.startswith("croquis.")}
    assert ours == {*ROOMS, "files", "lazy", "plugins", "settings", "strict_json"}
