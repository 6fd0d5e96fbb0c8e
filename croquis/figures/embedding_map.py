"""Where the encoder of a bundle puts photos: gallery and queries of a split on one page, by t-SNE or PCA."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from croquis.arrays import Uint8Image
from croquis.evaluation.protocol import JudgedGallery
from croquis.evaluation.ranked_answers import batches
from croquis.evaluation.results import RunResult
from croquis.figures.charts import figure_bytes
from croquis.figures.retrieval_sheet import pick_queries
from croquis.figures.tiles import tile

Points = npt.NDArray[np.float64]
THUMBNAIL = 36
MARKERS = {"shop": "o", "consumer": "x", "sketch": "^", "query": "s"}
SIGNS = {"shop": "●", "consumer": "✕", "sketch": "▲", "query": "■"}


def project(embeddings: npt.NDArray[np.float32], method: Literal["tsne", "pca"], seed: int) -> Points:
    """(n, D) to (n, 2), deterministic by seed. Fewer than five points always use PCA, for t-SNE has no meaning there.

    t-SNE (van der Maaten and Hinton 2008) starts from PCA, with perplexity 30 or a third of the points. The exact method
    is used, for n is a few hundred; one thread, for the last bits of sums depend on how threads share the work. They depend
    on the processor, too: t-SNE makes another layout of them, PCA differs by as little as they do, and its pictures not.
    """
    if embeddings.ndim != 2 or len(embeddings) == 0:
        raise ValueError(f"a projection needs embeddings of shape (n, D) with n > 0, got {embeddings.shape}")
    with threadpool_limits(1):
        return _project(embeddings.astype(np.float64), method, seed)


def _project(values: Points, method: Literal["tsne", "pca"], seed: int) -> Points:
    count = len(values)
    flat = _principal(values)
    spread = float(flat[:, 0].std())
    if method == "pca" or count < 5 or spread == 0.0:
        return flat
    from sklearn.manifold import TSNE  # here: with SciPy it takes longer to import than all pictures to draw

    layout = TSNE(
        2, perplexity=min(30.0, count / 3), init=flat / spread * 1e-4, method="exact", random_state=seed, max_iter=500
    )
    return np.asarray(layout.fit_transform(values), dtype=np.float64)


def _principal(values: Points) -> Points:
    """The first two principal components, (n, 2); signs such that the largest weight of each is positive."""
    left, sizes, axes = np.linalg.svd(values - values.mean(axis=0), full_matrices=False)
    signs = np.sign(np.take_along_axis(axes, np.abs(axes).argmax(axis=1)[:, None], axis=1)[:, 0])
    found = (left * sizes * signs)[:, :2]
    return np.pad(found, ((0, 0), (0, 2 - found.shape[1])))


def projection_figure(
    points: Points,
    categories: Sequence[str],
    domains: Sequence[str],
    images: Sequence[Uint8Image],
    title: str,
    thumbnails: int = 90,
) -> bytes:
    """PNG: a dot per photo, colour = category, marker = domain, and thumbnails where they do not hide each other.

    Args:
        points: (n, 2).
        categories: one per point.
        domains: one per point: `shop`, `consumer`, `sketch` or `query`.
        images: uint8 (H, W, 3), one per point.
        thumbnails: at most so many pictures.
    """
    figure = Figure(figsize=(11, 8), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    names = sorted(set(categories))
    palette = matplotlib.colormaps["tab20"]
    colours = {name: palette(number % 20)[:3] for number, name in enumerate(names)}
    for name in names:
        for domain in sorted(set(domains)):
            chosen = [i for i in range(len(points)) if (categories[i], domains[i]) == (name, domain)]
            # On top of the pictures, so that no thumbnail hides which category a photo is of.
            axes.scatter(
                points[chosen, 0], points[chosen, 1], s=22, marker=MARKERS[domain], color=colours[name], zorder=5
            )
        axes.scatter([], [], marker="s", color=colours[name], label=name)
    for i in _spaced(points, thumbnails):
        red, green, blue = (round(255 * part) for part in colours[categories[i]])
        picture = np.asarray(tile(images[i], THUMBNAIL, (red, green, blue), frame_width=2))
        axes.add_artist(AnnotationBbox(OffsetImage(picture, zoom=1.0), points[i], frameon=False, pad=0, zorder=2))
    shapes = ", ".join(f"{domain} {SIGNS[domain]}" for domain in sorted(set(domains)))
    axes.set(title=f"{title}   ({shapes})", xticks=[], yticks=[])
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize="small")
    return figure_bytes(figure)


def _spaced(points: Points, most: int) -> list[int]:
    """Points that are picked greedily so that no two fall into one cell of a grid laid over the page."""
    low, high = points.min(axis=0), points.max(axis=0)
    cells = np.floor((points - low) / np.maximum(high - low, 1e-12) * np.array([22.0, 18.0])).astype(int)
    picked: dict[tuple[int, int], int] = {}
    for number, (x, y) in enumerate(cells.tolist()):
        picked.setdefault((x, y), number)
    return list(picked.values())[:most]


GALLERY_PHOTOS = 260
QUERY_PHOTOS = 130

Encode = Callable[[Sequence[Uint8Image]], npt.NDArray[np.float32]]


def embedding_map(
    run: RunResult, gallery: JudgedGallery, encode: Encode, title: str, kind: Literal["tsne", "pca"], seed: int
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
    # Queries of the gallery's own domain still differ by their marker.
    domains = ["shop"] * len(photos) + ["query" if domain == "shop" else domain] * len(asked)
    return projection_figure(project(vectors, kind, seed), categories, domains, images, title)
