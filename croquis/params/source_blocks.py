"""Blocks of the sources: labelled image sets (Fashion-MNIST, CIFAR-10, IDX files) and the DeepFashion family."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from croquis.params.block import Block


class ClassSet(Block):
    """What these sources share: val is taken out of train, test asks, train is trained on and searched."""

    root: str = Field(description="folder that the set's files are below")
    share: float = Field(gt=0.0, le=1.0, description="part of every class that is read, chosen by a hash; 1 for all")
    val_share: float = Field(gt=0.0, lt=0.5, description="share of the train images for val")

    @property
    def fitting_protocols(self) -> tuple[str, ...]:
        """Values of `base.protocol` that the splits and roles of this source can be measured by."""
        return ("category", "cifar10_c")


class FashionMnist(ClassSet):
    """Fashion-MNIST through torchvision, the official split; `root` holds FashionMNIST/raw/."""

    download: bool


class Cifar10(ClassSet):
    """CIFAR-10 through torchvision; `root` holds cifar-10-batches-py/."""

    download: bool
    split: Literal["a", "c"] = Field(description="a: 1,000 queries, 5,000 train, 54,000 gallery; c: the official split")

    @property
    def fitting_protocols(self) -> tuple[str, ...]:
        return ("cifar10_a",) if self.split == "a" else ("cifar10_c", "category")


class IdxPair(Block):
    """Two files of equal length: images (idx3 or idx4, unsigned bytes) and their labels (idx1)."""

    images: str
    labels: str


class Idx(ClassSet):
    """Labelled images in IDX files, the format of MNIST."""

    train: IdxPair
    test: IdxPair | None = Field(description="null: `test_share` of the train pair")
    classes: str | None = Field(description="file of class names, one a line in the order of the labels; null: numbers")
    test_share: float = Field(gt=0.0, lt=0.5, description="share of the images for test where there is no test pair")


class DeepfashionInshop(Block):
    """DeepFashion In-shop Clothes Retrieval, the official split."""

    root: str
    val_share: float = Field(gt=0.0, lt=0.5, description="share of the official train items held out as val")
    high_resolution: bool


class DeepfashionC2s(Block):
    """DeepFashion Consumer-to-shop Clothes Retrieval, the official split."""

    root: str
    gallery: Literal["test", "val+test"] = Field(
        description="shop photos that test queries search; the official texts disagree, and val+test is the harder one"
    )
    high_resolution: bool


class DeepfashionAttributes(Block):
    """DeepFashion Category and Attribute Prediction, the official split."""

    root: str
    annotations: Literal["coarse", "fine"] = Field(description="1,000 attributes of 289,222 images, or 26 of 20,000")
    merge_dresses: bool = Field(description="count Cape, Nightdress, Shirtdress and Sundress as Dress")


class Deepfashion2(Block):
    """DeepFashion2, one row per garment box; the official validation set is our test."""

    root: str
    val_share: float = Field(gt=0.0, lt=0.5, description="share of the official train pairs held out as val")
