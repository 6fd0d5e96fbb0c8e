"""Catalogue rows as tensors: decoded once, read in batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from croquis.arrays import Rows
from croquis.catalog.prepared_photos import WHOLE, Preparation, open_photos
from croquis.catalog.table import Catalog
from croquis.evaluation.protocol import GALLERY_DOMAIN, INSTANCE, Protocol, split_gallery
from croquis.params.training_blocks import Labels
from lightning_modules.data.photo_rows import Images, PhotoRows
from lightning_modules.data.samplers import EpochSampler, OwnShare

Batch = dict[str, Tensor]
EVAL_BATCH = 256
EVAL_PIXELS = EVAL_BATCH * 96**2  # more in a batch would take the first maps of a net to gigabytes
GPU_WORKERS = 2  # that read the next batches while a GPU computes
ALL_LABELS = Labels(labelled_share=1.0, unlabelled="train")
GALLERY_SAMPLE = 2000  # images that stand for the train split where a protocol searches it: a validation is to be quick


class DataError(ValueError):
    """The catalogue lacks images that a training needs."""


@dataclass(frozen=True)
class ImageSet:
    """Images of one purpose with their labels; all arrays have one entry per image.

    Attributes:
        images: uint8 of shape (N, 3, S, S), by row.
        items: number of the item, counted over this set; where a protocol asks for the category only, that is the item.
        categories: category number, counted over the whole catalogue.
        domains: `shop`, `consumer` or `sketch`.
        image_ids: ids in the catalogue.
        item_ids: product ids in the catalogue.
        attributes: the attribute labels of each image's item.
    """

    images: Images
    items: npt.NDArray[np.int64]
    categories: npt.NDArray[np.int64]
    domains: npt.NDArray[np.object_]
    image_ids: npt.NDArray[np.object_]
    item_ids: npt.NDArray[np.object_]
    attributes: npt.NDArray[np.object_]

    def __len__(self) -> int:
        return len(self.images)

    @property
    def image_size(self) -> int:
        """Side of the square images, pixels."""
        return int(self.images.shape[-1])


def load_images(catalog: Catalog, rows: Rows, size: int, how: Preparation = WHOLE) -> ImageSet:
    """`rows` with their labels, cropped to their boxes and fitted to `size` exactly as the served runtime does."""
    known = sorted(set(catalog.column("category")))
    item_ids = catalog.column("item_id")[rows]
    return ImageSet(
        images=PhotoRows.of(open_photos(catalog, size, how=how), rows),
        items=np.unique(item_ids.astype(str), return_inverse=True)[1].astype(np.int64),
        categories=np.searchsorted(known, catalog.column("category")[rows].astype(str)).astype(np.int64),
        domains=catalog.column("domain")[rows],
        image_ids=catalog.column("image_id")[rows],
        item_ids=item_ids,
        attributes=catalog.column("attributes")[rows],
    )


class RowDataset(Dataset[Batch]):
    """Images and targets of an `ImageSet` by row number, a whole batch at a time."""

    def __init__(self, images: ImageSet, targets: Tensor | None = None) -> None:
        self._set = images
        self._items = torch.from_numpy(images.items)
        self._categories = torch.from_numpy(images.categories)
        self._shop = torch.from_numpy((images.domains == "shop").astype(np.bool_))
        self._targets = targets

    def __len__(self) -> int:
        return len(self._set)

    def __getitems__(self, rows: list[int]) -> Batch:
        index = torch.as_tensor(rows)
        batch = {
            "images": self._set.images[index],
            "rows": index,
            "items": self._items[index],
            "categories": self._categories[index],
            "shop": self._shop[index],
        }
        return batch if self._targets is None else {**batch, "targets": self._targets[index]}

    def __getitem__(self, row: int) -> Batch:
        return {name: value[0] for name, value in self.__getitems__([row]).items()}


def eval_batch(size: int) -> int:
    """How many images of that side are looked at together where none is learnt from; `EVAL_BATCH` at most.

    >>> eval_batch(56), eval_batch(288)
    (256, 28)
    """
    return max(1, min(EVAL_BATCH, EVAL_PIXELS // size**2))


def to_float(images: Tensor) -> Tensor:
    """uint8 (B, 3, S, S) -> float32 in [0, 1]."""
    return images.float().div_(255)


def labelled_rows(catalog: Catalog, train: Rows, share: float, seed: int) -> Rows:
    """The rows of a seeded choice of items: `share` of the training items, at least two."""
    if share >= 1:
        return train
    of_row = catalog.column("item_id")[train].astype(str)
    items = np.unique(of_row)
    chosen = np.random.default_rng([seed, len(items)]).permutation(items)[: max(2, round(share * len(items)))]
    return train[np.isin(of_row, chosen)]


def val_rows(catalog: Catalog, domains: list[str], protocol: Protocol, seed: int) -> tuple[Rows, npt.NDArray[np.bool_]]:
    """The rows that a validation during training looks at, ascending, and which of them are queries."""
    queries = catalog.select(split="val", domain=domains, role="query")
    if protocol.gallery == "split":
        gallery = split_gallery(catalog, "val")
    else:
        gallery = catalog.select(split="train", domain=GALLERY_DOMAIN)
        if len(gallery) > GALLERY_SAMPLE:
            gallery = np.random.default_rng([seed, len(gallery)]).choice(gallery, GALLERY_SAMPLE, replace=False)
    rows = np.union1d(queries, gallery)
    return rows, np.isin(rows, queries)


def labels_that_count(images: ImageSet, protocol: Protocol) -> ImageSet:
    """`images` with the categories as items where a protocol asks for no more: so losses, samplers and scores obey it."""
    return images if protocol.relevance == "item" else replace(images, items=images.categories)


class RetrievalData(pl.LightningDataModule):
    """Training images in the sampler's order; val queries and gallery in one unshuffled set.

    Attributes:
        train: images of the train split, and of what else `splits` names.
        protocol: what is right, and who is searched.
        how: how the photos are prepared.
        val: query images of the val split, and the gallery that they search: the val split's own, or `GALLERY_SAMPLE`
            images of the train split, drawn by the seed.
        val_is_query: (len(val),) whether an image is a query.
        categories: number of categories in the catalogue.
        unlabelled: uint8 (U, 3, S, S), images that semi-supervised methods may see without labels; where the catalogue
            has none, the training images.
        splits: whose labels are learned from: `train`, and once methods are chosen `val` and `test` too.
    """

    def __init__(
        self,
        train: ImageSet,
        val: ImageSet,
        val_is_query: npt.NDArray[np.bool_],
        categories: int,
        unlabelled: Images | None = None,
        protocol: Protocol = INSTANCE,
        how: Preparation = WHOLE,
        splits: Sequence[str] = ("train",),
    ) -> None:
        super().__init__()
        self.splits = tuple(splits)
        self.protocol = protocol
        self.how = how
        self.train = train
        self.unlabelled = train.images if unlabelled is None else unlabelled
        self.val = val
        self.val_is_query = val_is_query
        self.categories = categories
        self._sampler: EpochSampler | None = None

    @classmethod
    def from_catalog(
        cls,
        catalog: Catalog,
        domains: list[str],
        size: int,
        labels: Labels = ALL_LABELS,
        seed: int = 0,
        protocol: Protocol = INSTANCE,
        how: Preparation = WHOLE,
        splits: Sequence[str] = ("train",),
    ) -> RetrievalData:
        """Raises DataError when what training needs is not there, ProtocolError when val has no gallery of its own."""
        train = catalog.select(split="train", domain=domains)
        val, is_query = val_rows(catalog, domains, protocol, seed)
        asked = f"in the domains {domains}; check train_embedder.domains"
        searched = f"of the domain {GALLERY_DOMAIN}, which base.protocol searches"
        for name, rows, which in (
            ("train", train, asked),
            ("val query", val[is_query], asked),
            ("val gallery", val[~is_query], searched),
        ):
            if not len(rows):
                raise DataError(f"{catalog.folder} has no {name} images {which}")
        categories = len(set(catalog.column("category")))
        labelled = labelled_rows(catalog, train, labels.labelled_share, seed)
        rest = np.setdiff1d(train, labelled)
        if labels.unlabelled == "gallery":
            rest = np.union1d(rest, catalog.select(split="test", domain=domains, role="gallery"))
        further = catalog.select(split=[split for split in splits if split != "train"], domain=domains)
        labelled, rest = np.union1d(labelled, further), np.setdiff1d(rest, further)
        unlabelled = load_images(catalog, rest, size, how).images if len(rest) else None
        train_set, val_set = (
            labels_that_count(load_images(catalog, rows, size, how), protocol) for rows in (labelled, val)
        )
        return cls(train_set, val_set, is_query, categories, unlabelled, protocol, how, splits)

    def __deepcopy__(self, memo: dict[int, Any]) -> RetrievalData:
        """Itself: a copy of a module that trains on the images does not copy them."""
        return self

    def use_sampler(self, sampler: EpochSampler) -> None:
        """Sets what makes the batches of train; before `train_dataloader` is asked for."""
        self._sampler = sampler

    def train_dataloader(self) -> DataLoader[Batch]:
        if self._sampler is None:
            raise DataError("no sampler is set; call use_sampler first")
        return batches(RowDataset(self.train), self._sampler, self.how)

    def val_dataloader(self) -> DataLoader[Batch]:
        return batches(RowDataset(self.val), eval_batch(self.val.image_size), self.how)


def batches(dataset: Dataset[Batch], order: EpochSampler | int, how: Preparation = WHOLE) -> DataLoader[Batch]:
    """A loader over a dataset that hands out whole batches, in a sampler's order or in row order by batch size.

    Worker processes decode where no squares are kept, and keep a GPU from waiting. They read rows that this process has
    chosen, so that the batches are the same without them, also in a resumed training.
    """
    on_gpu = torch.cuda.is_available()
    workers = how.loader_workers or (GPU_WORKERS if on_gpu else 0)
    sized = {"batch_size": order} if isinstance(order, int) else {"batch_sampler": OwnShare(order)}
    more = {"num_workers": workers, "persistent_workers": workers > 0, "pin_memory": on_gpu}
    kind = _LateLoader if workers else DataLoader
    return kind(dataset, collate_fn=_as_it_is, **sized, **more)  # type: ignore[arg-type]


class _LateLoader(DataLoader[Batch]):
    """Begins when its first batch is asked for: Lightning opens it before it tells the sampler of a resumed epoch."""

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        yield from super().__iter__()


def _as_it_is(batch: Any) -> Any:
    return batch
