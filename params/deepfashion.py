"""Blocks of the official data sets of the DeepFashion family."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from params.block import Block


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
