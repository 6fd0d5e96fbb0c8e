"""examples/: every cell of every notebook runs, without Jupyter, and the files hold no outputs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.imports import ROOT

NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))
RUN = """
import json, sys
names = {"__name__": "__main__"}
for number, cell in enumerate(json.load(sys.stdin)):
    exec(compile(cell, f"cell {number}", "exec"), names)
"""


def cells(notebook: Path) -> list[dict[str, Any]]:
    return [cell for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]


@pytest.mark.slow
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_cell_runs(notebook: Path, tmp_path: Path) -> None:
    sources = json.dumps(["".join(cell["source"]) for cell in cells(notebook)])
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", RUN]
    done = subprocess.run(
        command, input=sources, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_output_is_kept(notebook: Path) -> None:
    assert cells(notebook)
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells(notebook))


def test_the_docs_name_every_notebook() -> None:
    text = (ROOT / "docs/notebooks.md").read_text(encoding="utf-8")
    assert [path.name for path in NOTEBOOKS if f"(../examples/{path.name})" not in text] == []
    assert len(NOTEBOOKS) >= 3
