"""Semi-supervised training: whose labels count, and which images may be seen without."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from croquis.catalog.table import Catalog
from croquis.params import Params
from croquis.params.training_blocks import Labels
from lightning_modules.bases.retrieval_module import MONITOR
from lightning_modules.data.retrieval_data import RetrievalData, labelled_rows
from lightning_modules.methods import gpq, triplet_gan
from lightning_modules.training.fit import FitPlan, fit
from tests.support.training.trainings import build_of

SIZE, DOMAINS = 32, ["shop", "consumer"]


def load(catalog: Catalog, share: float, unlabelled: str, seed: int = 0) -> RetrievalData:
    labels = Labels(labelled_share=share, unlabelled=unlabelled)
    return RetrievalData.from_catalog(catalog, DOMAINS, SIZE, labels, seed)


@pytest.mark.parametrize(("share", "items"), [(1.0, 8), (0.5, 4), (0.26, 2), (0.01, 2)])
def test_labels_are_those_of_whole_items_and_of_two_at_least(catalog: Catalog, share: float, items: int):
    train = catalog.select(split="train", domain=DOMAINS)
    of_row = catalog.column("item_id")
    rows = labelled_rows(catalog, train, share, 0)
    chosen = set(of_row[rows])
    assert len(chosen) == items
    assert sorted(rows) == [row for row in train if of_row[row] in chosen]


def test_the_seed_chooses_and_a_larger_share_keeps_what_a_smaller_had(catalog: Catalog):
    train = catalog.select(split="train", domain=DOMAINS)
    by_share = [set(labelled_rows(catalog, train, share, 0)) for share in (0.25, 0.5, 0.75, 1.0)]
    assert all(small < large for small, large in pairwise(by_share))
    assert any(set(labelled_rows(catalog, train, 0.5, seed)) != by_share[1] for seed in range(1, 4))


def pictures(images: torch.Tensor) -> list[bytes]:
    return sorted(picture.tobytes() for picture in np.asarray(images))


def test_images_that_lost_their_labels_are_seen_without(catalog: Catalog):
    whole, half = load(catalog, 1.0, "train"), load(catalog, 0.5, "train")
    assert len(half.train) == len(whole.train) // 2
    assert whole.unlabelled is whole.train.images
    assert pictures(np.concatenate([half.train.images[:], half.unlabelled[:]])) == pictures(whole.train.images[:])


def test_a_gallery_without_labels_is_that_of_test_and_no_query(catalog: Catalog):
    data = load(catalog, 1.0, "gallery")
    gallery = catalog.select(split="test", domain=DOMAINS, role="gallery")
    shown = RetrievalData.from_catalog(catalog, DOMAINS, SIZE)
    assert len(data.unlabelled) == len(gallery) > 0
    assert not {*pictures(data.unlabelled[:])} & {*pictures(shown.train.images[:])}
    both = load(catalog, 0.5, "gallery")
    assert len(both.unlabelled) == len(gallery) + len(both.train)


def test_an_item_without_labels_is_in_no_batch(catalog: Catalog, params: Params):
    data = load(catalog, 0.5, "train")
    data.use_sampler(gpq.build(params, data).sampler(0))
    seen = {row for batch in data.train_dataloader() for row in batch["rows"].tolist()}
    assert seen == set(range(len(data.train)))
    assert set(data.train.item_ids) < {f"item-{number}" for number in range(8)}


@pytest.mark.parametrize("method", [triplet_gan, gpq])
@pytest.mark.slow
def test_what_is_seen_without_labels_changes_what_is_learnt(catalog: Catalog, params: Params, method, tmp_path: Path):
    """The same labels with other pictures beside them: the terms that need no label give other nets."""
    name = method.__name__.split(".")[-1]
    curves = []
    for unlabelled in ("train", "gallery"):
        module, data = build_of(method, params, load(catalog, 0.5, unlabelled))()
        plan = FitPlan(name, 2, 10, MONITOR, "max")
        curves.append(fit(module, data, plan, params.base, tmp_path / unlabelled)["train/loss"])
    assert curves[0] != curves[1]
