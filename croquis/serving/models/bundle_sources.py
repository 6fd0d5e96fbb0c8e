"""Where models come from: a bundle folder, the registry, or a store that holds vectors beside the encoder's bundle."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from croquis.bundle.manifest import MANIFEST_FILE, Manifest
from croquis.files import read_json
from croquis.registry.bundle_options import ModelSourceError
from croquis.search.local_retriever import LocalRetriever
from croquis.serving.models.loaded_model import LoadedModel, load_model
from croquis.store.stored_gallery import StoreGallery
from croquis.store.vector_store import StoreError, VectorStore
from croquis.store.versions import Stores


class ModelSource(Protocol):
    """Something that may hold another model tomorrow than today."""

    def current(self) -> str:
        """What identifies the model that `load` would load now; cheap."""
        ...

    def load(self) -> tuple[str, LoadedModel]:
        """Its identity, as `current` gives it, and the model: verified and warmed up."""
        ...


@dataclass(frozen=True)
class BundleSource:
    """The folder of a bundle, read without MLflow."""

    folder: Path

    def current(self) -> str:
        """The bundle's hash."""
        manifest = self.folder / MANIFEST_FILE
        try:
            return Manifest.from_json(read_json(manifest)).hash
        except (OSError, ValueError) as error:
            raise ModelSourceError(f"{manifest} cannot be read: {error}") from error

    def load(self) -> tuple[str, LoadedModel]:
        try:
            model = load_model(self.folder)
        except (ValueError, OSError) as error:
            raise ModelSourceError(str(error)) from error
        return model.identity.bundle, model


class StoredSource:
    """A source whose model changes when the other source's does, and when the store's version does.

    Of the store the current version is taken, or the one before it where only that was made with the model's bundle: so a
    new champion's version may be published before the registry names it, and a rollback of either finds its version.

    Args:
        source: of the model.
        stores: of the catalogue; several sources may share them.
    """

    def __init__(self, source: ModelSource, stores: Stores) -> None:
        self._source = source
        self._stores = stores
        self._models: dict[str, LoadedModel] = {}  # the one that is served, and those that found no version since

    def current(self) -> str:
        identity = self._source.current()
        model = self._models.get(identity)
        return identity if model is None else _joined(identity, self._store_of(model))

    def load(self) -> tuple[str, LoadedModel]:
        """Another version of the store needs no net to be opened again."""
        identity = self._source.current()
        model = self._models.get(identity)
        if model is None:
            identity, model = self._source.load()
            self._models[identity] = model
        store = self._store_of(model)
        try:
            own = model.retriever
            over = LocalRetriever(own.nets, StoreGallery(own.bundle, store), own.rerank)
            stored = replace(model, retriever=over)
            stored.prepare()
        except StoreError as error:
            raise ModelSourceError(str(error)) from error
        self._models = {identity: model}
        return _joined(identity, store), stored

    def _store_of(self, model: LoadedModel) -> VectorStore:
        try:
            return version_of(self._stores, model.identity.bundle)
        except StoreError as error:
            raise ModelSourceError(str(error)) from error


def version_of(stores: Stores, bundle: str) -> VectorStore:
    """The current version, or the one before it where only that was made with the bundle of this hash.

    Raises:
        StoreError: when neither was, naming the current version's bundle.
    """
    before = stores.previous
    try:
        return stores.open(bundle)
    except StoreError as error:
        try:
            return stores.open(bundle, before) if before else stores.open(bundle)
        except StoreError:
            raise error from None


def _joined(identity: str, store: VectorStore) -> str:
    return f"{identity} {store.name}"
