"""A version that is filled with a bundle's gallery is whole or absent."""

from __future__ import annotations

from pathlib import Path

import pytest

from croquis.bundle import Bundle
from croquis.store.faiss_file import StoreFile
from croquis.store.fill import fill
from croquis.store.vector_store import StoreError
from croquis.store.versions import open_stores
from tests.support.tiny_retriever import write_tiny_bundle


def test_a_version_that_cannot_be_filled_is_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stores, bundle = open_stores(f"faiss:{tmp_path}", "shop"), Bundle.load(write_tiny_bundle(tmp_path / "bundle"))
    whole = fill(stores, bundle)

    def full(*_: object) -> None:
        raise StoreError("the disk is full")

    monkeypatch.setattr(StoreFile, "write", full)
    with pytest.raises(StoreError, match="the disk is full"):
        fill(stores, bundle)
    assert stores.versions() == [whole.name]
    assert whole.count() == len(bundle.items)
