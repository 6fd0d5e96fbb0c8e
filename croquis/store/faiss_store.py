"""A store in one file on this machine: SQLite keeps it, FAISS searches it; one process at a time.

Each version of a catalogue is such a file; a small file beside them names the current one.

The index in memory is a `LayeredIndex`: what has changed since it was built lies in a layer over it, and where the layer has
grown to an eighth of it both become a new index. A search goes on in the view that it began with and holds nobody up.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from croquis.arrays import Vectors
from croquis.catalog.filters import Filters
from croquis.files import read_json, write_json
from croquis.store.faiss_file import StoreFile
from croquis.store.faiss_view import StoreView
from croquis.store.vector_store import Match, Stored, StoredImage, StoreSpec, VectorStore
from croquis.store.versions import Stores

POINTER = "current.json"
ENDINGS = ("", "-wal", "-shm")  # of a file of SQLite and what it keeps beside it


class FaissStore(VectorStore):
    """The store in a file, all of whose vectors are read into memory.

    Args:
        name: of the version.
        file: where it is kept; closed by `close`.
    """

    def __init__(self, name: str, file: StoreFile) -> None:
        super().__init__(name, file.spec)
        self._file = file
        self._writing = threading.Lock()
        parts = list(file.scan())
        ids = [image.image_id for images, _ in parts for image in images]
        stored = np.concatenate([part for _, part in parts]) if parts else self._nothing
        self._view = StoreView.of(self.spec, ids, stored)

    def count(self, filters: Filters | None = None) -> int:
        return self._file.count(filters or Filters())

    def get(self, image_ids: Sequence[str]) -> dict[str, StoredImage]:
        return {image.image_id: image for image in self._file.images("image_id", image_ids)}

    def vectors(self, image_ids: Sequence[str]) -> dict[str, Vectors]:
        view = self._view
        rows = view.rows(image_ids)
        return dict(zip(view.ids(rows), view.vectors(rows), strict=True))

    def thumbnails(self, image_ids: Sequence[str]) -> dict[str, bytes]:
        return self._file.thumbnails(image_ids)

    def words(self) -> dict[str, Counter[str]]:
        return self._file.words()

    def images_of(self, item_ids: Sequence[str]) -> list[StoredImage]:
        return self._file.images("item_id", item_ids)

    def mark_deleted(self, versions: Mapping[str, int]) -> None:
        self._file.mark_deleted(versions)

    def deletions_of(self, item_ids: Sequence[str]) -> dict[str, int]:
        return self._file.deletions_of(item_ids)

    def deletions(self) -> dict[str, int]:
        return self._file.deletions_of()

    def scan(self) -> Iterator[tuple[list[StoredImage], Stored]]:
        return self._file.scan()

    def close(self) -> None:
        self._file.close()

    @property
    def _nothing(self) -> Stored:
        return self.spec.stored(np.empty((0, self.spec.dim), dtype=np.float32))

    def _write(self, images: Sequence[StoredImage], stored: Stored, thumbnails: Sequence[bytes]) -> None:
        with self._writing:
            self._file.write(images, stored, thumbnails)
            self._view = self._view.changed([image.image_id for image in images], stored)

    def _remove(self, image_ids: Sequence[str]) -> None:
        with self._writing:
            self._file.remove(image_ids)
            self._view = self._view.changed([], self._nothing, image_ids)

    def _nearest(self, queries: Stored, k: int, filters: Filters) -> list[list[Match]]:
        view = self._view
        if view.index is None:
            return [[] for _ in queries]
        rows = None if filters.empty else view.rows(self._file.select(filters))
        scores, found = view.index.search(self.spec.decoded(queries), k, rows, tiebreak=view.keys)
        near = [row[row >= 0] for row in found]
        lists = [view.ids(row) for row in near]
        known = self.get(list({name for names in lists for name in names}))  # what was deleted meanwhile is missing
        return [
            [
                Match(known[name], float(score), vector)
                for name, score, vector in zip(names, best, view.vectors(rows), strict=False)
                if name in known
            ]
            for names, best, rows in zip(lists, scores, near, strict=True)
        ]


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
