"""The address that `croquis ui` prints opens MLflow with its registry, in a browser."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.engines import BROWSERS, chromium
from tests.support.imports import ROOT

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = pytest.mark.slow


@pytest.fixture
def printed(shapes: Path) -> Iterator[str]:
    """What `croquis ui` prints, while MLflow answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "croquis", "ui", "--port", str(port)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, cwd=shapes, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        for _ in range(600):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.1)
        yield line
        process.terminate()


def test_the_printed_address_shows_experiments_and_the_model_registry(printed: str) -> None:
    path = chromium()
    if path is None:
        pytest.skip(f"none of {', '.join(BROWSERS)} is here: make engines")
    address = printed.split()[2]
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(address, timeout=120_000)
        page.get_by_role("link", name="Experiments").first.wait_for(timeout=120_000)
        page.get_by_role("link", name="Model registry").first.wait_for(timeout=60_000)
        browser.close()
