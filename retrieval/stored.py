"""What a store keeps: an image, what is known of it, and how its vector is stored and compared."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from retrieval.coding import SignCoding
from retrieval.exact_search import normalise, similarity
from retrieval.heads import HEADS
from retrieval.vector_index import Scores, Vectors, check_vectors

KINDS = ("flat", "hnsw")
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
        probabilities: a byte for each of the classifier's attributes, as in `retrieval.items.PROBABILITIES`.
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
        metric: as in `retrieval.heads.HEADS`.
        dim: numbers per vector; bits of a binary head.
        kind: `flat` (every vector is compared) or `hnsw` (a graph; dense vectors only).
    """

    bundle: str
    head: str
    metric: str
    dim: int
    kind: str = "flat"

    def __post_init__(self) -> None:
        if self.head not in ("dense", "binary"):
            raise StoreError(
                f"head = {self.head!r}: a store keeps dense vectors and binary codes; product codes need the bundle's own "
                "index (python -m serving --bundle)"
            )
        if self.metric not in HEADS[self.head]:
            raise StoreError(f"metric = {self.metric!r}, must be one of {HEADS[self.head]} for the head {self.head}")
        if self.kind not in KINDS or (self.kind == "hnsw" and self.head == "binary"):
            raise StoreError(f"kind = {self.kind!r} of the head {self.head}: flat, or hnsw for dense vectors")

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
