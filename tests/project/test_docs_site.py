"""The docs site builds without a warning, and its generated pages hold what the code offers."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from croquis.cli.command_tree import COMMANDS
from tests.support.engines import chromium
from tests.support.imports import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built in strict mode, in which a warning, such as one of a broken link, is an error."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    environ = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "WARNING" not in done.stderr
    return folder


def headings(page: Path) -> list[str]:
    return re.findall(r"<h[23] id=\"([^\"]+)\"", page.read_text(encoding="utf-8"))


def test_every_command_has_its_help(site: Path) -> None:
    assert {f"croquis-{name}" for name in COMMANDS} <= set(headings(site / "reference/cli.html"))


def test_every_block_of_params_is_described(site: Path) -> None:
    assert {"base", "ingest", "siamese", "evaluate", "register"} <= set(headings(site / "reference/params.html"))


def test_links_to_code_lead_to_its_page(site: Path) -> None:
    page = (site / "architecture.html").read_text(encoding="utf-8")
    assert 'href="source/croquis/plugins.py.html"' in page
    assert "METHODS" in (site / "source/croquis/plugins.py.html").read_text(encoding="utf-8")


def test_nothing_is_loaded_from_another_host(site: Path) -> None:
    page = (site / "index.html").read_text(encoding="utf-8")
    loaded = re.findall(r"<(?:script|img|link)[^>]+(?:src|href)=\"(https?:[^\"]+)\"", page)
    assert loaded == []


def test_a_page_opened_from_disk_can_be_searched(site: Path) -> None:
    path = chromium()
    if path is None:
        pytest.skip("no Chromium is here: make engines")
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    asked: list[str] = []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = browser.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.goto((site / "reproduce/spq.html").as_uri())
        page.locator("input.md-search__input").click()
        page.keyboard.type("quarantine")
        found = page.locator("a.md-search-result__link").first
        found.wait_for()
        assert Path(urlsplit(found.get_attribute("href")).path).is_relative_to(site)
        browser.close()
    assert all(url.startswith(("file:", "data:", "blob:", "about:")) for url in asked)
