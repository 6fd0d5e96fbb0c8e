"""What a retriever finds on val, drawn while it trains."""

from __future__ import annotations

import numpy as np
from PIL import Image

from figures.contact_sheet import QueryRow, Result, contact_sheet
from lightning_modules.data import ImageSet
from lightning_modules.retrieval_module import RetrievalModule
from lightning_modules.validation import rank_gallery

ROWS, RESULTS = 8, 8


def draw_results(module: RetrievalModule, title: str) -> Image.Image:
    """A few val queries, evenly spread, with their nearest gallery photos under the newest validation."""
    data = module.data
    queries, gallery = np.flatnonzero(data.val_is_query), np.flatnonzero(~data.val_is_query)
    chosen = queries[np.linspace(0, len(queries) - 1, min(ROWS, len(queries))).astype(int)]
    embeddings = module.val_embeddings
    order = rank_gallery(embeddings[chosen], embeddings[gallery], min(RESULTS, len(gallery)))
    rows = [_row(data.val, int(query), gallery[ranked].tolist()) for query, ranked in zip(chosen, order, strict=True)]
    return contact_sheet(rows, title)


def _row(images: ImageSet, query: int, ranked: list[int]) -> QueryRow:
    results = [Result(_picture(images, row), images.items[row] == images.items[query]) for row in ranked]
    return QueryRow(_picture(images, query), str(images.item_ids[query]), results)


def _picture(images: ImageSet, row: int) -> np.ndarray:
    return images.images[row].permute(1, 2, 0).numpy()
