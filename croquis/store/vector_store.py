"""What a store keeps of an image, and what every store of a catalogue's vectors can do: FAISS in a file, or Milvus.

An index (`croquis.index.vector_index`) is built once and read by row. A store changes while it is searched, names its
images by id, and outlives the process. What the caller sees is decided here, once: an engine only keeps, finds and filters.
"""

from __future__ import annotations

import base64
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from croquis.arrays import Vectors
from croquis.catalog.filters import Filters
from croquis.catalog.product import COLOUR, ProductPicture
from croquis.catalog.product_columns import Columns
from croquis.credentials import without_credentials
from croquis.index.coding import Coding, ProductCoding, SignCoding, check_codebooks
from croquis.index.exact import best_first, normalise, similarity
from croquis.index.kinds import INDEX_KINDS, kinds_of
from croquis.index.ranking import label_blind_keys
from croquis.index.vector_index import VectorIndexError, check_depth, check_vectors
from croquis.nets.encoder import COMPARISONS, HEADS
from croquis.words.word_settings import DEFAULT_WORDS

if TYPE_CHECKING:
    from croquis.store.store_words import StoreWords

KINDS = tuple(dict.fromkeys(kind.name for kind in INDEX_KINDS if kind.in_store))
Stored = npt.NDArray[Any]
"""(n, dim) float32 of unit length for `cosine`, as they are for `l2`; packed codes (n, bytes) uint8 of a coding head."""


class StoreError(RuntimeError):
    """A store cannot be opened or used; the message names it, says why and what to do."""

    def __init__(self, message: str) -> None:
        super().__init__(without_credentials(message))


class UnfitImageError(StoreError):
    """An image of the product `item_id` that this engine can never keep."""

    def __init__(self, message: str, item_id: str) -> None:
        super().__init__(message)
        self.item_id = item_id


@dataclass(frozen=True)
class StoredImage:
    """What a store knows of an image beside its vector and its thumbnail.

    Attributes:
        version: of its product.
        attributes: as its product has them.
        predicted: those that the bundle's classifier sees, sorted.
        probabilities: a byte for each of the classifier's attributes, as in `croquis.bundle.gallery_file.PROBABILITIES`.
        product: its product's own columns (`croquis.catalog.product_columns`).
    """

    image_id: str
    item_id: str
    version: int
    category: str
    domain: str
    attributes: tuple[str, ...]
    predicted: tuple[str, ...] = ()
    probabilities: bytes | None = None
    product: Columns = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class StoreChange:
    """What is written at once.

    Attributes:
        images: added, or in the place of those of the same ids; of an id that comes twice the last one counts.
        vectors: (n, dim) float32 as the bundle's encoder gives them, row for row.
        thumbnails: a JPEG each, empty where there is none.
        gone: ids of images that are taken out.
        deleted: product -> the version of its deletion.
        pictures: the files that images were made from, where they are known; kept by FAISS stores alone.
        as_stored: whether `vectors` are in the form of `StoreSpec.stored` already, and kept to the bit.
    """

    images: Sequence[StoredImage] = ()
    vectors: Stored = field(default_factory=lambda: np.empty((0, 0), dtype=np.float32))
    thumbnails: Sequence[bytes] = ()
    gone: Sequence[str] = ()
    deleted: Mapping[str, int] = field(default_factory=dict)
    pictures: Sequence[ProductPicture] = ()
    as_stored: bool = False


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
        head: `dense`, `binary` or `pq`.
        metric: as in `croquis.nets.encoder.HEADS`.
        dim: numbers per vector; bits of a binary head.
        kind: `flat` (every vector is compared) or `hnsw` (a graph; dense vectors only).
        comparison: of codes, `symmetric` or `asymmetric`; None for dense vectors.
        codebooks: of the head `pq`, see `spelt_codebooks`.
        tokenizer: of the words, see `croquis.words.word_settings`.
    """

    bundle: str
    head: str
    metric: str
    dim: int
    kind: str = "flat"
    comparison: str | None = None
    codebooks: str | None = None
    tokenizer: str = DEFAULT_WORDS.tokenizer

    def __post_init__(self) -> None:
        if self.metric not in HEADS.get(self.head, ()):
            raise StoreError(f"metric = {self.metric!r} of the head {self.head!r}: must be one of {HEADS}")
        fitting = [name for name, kind in kinds_of(self.head).items() if kind.in_store]
        if self.kind not in fitting:
            raise StoreError(f"kind = {self.kind!r} of the head {self.head}: must be one of {fitting}")
        if self.comparison not in ((None,) if self.head == "dense" else COMPARISONS):
            raise StoreError(f"comparison = {self.comparison!r} does not fit the head {self.head}")
        if (self.codebooks is None) == (self.head == "pq"):
            raise StoreError(f"the head {self.head} comes {'without its' if self.head == 'pq' else 'with'} codebooks")

    @cached_property
    def coding(self) -> Coding | None:
        """How vectors become codes; None where they stay floats."""
        if self.codebooks is not None:
            return ProductCoding(read_spelt_codebooks(self.codebooks, self.dim))
        return SignCoding(self.dim) if self.head == "binary" else None

    def stored(self, vectors: Vectors) -> Stored:
        """Vectors (n, dim) of the encoder as a store keeps them.

        Raises:
            VectorIndexError: on another width or a number that is not finite.
        """
        checked = check_vectors(vectors, self.dim, "vectors")
        if self.coding is not None:
            return self.coding.encode(checked)
        return normalise(checked) if self.metric == "cosine" else checked

    def decoded(self, stored: Stored) -> Vectors:
        """What an index takes for vectors (n, ...) as stored: (n, dim) float32."""
        if not len(stored):
            return np.empty((0, self.dim), dtype=np.float32)
        return stored if self.coding is None else self.coding.decode(stored)

    def read(self, cells: Sequence[bytes]) -> Stored:
        """Vectors as stored, (n, ...), from the bytes of each.

        Raises:
            ValueError, TypeError: when a cell holds no such vector.
        """
        kind = np.float32 if self.coding is None else np.uint8
        rows = np.stack([np.frombuffer(cell, dtype=kind) for cell in cells])
        if rows.shape[1] != self.width:
            raise ValueError(f"a vector is kept by {rows.shape[1]} numbers, must be {self.width}")
        if not np.isfinite(rows).all():
            raise ValueError("a vector holds a number that is not finite")
        return rows

    @property
    def width(self) -> int:
        """Numbers, or bytes of a code, that a vector is kept by."""
        return self.dim if self.coding is None else self.coding.code_bytes


def spelt_codebooks(codebooks: Vectors) -> str:
    """Codebooks (M, K, d) float32 as text: their shape, and their bytes in base64."""
    shape = "x".join(map(str, codebooks.shape))
    return f"{shape}:{base64.b64encode(np.ascontiguousarray(codebooks, dtype='<f4').tobytes()).decode()}"


def read_spelt_codebooks(text: str, dim: int) -> Vectors:
    """The reverse of `spelt_codebooks`.

    Raises:
        StoreError: when they do not fit vectors of `dim` numbers.
    """
    shape, _, data = text.partition(":")
    try:
        numbers = np.frombuffer(base64.b64decode(data), dtype="<f4").astype(np.float32)
        codebooks = numbers.reshape([int(size) for size in shape.split("x")])
        return check_codebooks(codebooks, dim, "the codebooks of the store", VectorIndexError)
    except ValueError as error:
        raise StoreError(f"the store's codebooks cannot be read: {error}") from error


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
        self.change(StoreChange(images, vectors, [b""] * len(images) if thumbnails is None else thumbnails))

    def change(self, change: StoreChange) -> None:
        """Makes a change: in one step where the engine can, so that a search meets all of it or nothing; else in three
        (deletions are noted, images written, others taken out), each of which may be repeated after a stop."""
        images, vectors, thumbnails = change.images, change.vectors, change.thumbnails
        if not len(images) == len(vectors) == len(thumbnails):
            raise StoreError(f"{len(images)} images came with {len(vectors)} vectors and {len(thumbnails)} thumbnails")
        rows = list({image.image_id: row for row, image in enumerate(images)}.values())
        stored = vectors if change.as_stored or not rows else self.spec.stored(vectors)
        distinct = replace(change, images=[images[row] for row in rows], thumbnails=[thumbnails[row] for row in rows])
        if distinct.images or distinct.gone or distinct.deleted:
            self._change(distinct, stored[rows])

    def delete(self, image_ids: Sequence[str]) -> int:
        """Takes images out, and returns how many of them were there."""
        there = list(self.get(image_ids))
        self.change(StoreChange(gone=there))
        return len(there)

    def search(self, vectors: Vectors, k: int, filters: Filters | None = None) -> list[list[Match]]:
        """The best `k` images for each of (Q, dim) vectors, best first; equal scores in label-blind order.

        A filter that few images pass is answered by comparing all of them; a value that no image has finds nothing.
        """
        check_depth(k)
        asked = filters or Filters()
        return self._nearest(check_vectors(vectors, self.spec.dim, "queries"), k, asked) if len(vectors) else []

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
    def words(self) -> StoreWords:
        """How many images have each word; where the engine would read all of them for it, as it was some seconds ago."""

    @abstractmethod
    def images_of(self, item_ids: Sequence[str]) -> list[StoredImage]:
        """All images of some products, newest state, from any writer: in the order in which they were written where the
        engine knows it, else in that of their ids."""

    def mark_deleted(self, versions: Mapping[str, int]) -> None:
        """Notes that products were deleted, and at which version, so that an older change does not bring one back."""
        self.change(StoreChange(deleted=versions))

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
    def _change(self, change: StoreChange, stored: Stored) -> None:
        """`stored` are the vectors of `change.images`, whose ids differ."""

    @abstractmethod
    def _nearest(self, queries: Vectors, k: int, filters: Filters) -> list[list[Match]]: ...


@runtime_checkable
class WordedStore(Protocol):
    """A store that keeps the words of its images too."""

    def search_words(self, text: str, k: int, filters: Filters, names: Sequence[str]) -> list[Match]:
        """The best `k` images by the words of a query, with scores of `croquis.words.word_scores`.

        Args:
            names: attributes of the bundle's classifier, in the order of its output.
        """
        ...


def conditions(filters: Filters) -> list[tuple[str, tuple[str, ...]]]:
    """What an image must have: for each (column, words) one of the words; `attributes` is a column of lists. The filters by
    the product's own columns are not among them."""
    wanted = [("category", filters.category), ("domain", filters.domain)]
    wanted += [("attributes", (name,)) for name in filters.attributes]
    wanted.append(("attributes", tuple(COLOUR + name for name in filters.colour)))
    return [(column, words) for column, words in wanted if words]


def ranked(spec: StoreSpec, query: Vectors, images: Sequence[StoredImage], stored: Stored, k: int) -> list[Match]:
    """The best `k` of some images for one query (dim,), scored one by one, so that neither their order nor the engine
    matters; bits are compared symmetrically."""
    asked = spec.stored(query[None])[0]
    if spec.head == "binary":
        scores = -np.asarray(np.bitwise_count(stored ^ asked).sum(axis=1), dtype=np.float32)
    else:
        scores = similarity(asked, stored, spec.metric)
    best = best_first(scores, label_blind_keys([image.image_id for image in images]), k)
    near = zip(best.tolist(), spec.decoded(stored[best]), strict=True)
    return [Match(images[row], float(scores[row]), vector) for row, vector in near]
