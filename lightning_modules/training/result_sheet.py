"""What a retriever finds on val, drawn while it trains."""

from __future__ import annotations

import numpy as np
from PIL import Image
from torch import Tensor

from croquis.figures.contact_sheet import QueryRow, SheetResult, contact_sheet
from lightning_modules.bases.retrieval_module import RetrievalModule
from lightning_modules.data.retrieval_data import ImageSet
from lightning_modules.training.val_scores import rank_gallery

ROWS, RESULTS = 8, 8


def draw_results(module: RetrievalModule, title: str) -> Image.Image:
    """A few val queries, evenly spread, with their nearest gallery photos under the newest validation; beside a
    query stands what the method makes of it (`RetrievalModule.generated`), if it does.
    """
    data = module.data
    queries, gallery = np.flatnonzero(data.val_is_query), np.flatnonzero(~data.val_is_query)
    chosen = queries[np.linspace(0, len(queries) - 1, min(ROWS, len(queries))).astype(int)]
    order = rank_gallery(module.val_queries[chosen], module.val_embeddings[gallery], min(RESULTS, len(gallery)))
    made = module.generated(data.val.images[chosen])
    pictures = [None] * len(chosen) if made is None else [_picture(image) for image in made]
    rows = [
        _row(data.val, int(query), gallery[ranked].tolist(), picture)
        for query, ranked, picture in zip(chosen, order, pictures, strict=True)
    ]
    return contact_sheet(rows, title)


def _row(images: ImageSet, query: int, ranked: list[int], generated: np.ndarray | None) -> QueryRow:
    results = [SheetResult(_picture(images.images[row]), images.items[row] == images.items[query]) for row in ranked]
    return QueryRow(_picture(images.images[query]), str(images.item_ids[query]), results, generated)


def _picture(image: Tensor) -> np.ndarray:
    return image.permute(1, 2, 0).numpy()
