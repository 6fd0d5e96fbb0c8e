"""The benchmark asks both servers, and the one with limits has them."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.serving import limits_overhead
from tests.support.tiny_retriever import write_tiny_bundle


@pytest.mark.slow
def test_both_servers_answer(tmp_path: Path) -> None:
    found = limits_overhead.measure(write_tiny_bundle(tmp_path / "bundle"), rounds=1, searches=1)
    assert found["without_ms"] > 0
    assert found["with_ms"] > 0
