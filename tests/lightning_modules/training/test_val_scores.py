"""Which pairs of domains a validation during training scores, and which of them picks the best epoch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lightning_modules.data.retrieval_data import ImageSet, RetrievalData
from lightning_modules.training.val_scores import decisive_score, primary_pair, retrieval_scores

ITEMS = np.array([0, 1, 2])


def data_with(domains: list[str]) -> RetrievalData:
    """Three items: a shop photo of each in the gallery, and a query of each from every given domain."""
    of_row = ["shop"] * 3 + [domain for domain in domains for _ in ITEMS]
    items = np.tile(ITEMS, 1 + len(domains))
    names = np.array([f"{domain}{row}" for row, domain in enumerate(of_row)], dtype=object)
    images = ImageSet(
        images=torch.zeros(len(of_row), 3, 8, 8, dtype=torch.uint8),
        items=items,
        categories=items,
        domains=np.array(of_row, dtype=object),
        image_ids=names,
        item_ids=names,
        attributes=np.array([[] for _ in of_row], dtype=object),
    )
    return RetrievalData(images, images, np.arange(len(of_row)) >= 3, categories=3)


@pytest.mark.parametrize(
    ("domains", "pair"),
    [
        (["consumer", "shop", "sketch"], "consumer_to_shop"),
        (["sketch", "shop"], "shop_to_shop"),
        (["sketch"], "sketch_to_shop"),
    ],
)
def test_the_first_domain_that_asks_decides(domains: list[str], pair: str) -> None:
    data = data_with(domains)
    assert primary_pair(data) == pair
    vectors = np.eye(3, dtype=np.float32)[data.val.items]
    scores = retrieval_scores(vectors, vectors, data)
    assert decisive_score(data) in scores
    assert {name.split("/")[0] for name in scores} == {f"{domain}_to_shop" for domain in domains}


def test_sketches_are_scored_on_their_own() -> None:
    """Photos find their item; of three drawings two find another's photo first."""
    data = data_with(["shop", "sketch"])
    gallery = photos = np.eye(3, dtype=np.float32)
    drawings = np.array([[1, 0, 0], [0.9, 0.4, 0], [0.9, 0, 0.4]], dtype=np.float32)
    vectors = np.concatenate([gallery, photos, drawings])
    scores = retrieval_scores(vectors, vectors, data)
    assert scores["shop_to_shop/hit_at_1"] == 1.0
    assert scores["sketch_to_shop/hit_at_1"] == pytest.approx(1 / 3)
    assert scores["sketch_to_shop/hit_at_5"] == 1.0
