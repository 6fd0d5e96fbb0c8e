"""The tiny retriever as parts and as a bundle, and an empty tracking store; no variable leads to a tracking server."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from croquis.bundle import write_bundle
from croquis.catalog.images import prepare_image, to_batch
from croquis.index.coding import read_codebooks
from croquis.nets.encoder import describe_encoder, load_encoder
from croquis.tracking.tracking_store import Store, open_store
from tests.support import tiny_retriever as tiny
from tests.support.coded_encoders import save_coded_encoder
from tests.support.environment import clear_environment
from tests.support.indexes import index_of
from tests.support.sources.image_files import MakeImage, write_image


@pytest.fixture(autouse=True)
def no_outside_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    clear_environment(monkeypatch)


@pytest.fixture
def parts(tmp_path: Path) -> dict[str, Any]:
    """The arguments of `write_bundle` for the tiny retriever, but for the folder."""
    return tiny.tiny_parts(tmp_path / "models")


@pytest.fixture
def make_bundle(parts: dict[str, Any], tmp_path: Path) -> Callable[..., Path]:
    """Writes the tiny bundle, with some parts replaced, and returns its folder."""

    def make(name: str = "bundle", **changes: Any) -> Path:
        return write_bundle(tmp_path / name, **{**parts, **changes}).folder

    return make


@pytest.fixture
def coded_parts(parts: dict[str, Any], tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """The arguments of `write_bundle` for a tiny retriever with head `binary` or `pq`; `settings` go to `build_index`."""

    def make(head: str, **settings: Any) -> dict[str, Any]:
        folder = save_coded_encoder(tmp_path / "models" / head, head, tiny.SIZE)
        names = parts["gallery_table"].column("image_id").to_pylist()
        batch = to_batch([prepare_image(tiny.picture_of(name), tiny.SIZE) for name in names])
        described = describe_encoder(folder)
        codebooks = read_codebooks(folder, described.dim) if head == "pq" else None
        vectors = load_encoder(folder).encode(batch)
        index = index_of(vectors, head=head, metric=described.metric, codebooks=codebooks, **settings)
        return {**parts, "method": head, "encoder_folder": folder, "index": index}

    return make


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Iterator[Store]:
    """An empty tracking store in a folder of its own, shared by a module's tests."""
    root = tmp_path_factory.mktemp("project")
    (root / "mlruns").mkdir()
    shutil.copy(empty_store, root / "mlruns")
    with pytest.MonkeyPatch.context() as patch:
        clear_environment(patch)
        yield open_store(root)


@pytest.fixture
def make_image() -> MakeImage:
    return write_image
