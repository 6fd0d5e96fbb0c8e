"""A gallery to keep in stores, and what must be found in it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from croquis.catalog.filters import Filters
from croquis.store.vector_store import Match, StoredImage, StoreSpec
from tests.support.engine_servers import Server

ENGINES = {"faiss": (), "milvus-lite": (pytest.mark.slow,), "milvus-server": (pytest.mark.slow,)}
DIM = 16
IMAGES = 500
SPEC = StoreSpec("ab" * 32, "dense", "cosine", DIM)
AWKWARD = "d'\"\\é] or 1=1 {x}"  # what an expression must not trip over


@dataclass(frozen=True)
class Engine:
    """One of the three; `server` is the process of the last."""

    name: str
    uri: str
    server: Server | None = None


def vectors(count: int = IMAGES, seed: int = 0, dim: int = DIM) -> np.ndarray:
    """(count, dim) in clusters, as embeddings lie."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(20, dim))
    return (centres[rng.integers(20, size=count)] + 0.4 * rng.normal(size=(count, dim))).astype(np.float32)


def image(number: int, version: int = 1, name: str = "image") -> StoredImage:
    """Two images per product; every 50th image has the attribute `rare`."""
    category = ("dress", "coat", AWKWARD)[number % 3]
    rare = ("rare",) if number % 50 == 7 else ()
    labels = (f"colour:{('red', 'blue')[number % 2]}", AWKWARD, *rare)
    return StoredImage(f"{name} {AWKWARD}{number}", f"item {AWKWARD}{number // 2}", version, category, "shop", labels)


def passes(kept: StoredImage, filters: Filters) -> bool:
    """The oracle of filters."""
    return (
        (not filters.category or kept.category in filters.category)
        and (not filters.domain or kept.domain in filters.domain)
        and set(filters.attributes) <= set(kept.attributes)
        and (not filters.colour or bool({f"colour:{name}" for name in filters.colour} & set(kept.attributes)))
    )


def nearest(images: list[StoredImage], stored: np.ndarray, query: np.ndarray, k: int) -> list[tuple[str, float]]:
    """The oracle of searches: cosines in float64, best first."""
    unit = stored / np.linalg.norm(stored, axis=1, keepdims=True)
    cosines = unit @ (query / np.linalg.norm(query))
    return [(images[row].image_id, float(cosines[row])) for row in np.argsort(-cosines, kind="stable")[:k]]


def found(matches: list[Match]) -> list[str]:
    return [match.image.image_id for match in matches]
