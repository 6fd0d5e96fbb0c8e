"""The tiny retriever of tests/retrieval behind the search server: in this process, or as a process of its own."""

from __future__ import annotations

import contextlib
import io
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import uvicorn
from PIL import Image
from starlette.testclient import TestClient

from croquis.bundle import write_bundle
from croquis.bundle.gallery_table import GALLERY_SCHEMA
from croquis.catalog.images import encode_png, prepare_image, to_batch
from croquis.index.build import build_index
from croquis.nets.encoder import load_encoder
from croquis.search.local_retriever import LocalRetriever
from croquis.serving.app import create_app
from croquis.serving.command import listening_socket
from croquis.serving.models.bundle_sources import BundleSource
from croquis.serving.server_settings import Settings
from tests.retrieval import conftest as tiny

Serve = Callable[..., TestClient]


def write_tiny_bundle(folder: Path, **changes: Any) -> Path:
    """The tiny bundle at `folder`, with some parts replaced."""
    models = folder.with_name(f"{folder.name}-models")
    encoder = tiny.save_encoder(models / "siamese")
    rows = tiny.gallery_rows()
    batch = to_batch([prepare_image(tiny.picture_of(row["image_id"]), tiny.SIZE) for row in rows])
    parts = {
        "method": "siamese",
        "encoder_folder": encoder,
        "generator_folder": tiny.save_generator(models / "sketch_gan"),
        "classifier_folder": tiny.save_classifier(models / "attributes"),
        "index": build_index(load_encoder(encoder).encode(batch), metric="cosine"),
        "gallery_table": pa.Table.from_pylist(rows, schema=GALLERY_SCHEMA),
        "rerank": tiny.RERANK,
        "image_size": tiny.SIZE,
    }
    return write_bundle(folder, **(parts | changes)).folder


def photo(image_id: str = "red-00") -> bytes:
    """A PNG of a gallery picture."""
    return encode_png(tiny.picture_of(image_id))


def as_file(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, format=kind, **options)
    return stream.getvalue()


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
            app = create_app(sources, settings or Settings(workers=2))
            return stack.enter_context(TestClient(app, raise_server_exceptions=False))

        yield start


@pytest.fixture(scope="module")
def client(bundle: Path) -> Iterator[TestClient]:
    app = create_app({"champion": BundleSource(bundle)}, Settings(workers=2))
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


@contextlib.contextmanager
def listening(app: Any) -> Iterator[str]:
    """The address of `app` on a free port of this machine, served by a thread."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", access_log=False))
    socket = listening_socket(server.config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [socket]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{socket.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=30)
