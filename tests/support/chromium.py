"""A headless Chromium, driven by Playwright."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support.engines import BROWSERS, chromium


@contextmanager
def open_browser() -> Iterator[Any]:
    """The browser for the length of the block; the test is skipped where Playwright or Chromium is missing."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = chromium()
    if path is None:
        pytest.skip(f"none of {', '.join(BROWSERS)} is here: make engines")
    with sync_api.sync_playwright() as playwright:
        # Without a sandbox: it cannot be had in most containers, and the pages are our own.
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()
