"""The runtime in an environment of its own that holds only the project's core dependencies answers a query there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from croquis.nets.session import SILENT
from croquis.serving.mlflow_model.packaging import requirements
from tests.support.catalogues.blob_catalogue import write_catalogue, write_histogram_bundle

pytestmark = pytest.mark.slow

QUESTION = """
import sys
from croquis import Retriever
hits = Retriever.load(sys.argv[1]).search(sys.argv[2], k=3)
heavy = {"torch", "pytorch_lightning", "mlflow", "dvc", "pandas", "pydantic"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
print(hits[0].image_id)
"""


def test_a_query_is_answered_without_torch(tmp_path: Path):
    catalog = write_catalogue(tmp_path)
    bundle = write_histogram_bundle(tmp_path, catalog)
    shutil.copytree("croquis", tmp_path / "site/croquis", ignore=shutil.ignore_patterns("__pycache__"))
    row = int(catalog.select(split="test", role="gallery", domain="shop")[0])
    (tmp_path / "photo.png").write_bytes(next(catalog.images([row])))

    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = tmp_path / "venv/bin/python"
    install = [
        python,
        "-m",
        "pip",
        "install",
        "-q",
        "--disable-pip-version-check",
        *requirements(Path("pyproject.toml")),
    ]
    subprocess.run(install, check=True)
    listed = subprocess.run([python, "-m", "pip", "list"], check=True, capture_output=True, text=True).stdout
    assert "torch" not in listed

    ask = [python, "-c", QUESTION, bundle, tmp_path / "photo.png"]
    unset = ("PYTHONPATH", *SILENT)
    clean = {name: value for name, value in os.environ.items() if name not in unset} | {"HOME": str(tmp_path / "home")}
    done = subprocess.run(ask, cwd=tmp_path / "site", env=clean, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == catalog.column("image_id")[row]
    assert not (tmp_path / "home").exists(), "ONNX Runtime has left a device id"
