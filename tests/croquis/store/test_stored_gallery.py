"""A server over each engine answers as over the bundle's own images."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from croquis.bundle import Bundle
from croquis.serving.app import create_app
from croquis.serving.models.bundle_sources import BundleSource
from croquis.serving.server_settings import Settings
from croquis.store.fill import fill
from croquis.store.versions import open_stores
from tests.support import tiny_retriever as tiny
from tests.support.serving.live_server import wait_for
from tests.support.serving.store_answers import FILTERS, PROBABLE, asked, same
from tests.support.store.store_sample import Engine
from tests.support.tiny_retriever import write_tiny_bundle

pytestmark = pytest.mark.scale
PATIENCE = 120  # seconds


@pytest.mark.slow
def test_every_engine_answers_as_the_bundles_own_index(engine: Engine, tmp_path: Path) -> None:
    folder = write_tiny_bundle(tmp_path / "bundle", rerank=tiny.RERANK | PROBABLE)
    stores = open_stores(engine.uri, "served")
    version = fill(stores, Bundle.load(folder)).name
    stores.publish(version)
    stores.close()
    sources = {"champion": BundleSource(folder)}
    settings = Settings(threads=2, store=engine.uri, catalogue="served", watch_seconds=0.1)
    with (
        TestClient(create_app(sources, Settings(threads=2))) as own,
        TestClient(create_app(sources, settings)) as stored,
    ):
        assert stored.get("/readyz").json()["stores"] == {"champion": version}
        for filters in FILTERS:
            fields = {"rerank": "true", "k": 12} | ({"filters": filters} if filters else {})
            same(asked(stored, "/search", **fields), asked(own, "/search", **fields))
        same(*(client.get("/similar/item-green-2?k=100").json() for client in (stored, own)))
        for path in ("/items/item-red-0", "/catalogue/filters"):
            assert stored.get(path).json() == own.get(path).json()
        assert stored.get("/items/item-red-0/image").content == own.get("/items/item-red-0/image").content
        held = stored.app.state.stores  # type: ignore[attr-defined]
        second = fill(held, Bundle.load(folder)).name
        held.publish(second)
        wait_for(lambda: asked(stored, "/search", k=3)["model"]["store"] == second, PATIENCE)  # each search is answered
        assert held.rollback() == version
        wait_for(lambda: asked(stored, "/search", k=3)["model"]["store"] == version, PATIENCE)
