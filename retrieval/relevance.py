"""Which gallery images are right for which query, under the gallery's protocol."""

from __future__ import annotations

import numpy as np

from retrieval.catalog import Rows
from retrieval.drawings import photo_of
from retrieval.protocol import Gallery, Queries
from retrieval.ranking import NO_ROW


def own_rows(queries: Queries, gallery: Gallery) -> Rows:
    """Gallery rows that are the query itself, or the photo that a sketch was traced from, which is no answer to it;
    (queries, 2), -1 for none."""
    places = {image_id: row for row, image_id in enumerate(gallery.image_ids)}
    same = [places.get(image_id, NO_ROW) for image_id in queries.image_ids]
    traced = [places.get(photo_of(image_id) or image_id, NO_ROW) for image_id in queries.image_ids]
    pairs = [(a, NO_ROW if a == b else b) for a, b in zip(same, traced, strict=True)]
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def label_codes(queries: Queries, gallery: Gallery) -> tuple[Rows, Rows]:
    """Integers that are equal where an answer is right under the gallery's protocol: (queries,), (gallery,)."""
    both = np.concatenate([queries.labels(gallery.protocol), gallery.labels]).astype(str)
    codes = np.unique(both, return_inverse=True)[1].astype(np.int64)
    return codes[: len(queries)], codes[len(queries) :]


def count_relevant(query_codes: Rows, gallery_codes: Rows, own: Rows) -> Rows:
    """How many gallery images are right for each query, its own rows not counted; (queries,)."""
    size = int(max(query_codes.max(initial=-1), gallery_codes.max(initial=-1))) + 1
    totals = np.bincount(gallery_codes, minlength=size)[query_codes]
    present = own != NO_ROW
    own_hits = present & (gallery_codes[np.where(present, own, 0)] == query_codes[:, None])
    return np.asarray(totals - own_hits.sum(axis=1), dtype=np.int64)
