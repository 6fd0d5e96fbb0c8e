"""Versions of a catalogue in Milvus: two collections each, and aliases that name the current one and the one before."""

from __future__ import annotations

from croquis.store.milvus_collections import NOTES, make_images, make_notes, read_spec
from croquis.store.milvus_link import BUILDING, MilvusLink
from croquis.store.milvus_store import MilvusStore
from croquis.store.vector_store import StoreSpec
from croquis.store.versions import Stores

BEFORE = "_previous"


class MilvusStores(Stores):
    """Collections whose names begin with that of the catalogue; the alias of its name is the current version."""

    def __init__(self, uri: str, name: str, address: str, token: str, consistency: str) -> None:
        super().__init__(uri, name)
        self._consistency = consistency
        self._link = MilvusLink(address, token)

    @property
    def current(self) -> str | None:
        return self._target(self.name)

    @property
    def previous(self) -> str | None:
        return self._target(self.name + BEFORE)

    def versions(self) -> list[str]:
        names = self._link.call("list_collections")
        return sorted(name for name in names if name.startswith(f"{self.name}_") and not name.endswith(NOTES))

    def close(self) -> None:
        super().close()
        self._link.close()

    def _create(self, version: str, spec: StoreSpec) -> MilvusStore:
        make_images(self._link, version, spec)
        make_notes(self._link, version, spec)
        return MilvusStore(self._link, version, spec, self._consistency)

    def _load(self, version: str) -> MilvusStore:
        for collection in (version, version + NOTES):
            if self._link.call("has_collection", collection):
                self._link.call("load_collection", collection, timeout=BUILDING)
        return MilvusStore(self._link, version, read_spec(self._link, version), self._consistency)

    def _drop(self, version: str) -> None:
        for collection in (version, version + NOTES):
            self._link.call("drop_collection", collection)

    def _point(self, current: str, previous: str | None) -> None:
        """The alias of the version before is moved first: a stop between the two leaves the old version current."""
        if previous is not None:
            self._alias(self.name + BEFORE, previous)
        self._alias(self.name, current)

    def _alias(self, alias: str, version: str) -> None:
        known = self._target(alias) is not None
        self._link.call("alter_alias" if known else "create_alias", version, alias)

    def _target(self, alias: str) -> str | None:
        """The version that an alias names, in one answer: whoever asks each version may miss an alias that moves meanwhile.

        That it is there is asked before: an alias that is not there is an error to Milvus, and logged.
        """
        if alias not in self._link.call("list_aliases")["aliases"]:
            return None
        return str(self._link.call("describe_alias", alias)["collection_name"])
