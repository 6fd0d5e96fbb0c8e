"""Where the encoder of a bundle puts photos: gallery and queries of a split on one page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from figures.projection import project, projection_figure
from figures.retrieval_sheet import pick_queries
from figures.tiles import Uint8Image
from retrieval.answering import batches
from retrieval.protocol import Gallery
from retrieval.results import RunResult

GALLERY_PHOTOS = 260
QUERY_PHOTOS = 130

Encode = Callable[[Sequence[Uint8Image]], npt.NDArray[np.float32]]


def embedding_map(
    run: RunResult, gallery: Gallery, encode: Encode, title: str, kind: Literal["tsne", "pca"], seed: int
) -> bytes:
    """PNG of up to 260 gallery photos and 130 queries of `run`, the same ones for every method.

    Args:
        run: whose queries are shown; they must be photos that `encode` takes.
        encode: pictures (H, W, 3) uint8 to vectors (n, D).
        seed: of the layout.
    """
    # The gallery stands in the order of a hash of its ids, so that its head is a fair sample.
    photos = np.sort(np.argsort(gallery.keys, kind="stable")[:GALLERY_PHOTOS])
    photos = photos[np.argsort(gallery.rows[photos], kind="stable")]
    asked = run.queries.take(np.sort(pick_queries(run, QUERY_PHOTOS)))
    images = [*gallery.images(photos), *asked.images()]
    vectors = np.concatenate([encode(part) for part in batches(images, 64)])
    categories = [*gallery.categories[photos], *asked.categories]
    domain = run.pair.split("->")[0]
    # Queries of the gallery's own domain are told apart by their marker all the same.
    domains = ["shop"] * len(photos) + ["query" if domain == "shop" else domain] * len(asked)
    return projection_figure(project(vectors, kind, seed), categories, domains, images, title)
