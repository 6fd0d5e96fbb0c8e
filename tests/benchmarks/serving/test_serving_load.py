"""A load of a second on a server of our own, with a change of the model meanwhile."""

from __future__ import annotations

import pytest

from benchmarks.serving import serving_load
from croquis.files import read_json
from tests.support.catalogues import blob_catalogue as world

pytestmark = pytest.mark.slow


def test_every_request_is_answered_while_the_model_is_changed(tmp_path, monkeypatch):
    catalog = world.write_catalogue(tmp_path)
    bundle = world.write_histogram_bundle(tmp_path, catalog)
    other = world.write_histogram_bundle(tmp_path / "other", catalog, rerank=world.RERANK | {"depth": 50})
    monkeypatch.setattr(serving_load, "BARE_REPEATS", 1)
    arguments = ["--bundle", bundle, "--swap", other, "--catalog", catalog.folder, "--report", tmp_path / "load.json"]
    serving_load.main([*map(str, arguments), "--clients", "3", "--seconds", "2"])
    found = read_json(tmp_path / "load.json")
    (once,) = found["rounds"]
    load = once["server"]["3 clients"]
    assert load["statuses"] == {"200": load["requests"]}
    assert load["requests"] >= 3
    assert load["swaps"] == serving_load.SWAPS
    assert 0 < load["p50_ms"] <= load["p95_ms"] <= load["p99_ms"]
    assert 0 < found["bare"]["search_ms"] <= found["bare"]["sum_ms"]
