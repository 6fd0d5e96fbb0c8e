"""Photos and drawings in one training: what joins, what a batch holds, who is whose negative, what picks the epoch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from croquis.catalog.table import Catalog
from croquis.params import Params
from croquis.params.training_blocks import Augment, DrawingViews
from lightning_modules.bases.retrieval_module import MONITOR
from lightning_modules.data.line_views import edge_maps
from lightning_modules.data.retrieval_data import Batch, DataError, RetrievalData, RowDataset, to_float
from lightning_modules.losses.triplet import anchors_and_positives
from lightning_modules.methods import joint
from lightning_modules.methods.siamese import Siamese
from lightning_modules.training.fit import FitPlan, fit
from lightning_modules.training.numerics import prepare_torch
from tests.support.training.trainings import build_of, for_overfitting

SIZE = 32
STILL = DrawingViews(crop_scale=1.0, rotate=0.0, flip=0.0, thicken=0.0, thin=0.0, erase=0.0)
DOMAINS = ("shop", "consumer", "sketch")
Change = Callable[..., Params]


@pytest.fixture
def both(data: RetrievalData, sketches: Catalog) -> RetrievalData:
    return joint.add_drawings(data, sketches, SIZE)


def changed(params: Params, **changes: object) -> Params:
    return params.model_copy(update={"joint": params.joint.model_copy(update=changes)})


def test_drawings_join_behind_the_photos_with_their_labels(data: RetrievalData, both: RetrievalData) -> None:
    count = len(data.train)
    assert torch.equal(both.train.images[:count], data.train.images[:])
    assert (both.train.domains[count:] == "sketch").all()
    assert len(both.train) == count + 8 * 2 * 2  # eight items, two shop photos, two drawings of each
    for images in (both.train, both.val):
        for labels in (images.items, images.categories):
            assert len({(item, label) for item, label in zip(images.item_ids, labels, strict=True)}) == len(
                set(images.item_ids)
            )
    assert both.val_is_query[len(data.val) :].all()
    assert both.val.image_ids[len(data.val) :].tolist() == [f"item-{n}/flat" for n in range(8, 12)]


def test_no_test_item_is_learned_from_nor_validated_on(
    both: RetrievalData, sketches: Catalog, catalog: Catalog
) -> None:
    held_out = set(sketches.column("item_id")[sketches.select(split="test")])
    assert held_out
    assert held_out == set(catalog.column("item_id")[catalog.select(split="test")])
    assert not held_out & (set(both.train.item_ids) | set(both.val.item_ids))


def test_of_all_splits_the_drawings_that_ask_are_learned_from_too(catalog: Catalog, sketches: Catalog) -> None:
    data = RetrievalData.from_catalog(catalog, ["shop", "consumer"], SIZE, splits=("train", "val", "test"))
    both = joint.add_drawings(data, sketches, SIZE)
    drawn = both.train.image_ids[both.train.domains == "sketch"].tolist()
    assert drawn[-8:] == [f"item-{number}/flat" for number in range(8, 16)]
    assert len(drawn) == 8 * 2 * 2 + 8
    assert both.splits == data.splits


def test_drawings_that_are_among_the_photos_do_not_join_twice(both: RetrievalData, sketches: Catalog) -> None:
    again = joint.add_drawings(both, sketches, SIZE)
    assert again.train.image_ids.tolist() == both.train.image_ids.tolist()
    assert again.val.image_ids.tolist() == both.val.image_ids.tolist()


def test_without_drawings_it_says_what_to_run(data: RetrievalData, catalog: Catalog) -> None:
    with pytest.raises(DataError, match="has no train drawings of role train; run the sketch stage"):
        joint.add_drawings(data, catalog, SIZE)


@pytest.mark.parametrize("images_per_item", [3, 4, 8, 12])
def test_every_drawing_and_every_photo_is_seen_in_each_epoch(
    params: Params, both: RetrievalData, images_per_item: int
) -> None:
    sampler = joint.build(changed(params, images_per_item=images_per_item), both).sampler(7)
    for epoch in range(3):
        sampler.set_epoch(epoch)
        assert {row for batch in sampler for row in batch} == set(range(len(both.train)))


def test_a_group_as_large_as_an_item_holds_all_of_it(params: Params, both: RetrievalData) -> None:
    sampler = joint.build(changed(params, images_per_item=8), both).sampler(7)
    for batch in sampler:
        held = [(both.train.item_ids[row], both.train.domains[row]) for row in batch]
        for item in {item for item, _ in held}:
            assert {domain for name, domain in held if name == item} == {"shop", "consumer", "sketch"}


@pytest.mark.parametrize("negatives_from", ["batch", "positive_domain"])
def test_negatives_are_of_another_item_and_where_asked_of_the_positives_domain(
    params: Params, both: RetrievalData, negatives_from: str
) -> None:
    module = joint.build(changed(params, negatives_from=negatives_from), both)
    items, shop = torch.tensor([0, 0, 0, 1, 1, 2]), torch.tensor([True, False, False, True, False, False])
    anchors, others = torch.tensor([0, 1, 2, 3]), torch.tensor([1, 0, 0, 4])
    found = module.allowed_negatives(anchors, others, {"items": items, "shop": shop})
    for row, (anchor, other) in enumerate(zip(anchors.tolist(), others.tolist(), strict=True)):
        for image in range(6):
            allowed = bool(items[image] != items[anchor])
            if negatives_from == "positive_domain":
                allowed = allowed and bool(shop[image] == shop[other])
            assert bool(found[row, image]) == allowed


def test_photos_and_drawings_get_views_of_their_own(params: Params, both: RetrievalData) -> None:
    dark = Augment(
        crop_scale=1.0, rotate=0.0, flip=0.0, brightness=0.5, contrast=0.0, saturation=0.0, hue=0.0, erase=0.0
    )
    shared = params.train_embedder.model_copy(update={"augment": dark})
    still = changed(params, drawing_views=STILL, grey=1.0).model_copy(update={"train_embedder": shared})
    module = joint.build(still, both)
    rows = torch.tensor([0, 1, len(both.train) - 1])
    batch = {"images": both.train.images[rows], "rows": rows}
    torch.manual_seed(0)
    views = module.views(batch)
    assert torch.equal(views[2], to_float(batch["images"])[2])  # a drawing keeps its brightness
    photos = to_float(batch["images"])[:2]
    assert (views[:2] != photos).flatten(1).any(1).all()
    assert torch.allclose(views[:2, :1].expand(-1, 3, -1, -1), views[:2], atol=1e-6)  # grey: 1
    coloured = joint.build(changed(still, grey=0.0), both).views(batch)[:2]
    assert not torch.allclose(coloured[:, :1].expand(-1, 3, -1, -1), coloured, atol=1e-3)


def batch_of(both: RetrievalData, rows: torch.Tensor) -> Batch:
    return RowDataset(both.train).__getitems__(rows.tolist())


def test_edge_maps_stand_for_photos_in_a_domain_of_their_own(params: Params, both: RetrievalData) -> None:
    module = joint.build(changed(params, bridge=1.0, drawing_views=STILL), both)
    first, last = torch.arange(4), torch.arange(len(both.train) - 2, len(both.train))
    batch = batch_of(both, torch.cat([first, last]))
    found = module.with_edge_maps(batch)
    assert torch.equal(found["images"][:4], edge_maps(batch["images"][:4]))
    assert torch.equal(found["images"][4:], batch["images"][4:])  # drawings stay as they are
    assert found["shop"].tolist() == [joint.EDGES] * 4 + [0, 0]
    assert found["lines"].all()
    assert torch.equal(module.views(found), to_float(found["images"]))  # no colours are changed in lines


def test_positives_of_an_edge_map_are_photos_and_drawings() -> None:
    """An item with a shop photo, a consumer photo or drawing, and the edge map of a shop photo."""
    domains = torch.tensor([1, 0, joint.EDGES])
    anchors, others = anchors_and_positives(torch.zeros(3, 3), torch.zeros(3), domains, "crossing", "semi_hard")
    assert {(a, b) for a, b in zip(anchors.tolist(), others.tolist(), strict=True)} == {
        (0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)
    }  # fmt: skip


def test_a_training_step_learns_from_the_edge_maps(
    params: Params, both: RetrievalData, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = joint.build(changed(params, bridge=0.5), both)
    monkeypatch.setattr(module, "log_figures", lambda *_: None)
    seen: list[Batch] = []
    monkeypatch.setattr(module, "loss", lambda images, batch: (seen.append(batch) or images.mean(), {}))
    torch.manual_seed(0)
    module.training_step(batch_of(both, torch.arange(len(both.train))), 0)
    shares = [float((seen[0]["shop"][both.train.domains == name] == joint.EDGES).float().mean()) for name in DOMAINS]
    assert all(0.2 < share < 0.8 for share in shares[:2])
    assert shares[2] == 0


def test_an_item_is_permuted_with_all_its_photos_and_drawings(params: Params, both: RetrievalData) -> None:
    still = Augment(**dict.fromkeys(Augment.model_fields, 0.0) | {"crop_scale": 1.0})
    shared = params.train_embedder.model_copy(update={"augment": still})
    base = changed(params, drawing_views=STILL, jigsaw=0.5, jigsaw_cells=2)
    module = joint.build(base.model_copy(update={"train_embedder": shared}), both)
    batch = batch_of(both, torch.arange(len(both.train)))
    torch.manual_seed(0)
    moved = (module.views(batch) != to_float(batch["images"])).flatten(1).any(1)
    by_item = {item: set(moved[batch["items"] == item].tolist()) for item in batch["items"].tolist()}
    assert all(len(each) == 1 for each in by_item.values())
    assert {each for found in by_item.values() for each in found} == {True, False}


def test_the_loss_holds_the_term_of_categories_by_its_weight(params: Params, both: RetrievalData) -> None:
    rows = torch.arange(len(both.train))
    batch = batch_of(both, rows)
    losses = []
    for weight in (0.0, 0.5, 1.0):
        torch.manual_seed(0)
        module = joint.build(changed(params, category_weight=weight), both).eval()
        loss, figures = module.loss(to_float(batch["images"]), batch)
        assert ("category" in figures) == (weight > 0)
        losses.append(loss.item())
    assert losses[1] - losses[0] == pytest.approx((losses[2] - losses[0]) / 2, rel=1e-4)
    assert losses[2] > losses[0]


def test_categories_that_say_nothing_are_refused(params: Params, both: RetrievalData) -> None:
    weighted, train = changed(params, category_weight=0.5), both.train
    for categories, told in ((np.zeros_like(train.items), "is of one category"), (train.items, "no category of two")):
        both.train = replace(train, categories=categories)
        with pytest.raises(
            DataError, match=f"joint.category_weight is 0.5, but the train split .*{told}.*: set it to 0"
        ):
            joint.build(weighted, both)


def test_the_epoch_is_picked_by_photos_and_drawings_alike(params: Params, both: RetrievalData) -> None:
    module = joint.build(params, both)
    scores = {"consumer_to_shop/map_at_r": 0.5, "sketch_to_shop/map_at_r": 0.1, "shop_to_shop/map_at_r": 0.9}
    assert module.decisive(scores) == pytest.approx(0.3)


def test_without_drawings_in_it_the_loss_is_that_of_siamese(params: Params, both: RetrievalData) -> None:
    own = params.joint.model_copy(update={"negatives_from": "batch"})
    module = joint.build(params.model_copy(update={"joint": own}), both)
    alike = {"margin": own.margin, "negatives": own.negatives}
    other = Siamese(params.train_embedder, params.siamese.model_copy(update=alike), both)
    other.net = module.net.eval()
    rows = torch.arange(16)
    batch = {"rows": rows, "items": torch.from_numpy(both.train.items)[rows]}
    batch["shop"] = torch.from_numpy((both.train.domains == "shop").astype(np.bool_))[rows]
    images = to_float(both.train.images[rows])
    assert torch.equal(module.loss(images, batch)[0], other.loss(images, batch)[0])


@pytest.mark.slow
def test_drawings_find_the_shape_they_show(params: Params, both: RetrievalData, tmp_path: Path) -> None:
    """Outlines of circles and squares: after training, what a drawing of val finds first has its shape."""
    prepare_torch(0, 1)
    both.val.items[:] = both.val.categories
    module, _ = build_of(joint, changed(for_overfitting(params, "joint", 20), drawing_views=STILL), both)()
    history = fit(module, both, FitPlan("joint", 20, 20, MONITOR, "max"), params.base, tmp_path)
    found = [value for _, value in history["val/sketch_to_shop/hit_at_1"]]
    assert max(found) == 1.0
