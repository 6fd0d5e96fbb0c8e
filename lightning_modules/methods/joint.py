"""One embedding for photos and drawings: siamese's triplet training with the drawings of data/sketches as a third domain.

Ours, after what fine-grained sketch retrieval does since Yu et al., "Sketch Me That Shoe" (CVPR 2016): a drawing as anchor,
the photo of its item as positive, the photo of another as negative, and one net for both. Where the GAN first paints a
photo, whose colours it must guess, here a drawing and a photo are asked only for what they have in common.

Train drawings are those of the simulated hand; an item's photos and drawings come in one group of the P x K batch. Positives
cross between shop photos and everything else. Negatives come from the whole batch, or with `negatives_from: positive_domain`
from the positive's domain only, since a drawing must distinguish photos, not other drawings, to which it is near for
being one; val decides.

Four ways to bring drawings and photos nearer, all of them off by default, and none needs words:
  grey: some photos lose their colours
  bridge: some train photos are seen as their edge maps, a domain of its own between photos and drawings; positives cross
      from it to both. Radenovic et al., "Deep Shape Matching" (ECCV 2018), learn from edge maps of photos alone
  jigsaw: the cells of some items' photos and drawings are permuted alike, see `lightning_modules.data.patch_views`
  category_weight: a second triplet term, of pairs of one category and two items, beside the term of items; Sangkloy et al.,
      "The Sketchy Database" (SIGGRAPH 2016), train for instances and categories together, by a classifier for the latter

The best epoch is that of the best mean of two mAP@R on val, of photos and of drawings, which there are the catalogue's own.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from croquis.catalog.prepared_photos import WHOLE, Preparation
from croquis.catalog.table import Catalog
from croquis.params import Params
from croquis.params.training_blocks import DrawingViews, TrainEmbedder, TripletBlock
from lightning_modules.bases.triplet_training import TripletTraining
from lightning_modules.data.augment import luma, uniform
from lightning_modules.data.line_views import drawing_views, edge_maps
from lightning_modules.data.patch_views import shuffled_cells
from lightning_modules.data.photo_rows import joined
from lightning_modules.data.retrieval_data import (
    Batch,
    DataError,
    ImageSet,
    RetrievalData,
    load_images,
    to_float,
)
from lightning_modules.data.strong_views import by_chance
from lightning_modules.losses import triplet
from lightning_modules.methods import Method
from lightning_modules.training.val_scores import average_name

EDGES = 2  # the domain of edge maps, beside 0 and 1 of `shop`


class JointParams(TripletBlock):
    """siamese with drawings as a third domain."""

    negatives_from: Literal["batch", "positive_domain"] = Field(
        description="negatives of any domain, or of the positive's: shop photos where the positive is one, else the others"
    )
    grey: float = Field(ge=0.0, le=1.0, description="probability that a photo loses its colours, as a drawing has none")
    bridge: float = Field(
        ge=0.0,
        le=1.0,
        description="probability that a photo is seen as its edge map, in a domain between photo and drawing",
    )
    jigsaw: float = Field(
        ge=0.0,
        le=1.0,
        description="probability that the cells of an item's photos and drawings are permuted, all alike",
    )
    jigsaw_cells: int = Field(ge=2, le=8, description="cells per side of `jigsaw`")
    category_weight: float = Field(
        ge=0.0, le=100.0, description="of the triplets of categories beside those of items; 0 for none"
    )
    drawing_views: DrawingViews


def build(params: Params, data: RetrievalData) -> Joint:
    """The module by the block `joint`."""
    return Joint(params.train_embedder, params.method("joint"), data)


def add_drawings(data: RetrievalData, sketches: Catalog, size: int) -> RetrievalData:
    """`data` with the drawings of train photos in train, and the query drawings of val among its queries. Where train holds
    products of further splits, their query drawings are in it, too.

    Raises:
        DataError: when there are no such drawings of the items in `data`.
    """
    train = with_drawings(data.train, sketches, size, ("train", "train"), data.how)
    for split in data.splits:
        if split != "train":
            train = with_drawings(train, sketches, size, (split, "query"), data.how)
    val = with_drawings(data.val, sketches, size, ("val", "query"), data.how)
    asking = np.concatenate([data.val_is_query, np.ones(len(val) - len(data.val), dtype=np.bool_)])
    kept = (data.categories, data.unlabelled, data.protocol, data.how, data.splits)
    return RetrievalData(train, val, asking, *kept)


def with_drawings(
    photos: ImageSet, sketches: Catalog, size: int, of: tuple[str, str], how: Preparation = WHOLE
) -> ImageSet:
    """`photos`, then the drawings `of` a split and role that show one of their items and are not among them yet, labelled as
    its photos are."""
    split, role = of
    a_photo = {item: row for row, item in enumerate(photos.item_ids)}
    present = set(photos.image_ids)
    rows = sketches.select(split=split, domain="sketch", role=role)
    columns = zip(sketches.column("item_id")[rows], sketches.column("image_id")[rows], strict=True)
    rows = rows[[item in a_photo and name not in present for item, name in columns]]
    if not len(rows):
        if "sketch" in photos.domains:
            return photos
        raise DataError(
            f"{sketches.folder} has no {split} drawings of role {role}; run the sketch stage (dvc repro sketch)"
        )
    drawn = load_images(sketches, rows, size, how)
    shown = [a_photo[item] for item in drawn.item_ids]
    return ImageSet(
        images=joined(photos.images, drawn.images),
        items=np.concatenate([photos.items, photos.items[shown]]),
        categories=np.concatenate([photos.categories, photos.categories[shown]]),
        domains=np.concatenate([photos.domains, drawn.domains]),
        image_ids=np.concatenate([photos.image_ids, drawn.image_ids]),
        item_ids=np.concatenate([photos.item_ids, drawn.item_ids]),
        attributes=np.concatenate([photos.attributes, drawn.attributes]),
    )


def check_categories(train: ImageSet, weight: float) -> None:
    """Refuses triplets of categories that there are none of.

    Raises:
        DataError: naming the key and what is amiss.
    """
    pairs = np.unique(np.stack([train.categories, train.items]), axis=1)
    found, items = np.unique(pairs[0], return_counts=True)
    amiss = "is of one category" if len(found) < 2 else "has no category of two items" if items.max() < 2 else ""
    if amiss:
        raise DataError(f"joint.category_weight is {weight:g}, but the train split {amiss}: set it to 0")


class Joint(TripletTraining):
    """Photos and drawings in one space: triplets, whose anchor and positive come from different domains, as above."""

    def __init__(self, shared: TrainEmbedder, method: JointParams, data: RetrievalData) -> None:
        super().__init__(shared, method, data)
        self._views = method.drawing_views
        self._grey = method.grey
        self._bridge = method.bridge
        self._jigsaw, self._cells = method.jigsaw, method.jigsaw_cells
        self._category_weight = method.category_weight
        if method.category_weight:
            check_categories(data.train, method.category_weight)
        self._within_domain = method.negatives_from == "positive_domain"
        self._drawn = torch.from_numpy((data.train.domains == "sketch").astype(np.bool_))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        return super().training_step(self.with_edge_maps(batch) if self._bridge else batch, batch_idx)

    def with_edge_maps(self, batch: Batch) -> Batch:
        """The batch with edge maps in the place of some photos: `shop` numbers the domains then, and `lines` (B,) bool tells
        which images are lines."""
        drawn = self._lines(batch)
        chosen = (uniform(batch["images"], 0, 1) < self._bridge) & ~drawn
        images, domains = batch["images"].clone(), batch["shop"].long()
        images[chosen] = edge_maps(images[chosen])
        domains[chosen] = EDGES
        return {**batch, "images": images, "shop": domains, "lines": drawn | chosen}

    def views(self, batch: Batch) -> Tensor:
        """Photos as siamese sees them, some without their colours; drawings and edge maps as `drawing_views` has it; of some
        items in permuted cells."""
        photos = self.view(batch["images"])
        photos = by_chance(photos, luma(photos).expand_as(photos), self._grey)
        drawings = drawing_views(to_float(batch["images"]), self._views)
        views = torch.where(self._lines(batch).view(-1, 1, 1, 1), drawings, photos)
        if self._jigsaw:
            views = shuffled_cells(views, batch["items"], self._jigsaw, self._cells)
        return self.laid_out(views)

    def _lines(self, batch: Batch) -> Tensor:
        """Which images of a batch are lines; (B,) bool."""
        return batch["lines"] if "lines" in batch else self._drawn[batch["rows"].cpu()].to(batch["images"].device)

    def further_terms(self, distances: Tensor, batch: Batch) -> dict[str, Tensor]:
        """The triplets of categories."""
        if not self._category_weight:
            return {}
        of_batch = (batch["items"], batch["categories"], batch["shop"])
        return {"category": self._category_weight * triplet.category_term(distances, *of_batch, self._method.margin)}

    def allowed_negatives(self, anchors: Tensor, others: Tensor, batch: Batch) -> Tensor:
        other_item = super().allowed_negatives(anchors, others, batch)
        if not self._within_domain:
            return other_item
        shop = batch["shop"]
        return other_item & (shop[others, None] == shop)

    def decisive(self, scores: dict[str, float]) -> float:
        """The mean of the photos' score and the drawings'."""
        drawings = scores[f"sketch_to_shop/{average_name(self.data)}"]
        return (super().decisive(scores) + drawings) / 2


METHOD = Method(params=JointParams, build=build, add_drawings=add_drawings, needs=("sketch",))
