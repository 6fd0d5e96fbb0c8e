"""The tiny retriever behind the search server in this process."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from croquis.search.local_retriever import LocalRetriever
from croquis.serving.app import create_app
from croquis.serving.models.bundle_sources import BundleSource
from croquis.serving.server_settings import Settings
from tests.support.serving.live_server import Serve
from tests.support.tiny_retriever import write_tiny_bundle


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_bundle(tmp_path_factory.mktemp("serving") / "bundle")


@pytest.fixture(scope="session")
def retriever(bundle: Path) -> LocalRetriever:
    return LocalRetriever.load(bundle)


@pytest.fixture
def serve(bundle: Path) -> Iterator[Serve]:
    """Makes a client of a started app: `serve(settings, label=folder)`; the tiny bundle is the champion by default."""
    with contextlib.ExitStack() as stack:

        def start(settings: Settings | None = None, **folders: Path) -> TestClient:
            sources = {label: BundleSource(folder) for label, folder in ({"champion": bundle} | folders).items()}
            app = create_app(sources, settings or Settings(threads=2))
            return stack.enter_context(TestClient(app, raise_server_exceptions=False))

        yield start


@pytest.fixture(scope="module")
def client(bundle: Path) -> Iterator[TestClient]:
    app = create_app({"champion": BundleSource(bundle)}, Settings(threads=2))
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client
