"""A store in one file on this machine: SQLite keeps it, FAISS searches it; one process at a time.

Each version of a catalogue is such a file; a small file beside them names the current one.

The index in memory is a `LayeredIndex`: what has changed since it was built lies in a layer over it, and where the layer has
grown to an eighth of it both become a new index. A change is one transaction and one new view: a search meets all of it or
nothing, and goes on in the view that it began with.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import cast

import numpy as np

from croquis.arrays import Rows, Scores, Vectors
from croquis.catalog.filters import Filters
from croquis.catalog.product import ProductPicture
from croquis.files import read_json, write_json
from croquis.store.faiss_file import StoreFile
from croquis.store.faiss_view import StoreView
from croquis.store.store_words import StoreWords
from croquis.store.vector_store import Match, StoreChange, Stored, StoredImage, StoreError, StoreSpec, VectorStore
from croquis.store.versions import Stores
from croquis.words.word_scores import Vocabulary

POINTER = "current.json"
ENDINGS = ("", "-wal", "-shm")  # of a file of SQLite and what it keeps beside it
PARTIAL = "filling.partial"
TRIES = 3  # of a search whose view changed meanwhile


class FaissStore(VectorStore):
    """The store in a file, all of whose vectors are read into memory when it is first searched.

    Args:
        name: of the version.
        file: where it is kept; closed by `close`.
    """

    def __init__(self, name: str, file: StoreFile) -> None:
        super().__init__(name, file.spec)
        self._file = file
        self._writing = threading.Lock()
        self._words = StoreWords()
        self._seen: StoreView | None = None
        self._vocabularies = lru_cache(maxsize=1)(self._vocabulary)

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

    def words(self) -> StoreWords:
        return self._words if self._view is not None else StoreWords()

    def pictures(self, image_ids: Sequence[str]) -> dict[str, ProductPicture]:
        """The files that some images were made from, where they are kept."""
        return self._file.pictures(image_ids)

    def changed_products(self) -> list[str]:
        """Those that were changed since the store was filled with a bundle's gallery, deletions included."""
        return self._file.changed_products()

    def images_of(self, item_ids: Sequence[str]) -> list[StoredImage]:
        return self._file.images("item_id", item_ids)

    def deletions_of(self, item_ids: Sequence[str]) -> dict[str, int]:
        return self._file.deletions_of(item_ids)

    def deletions(self) -> dict[str, int]:
        return self._file.deletions_of()

    def scan(self) -> Iterator[tuple[list[StoredImage], Stored]]:
        return self._file.scan()

    def close(self) -> None:
        self._file.close()

    @property
    def _view(self) -> StoreView:
        """The images as they are now."""
        with self._file.lock:
            if self._seen is None:
                parts = list(self._file.scan())
                images = [image for some, _ in parts for image in some]
                nothing = self.spec.stored(np.empty((0, self.spec.dim), dtype=np.float32))
                stored = np.concatenate([part for _, part in parts]) if parts else nothing
                self._words = self._words.changed(images)
                self._seen = StoreView.of(self.spec, [image.image_id for image in images], stored)
            return self._seen

    def _change(self, change: StoreChange, stored: Stored) -> None:
        with self._writing:
            if self._written_unseen(change, stored):
                return
            ids = [image.image_id for image in change.images]
            view = self._view.changed(ids, stored, change.gone)
            words = self._words.changed(change.images, list(self.get([*ids, *change.gone]).values()))
            with self._file.lock:
                self._file.write(change, stored)
                self._seen, self._words = view, words

    def _written_unseen(self, change: StoreChange, stored: Stored) -> bool:
        """Whether no search was made yet, so that the file was all there was to write: a version is filled in this way."""
        with self._file.lock:
            if self._seen is None:
                self._file.write(change, stored)
            return self._seen is None

    def _nearest(self, queries: Vectors, k: int, filters: Filters) -> list[list[Match]]:
        for _ in range(TRIES):
            with self._file.lock:
                view, passing = self._view, self._passing(filters)
            found = view.search(queries, k, passing)
            with self._file.lock:
                if self._view is view:
                    return self._matches(view, *found)
        with self._file.lock:  # changes come faster than searches end: the next one waits
            return self._matches(self._view, *self._view.search(queries, k, self._passing(filters)))

    def search_words(self, text: str, k: int, filters: Filters, names: Sequence[str]) -> list[Match]:
        with self._file.lock:
            ids, scores = self._file.by_words(text, k, filters, self._vocabularies(tuple(names)))
            known, vectors = self.get(ids), self.vectors(ids)
        return [Match(known[name], score, vectors[name]) for name, score in zip(ids, scores.tolist(), strict=True)]

    def _vocabulary(self, names: tuple[str, ...]) -> Vocabulary:
        return Vocabulary(names, self.spec.tokenizer, lambda: self._file.seen(names))

    def _passing(self, filters: Filters) -> list[str] | None:
        return None if filters.empty else self._file.select(filters)

    def _matches(self, view: StoreView, scores: Scores, found: Rows) -> list[list[Match]]:
        near = [row[row >= 0] for row in found]
        lists = [view.ids(rows) for rows in near]
        known = self.get(list({name for names in lists for name in names}))
        return [
            [
                Match(known[name], float(score), vector)
                for name, score, vector in zip(names, best, view.vectors(rows), strict=False)
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

    def look_at(self, version: str | None = None) -> FaissStore:
        return cast("FaissStore", super().look_at(version))

    def create_filled(self, spec: StoreSpec, fill: Callable[[FaissStore], None]) -> FaissStore:
        """A new version that is there when `fill` has filled it, and not before; what a stop left behind is removed."""
        for left in self._folder.glob(f".*{PARTIAL}*"):
            left.unlink()
        version, partial = self._next_name(spec), self._folder / f".{PARTIAL}"
        store = FaissStore(version, StoreFile(partial, spec))
        try:
            fill(store)
        finally:
            store.close()
        partial.rename(self._file(version))
        return self.look_at(version)

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
        if not file.is_file():
            return {}
        try:
            pointer = read_json(file)
            return {name: pointer[name] for name in ("current", "previous")}
        except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
            raise StoreError(
                f"{file}, which names the current version, cannot be read ({type(error).__name__}: {error}): delete it, and "
                f"publish one of {', '.join(self.versions()) or 'the versions once there are any'}"
            ) from error

    def _file(self, version: str) -> Path:
        return self._folder / f"{version}.sqlite"
