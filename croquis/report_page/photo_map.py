"""Where the encoder of each method places photos of the gallery and queries, the same photos for all methods."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal

import numpy as np

from croquis.arrays import Rows
from croquis.evaluation.protocol import JudgedGallery, Queries
from croquis.evaluation.ranked_answers import batches
from croquis.figures.embedding_map import GALLERY_PHOTOS, QUERY_PHOTOS, project
from croquis.report_page.chart_rows import Row
from croquis.report_page.chart_specs import OTHERS, PALETTE
from croquis.report_page.method_results import MethodResult
from croquis.report_page.mistakes import sampled
from croquis.report_page.thumbnails import Thumbnails

AT_A_TIME = 64


def map_rows(
    results: Sequence[MethodResult],
    gallery: JudgedGallery,
    queries: Queries,
    pictures: Thumbnails,
    kind: Literal["tsne", "pca"],
    seed: int,
) -> tuple[list[Row], list[str]]:
    """A row for each method and photo with its place in [0, 1] x [0, 1]; and the most frequent categories, at most ten.

    Args:
        queries: photos that the encoders take.
        kind, seed: of the projection, see `croquis.figures.embedding_map.project`.
    """
    photos = np.sort(np.argsort(gallery.keys, kind="stable")[:GALLERY_PHOTOS])
    wanted = sampled(queries.image_ids.tolist(), QUERY_PHOTOS)
    asked = np.flatnonzero(np.isin(queries.image_ids.astype(str), wanted))
    facts = [*_facts(gallery, photos, "gallery", pictures), *_facts(queries, asked, "query", pictures)]
    common = [name for name, _ in Counter(fact["category"] for fact in facts).most_common(len(PALETTE))]
    images = [*gallery.images(photos), *queries.images(asked)]
    rows = []
    for result in results:
        encode = result.retriever.encode_photos
        points = project(np.concatenate([encode(part) for part in batches(images, AT_A_TIME)]), kind, seed)
        low, high = points.min(axis=0), points.max(axis=0)
        places = np.round((points - low) / np.maximum(high - low, 1e-12), 4)
        for fact, (x, y) in zip(facts, places.tolist(), strict=True):
            group = fact["category"] if fact["category"] in common else OTHERS
            rows.append(fact | {"method": result.name, "group": group, "x": x, "y": y})
    return rows, sorted(common)


def _facts(source: JudgedGallery | Queries, chosen: Rows, domain: str, pictures: Thumbnails) -> list[Row]:
    return [
        {
            "picture": pictures.number(source, place),
            "item": str(source.item_ids[place]),
            "category": str(source.categories[place]),
            "domain": domain,
        }
        for place in chosen.tolist()
    ]
