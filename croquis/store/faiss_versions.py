"""Versions of a catalogue on this machine: a file each, and a small file that names the current one."""

from __future__ import annotations

from pathlib import Path

from croquis.files import read_json, write_json
from croquis.store.faiss_file import StoreFile
from croquis.store.faiss_store import FaissStore
from croquis.store.vector_store import StoreSpec
from croquis.store.versions import Stores

POINTER = "current.json"
ENDINGS = ("", "-wal", "-shm")  # of a file of SQLite and what it keeps beside it


class FaissStores(Stores):
    """`FOLDER/NAME/VERSION.sqlite` and `FOLDER/NAME/current.json`."""

    def __init__(self, uri: str, name: str, folder: Path) -> None:
        super().__init__(uri, name)
        self._folder = folder / name

    @property
    def current(self) -> str | None:
        return self._pointer().get("current")

    @property
    def previous(self) -> str | None:
        return self._pointer().get("previous")

    def versions(self) -> list[str]:
        return sorted(file.stem for file in self._folder.glob(f"{self.name}_*.sqlite"))

    def _create(self, version: str, spec: StoreSpec) -> FaissStore:
        return FaissStore(version, StoreFile(self._file(version), spec))

    def _load(self, version: str) -> FaissStore:
        return FaissStore(version, StoreFile(self._file(version)))

    def _drop(self, version: str) -> None:
        for ending in ENDINGS:
            file = self._file(version)
            file.with_name(file.name + ending).unlink(missing_ok=True)

    def _point(self, current: str, previous: str | None) -> None:
        write_json(self._folder / POINTER, {"current": current, "previous": previous})

    def _pointer(self) -> dict[str, str | None]:
        file = self._folder / POINTER
        return dict(read_json(file)) if file.is_file() else {}

    def _file(self, version: str) -> Path:
        return self._folder / f"{version}.sqlite"
