"""Where stores are kept: versions of one catalogue, one of which is current, and the change from one to another.

`faiss:FOLDER`, `milvus:FILE.db` and `milvus:http://HOST:PORT` are opened by `open_stores` and behave alike.
Every version has a record of the bundle that its vectors come from, and is opened for that bundle only.
"""

from __future__ import annotations

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from croquis.store.vector_store import StoreError, StoreSpec, VectorStore

NAME = re.compile(r"[a-z][a-z0-9_]{0,40}")
TOKEN_VARIABLE = "CROQUIS_MILVUS_TOKEN"
SHOWN = 8  # digits of a bundle's hash in the name of a version


class Stores(ABC):
    """Versions of the catalogue `name`.

    Open stores are kept, so that asking again costs little; `close` closes them.
    """

    def __init__(self, uri: str, name: str) -> None:
        if not NAME.fullmatch(name):
            raise StoreError(
                f"{name!r} cannot name a catalogue: a small letter, then letters, digits and _, at most 41"
            )
        self.uri = uri
        self.name = name
        self._open: dict[str, VectorStore] = {}

    def create(self, spec: StoreSpec) -> VectorStore:
        """A new, empty version, which is not searched before it is published."""
        version = self._next_name(spec)
        self._open[version] = self._create(version, spec)
        return self._open[version]

    @contextmanager
    def filling(self, spec: StoreSpec) -> Iterator[VectorStore]:
        """`create`, for a block that fills the version; one that fails leaves no version behind."""
        store = self.create(spec)
        try:
            yield store
        except BaseException:  # Ctrl-C too: half a version would stay in the store
            self.drop(store.name)
            raise

    def open(self, bundle: str, version: str | None = None) -> VectorStore:
        """A version (the current one by default) for the encoder of a bundle.

        Args:
            bundle: its hash.

        Raises:
            StoreError: when there is no such version, or its vectors come from another bundle.
        """
        store = self.look_at(version)
        found = store.spec.bundle
        if found != bundle:
            raise StoreError(
                f"{store.name} in {self.uri} holds vectors of the bundle {found[:12]}, not of {bundle[:12]}: publish a "
                "version that was made with this bundle, or use the bundle that the store names"
            )
        return store

    def look_at(self, version: str | None = None) -> VectorStore:
        """A version (the current one by default), whichever bundle it is of: to be counted or copied, not searched.

        Raises:
            StoreError: when there is no such version.
        """
        named = version or self.current
        if named is None:
            raise StoreError(f"{self.uri} has no current version of {self.name!r}: create one, fill it and publish it")
        if named not in self._open:
            if named not in self.versions():
                raise StoreError(f"{self.uri} has no version {named!r}; it has {', '.join(self.versions()) or 'none'}")
            self._open[named] = self._load(named)
        return self._open[named]

    def publish(self, version: str) -> None:
        """Makes a version the current one; searches find the old one or the new one at every moment."""
        if version not in self.versions():
            raise StoreError(f"{self.uri} has no version {version!r}; it has {', '.join(self.versions()) or 'none'}")
        if version != self.current:
            self._point(version, self.current)

    def rollback(self) -> str:
        """Makes the version before the current one current again, and returns its name.

        Raises:
            StoreError: when there is none.
        """
        before = self.previous
        if before is None or before == self.current:
            raise StoreError(f"{self.uri} has no version of {self.name!r} before the current one")
        self._point(before, self.current)
        return before

    def drop(self, version: str) -> None:
        """Deletes a version that is neither current nor the one before.

        Raises:
            StoreError: when it is one of them.
        """
        if version in (self.current, self.previous):
            raise StoreError(f"{version} is the current version or the one before it: publish others first")
        if version in self._open:
            self._open.pop(version).close()
        self._drop(version)

    def close(self) -> None:
        """Closes every version that was opened."""
        for store in self._open.values():
            store.close()
        self._open.clear()

    def _next_name(self, spec: StoreSpec) -> str:
        number = 1
        while (version := f"{self.name}_{spec.bundle[:SHOWN]}_{number}") in self.versions():
            number += 1
        return version

    @property
    @abstractmethod
    def current(self) -> str | None:
        """Name of the version that is searched."""

    @property
    @abstractmethod
    def previous(self) -> str | None:
        """Name of the one that was searched before."""

    @abstractmethod
    def versions(self) -> list[str]:
        """Names of all versions, sorted."""

    @abstractmethod
    def _create(self, version: str, spec: StoreSpec) -> VectorStore: ...

    @abstractmethod
    def _load(self, version: str) -> VectorStore: ...

    @abstractmethod
    def _drop(self, version: str) -> None: ...

    @abstractmethod
    def _point(self, current: str, previous: str | None) -> None: ...


def open_stores(uri: str, name: str = "catalogue", consistency: str = "session") -> Stores:
    """The stores at an address.

    Args:
        uri: `faiss:FOLDER` (or a plain path), `milvus:FILE.db` for Milvus Lite, `milvus:http://HOST:PORT` for a server.
            The token of a server is read from the environment (CROQUIS_MILVUS_TOKEN).
        name: of the catalogue.
        consistency: of searches in Milvus, see `croquis.store.milvus_store.MilvusStore`.

    Raises:
        StoreError: when the address cannot be used.
    """
    from croquis.store.faiss_store import FaissStores
    from croquis.store.milvus_store import MilvusStores

    kind, separator, address = uri.partition(":")
    if kind == "milvus" and separator:
        return MilvusStores(uri, name, address, os.environ.get(TOKEN_VARIABLE, ""), consistency)
    if kind == "faiss" and separator:
        return FaissStores(uri, name, Path(address))
    if "://" in uri:
        raise StoreError(f"{uri!r} is no store: give faiss:FOLDER, milvus:FILE.db or milvus:http://HOST:PORT")
    return FaissStores(f"faiss:{uri}", name, Path(uri))
