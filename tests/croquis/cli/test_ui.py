"""The address that `croquis ui` prints opens MLflow on the project's runs, in a browser: columns, nested runs, registry."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.engines import BROWSERS, chromium
from tests.support.imports import ROOT
from tests.support.registry.evaluated_project import MODEL, Project, begun_project, copied
from tests.support.started_server import answer

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = pytest.mark.slow
PATIENCE_MS = 120_000  # of a page whose scripts a busy machine reads for the first time


@contextlib.contextmanager
def user_interface(project: Path) -> Iterator[str]:
    """The address that `croquis ui` prints, while MLflow answers there."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "croquis", "ui", "--port", str(port)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, cwd=project, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            answer(f"http://127.0.0.1:{port}/health", process)
            yield line.split()[2]
        finally:
            process.terminate()


@pytest.fixture
def page() -> Iterator[Any]:
    path = chromium()
    if path is None:
        pytest.skip(f"none of {', '.join(BROWSERS)} is here: make engines")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 2600, "height": 900})
        page.set_default_timeout(PATIENCE_MS)
        yield page
        browser.close()


def test_before_the_first_result_it_shows_the_experiment_and_the_model_registry(shapes: Path, page: Any) -> None:
    with user_interface(shapes) as address:
        page.goto(address)
        page.get_by_role("link", name="Experiments").first.wait_for()
        page.get_by_role("link", name="Model registry").first.wait_for()


def test_the_first_screen_shows_the_result_its_figures_and_the_nested_stages(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page: Any
) -> None:
    project: Project = copied(begun_project(tmp_path_factory), tmp_path, monkeypatch)
    (result,) = project.pipeline_runs()
    with user_interface(project.root) as address:
        page.goto(address)
        page.get_by_role("link", name="pipeline", exact=True).wait_for()
        for column in ("Dataset", "Source", "test/shop_to_shop/map_at_r", "val/shop_to_shop/map_at_r"):
            page.get_by_role("columnheader", name=column).first.wait_for()
        value = result.data.metrics["test/shop_to_shop/map_at_r"]
        page.get_by_role("gridcell", name=f"{value:.4f}"[:5]).first.wait_for()
        page.get_by_role("link", name=MODEL).first.wait_for()
        assert page.get_by_role("link", name="register", exact=True).count() == 0, "nested runs are folded at first"
        named = page.get_by_role("gridcell").filter(has=page.get_by_role("link", name="pipeline", exact=True))
        named.get_by_role("button").first.click()
        page.get_by_role("link", name="register", exact=True).wait_for()
