"""What a store keeps of an image, and what every store of a catalogue's vectors can do: FAISS in a file, or Milvus.

An index (`croquis.index.vector_index`) is built once and read by row. A store changes while it is searched, names its
images by id, and outlives the process. What the caller sees is decided here, once: an engine only keeps, finds and filters.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from croquis.arrays import Scores, Vectors
from croquis.bundle.gallery_table import COLOUR
from croquis.catalog.filters import Filters
from croquis.index.coding import SignCoding
from croquis.index.exact import best_first, normalise, similarity
from croquis.index.kinds import INDEX_KINDS, kinds_of
from croquis.index.ranking import label_blind_keys
from croquis.index.vector_index import check_depth, check_vectors
from croquis.nets.encoder import HEADS

KINDS = tuple(dict.fromkeys(kind.name for kind in INDEX_KINDS if kind.in_store))
Stored = npt.NDArray[Any]
"""(n, dim) float32 of unit length for `cosine`, as they are for `l2`; packed bits (n, ceil(dim / 8)) uint8 for `hamming`."""


class StoreError(RuntimeError):
    """A store cannot be opened or used; the message names it, says why and what to do."""


@dataclass(frozen=True)
class StoredImage:
    """What a store knows of an image beside its vector and its thumbnail.

    Attributes:
        version: of its product.
        attributes: as its product has them.
        predicted: those that the bundle's classifier sees, sorted.
        probabilities: a byte for each of the classifier's attributes, as in `croquis.bundle.gallery_table.PROBABILITIES`.
    """

    image_id: str
    item_id: str
    version: int
    category: str
    domain: str
    attributes: tuple[str, ...]
    predicted: tuple[str, ...] = ()
    probabilities: bytes | None = None


@dataclass(frozen=True)
class Match:
    """An image that was found; a higher score is better, as in `VectorIndex`.

    Attributes:
        vector: (dim,) as `StoreSpec.decoded` gives it.
    """

    image: StoredImage
    score: float
    vector: Vectors = field(compare=False, repr=False)


@dataclass(frozen=True)
class StoreSpec:
    """Whose vectors a store keeps, and how; the store carries it along, and is opened only for that bundle.

    Attributes:
        bundle: hash of the bundle whose encoder makes the vectors.
        head: `dense` or `binary`.
        metric: as in `croquis.nets.encoder.HEADS`.
        dim: numbers per vector; bits of a binary head.
        kind: `flat` (every vector is compared) or `hnsw` (a graph; dense vectors only).
    """

    bundle: str
    head: str
    metric: str
    dim: int
    kind: str = "flat"

    def __post_init__(self) -> None:
        if not any(kind.in_store for kind in INDEX_KINDS if kind.head == self.head):
            raise StoreError(
                f"head = {self.head!r}: a store keeps dense vectors and binary codes; product codes need the bundle's own "
                "index (croquis serve --bundle)"
            )
        if self.metric not in HEADS[self.head]:
            raise StoreError(f"metric = {self.metric!r}, must be one of {HEADS[self.head]} for the head {self.head}")
        fitting = [name for name, kind in kinds_of(self.head).items() if kind.in_store]
        if self.kind not in fitting:
            raise StoreError(f"kind = {self.kind!r} of the head {self.head}: must be one of {fitting}")

    def stored(self, vectors: Vectors) -> Stored:
        """Vectors (n, dim) of the encoder as a store keeps them.

        Raises:
            VectorIndexError: on another width or a number that is not finite.
        """
        checked = check_vectors(vectors, self.dim, "vectors")
        if self.head == "binary":
            return SignCoding(self.dim).encode(checked)
        return normalise(checked) if self.metric == "cosine" else checked

    def decoded(self, stored: Stored) -> Vectors:
        """What an index takes for vectors (n, ...) as stored: (n, dim) float32."""
        if not len(stored):
            return np.empty((0, self.dim), dtype=np.float32)
        return SignCoding(self.dim).decode(stored) if self.head == "binary" else stored

    def scores(self, query: Stored, stored: Stored) -> Scores:
        """Of `stored` (n, ...) for one `query`, both as stored: (n,) float32."""
        if self.head == "binary":
            return -np.asarray(np.bitwise_count(stored ^ query).sum(axis=1), dtype=np.float32)
        return similarity(query, stored, self.metric)


__all__ = ["KINDS", "Match", "StoreError", "StoreSpec", "Stored", "StoredImage", "VectorStore", "conditions", "ranked"]


class VectorStore(ABC):
    """Images with their vectors under an id each, and notes of deleted products; safe to use from several threads.

    A call that writes returns when the engine has acknowledged it: what was acknowledged survives the end of the process and
    is seen by every later call on this store.

    Attributes:
        name: of this version in its engine.
        spec: what it keeps.
    """

    def __init__(self, name: str, spec: StoreSpec) -> None:
        self.name = name
        self.spec = spec

    def upsert(
        self, images: Sequence[StoredImage], vectors: Vectors, thumbnails: Sequence[bytes] | None = None
    ) -> None:
        """Adds images, or replaces those of the same id; of an id that comes twice the last one counts.

        Args:
            vectors: (n, dim) float32 as the bundle's encoder gives them, row for row.
            thumbnails: a JPEG each, empty where there is none; none at all when None.
        """
        jpegs = [b""] * len(images) if thumbnails is None else thumbnails
        if not len(images) == len(vectors) == len(jpegs):
            raise StoreError(f"{len(images)} images came with {len(vectors)} vectors and {len(jpegs)} thumbnails")
        rows = list({image.image_id: row for row, image in enumerate(images)}.values())
        if rows:
            self._write([images[row] for row in rows], self.spec.stored(vectors)[rows], [jpegs[row] for row in rows])

    def delete(self, image_ids: Sequence[str]) -> int:
        """Takes images out, and returns how many of them were there."""
        there = list(self.get(image_ids))
        if there:
            self._remove(there)
        return len(there)

    def search(self, vectors: Vectors, k: int, filters: Filters | None = None) -> list[list[Match]]:
        """The best `k` images for each of (Q, dim) vectors, best first; equal scores in label-blind order.

        A filter that few images pass is answered by comparing all of them; a value that no image has finds nothing.
        """
        check_depth(k)
        asked = filters or Filters()
        return self._nearest(self.spec.stored(vectors), k, asked) if len(vectors) else []

    @abstractmethod
    def count(self, filters: Filters | None = None) -> int:
        """How many images there are, or pass the filters."""

    @abstractmethod
    def get(self, image_ids: Sequence[str]) -> dict[str, StoredImage]:
        """Those of the images that are there, by id."""

    @abstractmethod
    def vectors(self, image_ids: Sequence[str]) -> dict[str, Vectors]:
        """The vectors (dim,) of those images that are there, by id, as `StoreSpec.decoded` gives them."""

    @abstractmethod
    def thumbnails(self, image_ids: Sequence[str]) -> dict[str, bytes]:
        """The thumbnails of those images that are there, by id; empty for an image that came without one."""

    @abstractmethod
    def words(self) -> dict[str, Counter[str]]:
        """How many images have each `category`, and each of the `attributes`; reads something of every image."""

    @abstractmethod
    def images_of(self, item_ids: Sequence[str]) -> list[StoredImage]:
        """All images of some products, newest state, whoever wrote it."""

    @abstractmethod
    def mark_deleted(self, versions: Mapping[str, int]) -> None:
        """Notes that products were deleted, and at which version, so that an older change does not bring one back."""

    @abstractmethod
    def deletions_of(self, item_ids: Sequence[str]) -> dict[str, int]:
        """Those of the products that were deleted once, with the version of their last deletion."""

    @abstractmethod
    def deletions(self) -> dict[str, int]:
        """`deletions_of` of every product."""

    @abstractmethod
    def scan(self) -> Iterator[tuple[list[StoredImage], Stored]]:
        """Every image with its vector as stored, some at a time, in no certain order."""

    @abstractmethod
    def close(self) -> None:
        """Gives up the engine's locks and connections; nothing has to be saved."""

    @abstractmethod
    def _write(self, images: Sequence[StoredImage], stored: Stored, thumbnails: Sequence[bytes]) -> None: ...

    @abstractmethod
    def _remove(self, image_ids: Sequence[str]) -> None: ...

    @abstractmethod
    def _nearest(self, queries: Stored, k: int, filters: Filters) -> list[list[Match]]: ...


def conditions(filters: Filters) -> list[tuple[str, tuple[str, ...]]]:
    """What an image must have: for each (column, words) one of the words; `attributes` is a column of lists."""
    wanted = [("category", filters.category), ("domain", filters.domain)]
    wanted += [("attributes", (name,)) for name in filters.attributes]
    wanted.append(("attributes", tuple(COLOUR + name for name in filters.colour)))
    return [(column, words) for column, words in wanted if words]


def ranked(spec: StoreSpec, query: Stored, images: Sequence[StoredImage], stored: Stored, k: int) -> list[Match]:
    """The best `k` of some images, scored one by one, so that neither their order nor the engine matters."""
    scores = spec.scores(query, stored)
    best = best_first(scores, label_blind_keys([image.image_id for image in images]), k)
    near = zip(best.tolist(), spec.decoded(stored[best]), strict=True)
    return [Match(images[row], float(scores[row]), vector) for row, vector in near]
