"""Blocks of the stages that make data: ingest, validate, sketch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from params.block import Block

Share = Field(ge=0.0, le=1.0)


class Embedded(Block):
    """Garments rendered by the project itself."""

    items: int = Field(ge=20, le=1_000_000)
    size: int = Field(ge=32, le=1024, description="side of the square photos, pixels")
    shop_views: list[Literal["front", "back", "detail"]] = Field(min_length=1)
    consumer_photos: int = Field(ge=1, le=20)
    sketches: bool = Field(description="also draw a flat (domain sketch) of every val and test item")
    twin_share: float = Field(ge=0.0, le=0.9, description="share of items that differ from another in one attribute")
    shared_print_share: float = Field(ge=0.0, le=0.9, description="share of items that wear another item's print")
    difficulty: float = Field(ge=0.0, le=2.0, description="strength of pose, viewpoint, folds, cover, blur and noise")
    lighting: float = Field(ge=0.0, le=2.0, description="strength of shadows, white balance, exposure and contrast")
    val_share: float = Field(gt=0.0, lt=0.5)
    test_share: float = Field(gt=0.0, lt=0.5)


class Folder(Block):
    """A CSV or Parquet table that points at image files."""

    table: str
    images: str = Field(description="folder that the table's `path` column is relative to")
    val_share: float = Field(ge=0.0, lt=0.5, description="share of items for val where the table has no split column")
    test_share: float = Field(ge=0.0, lt=0.5)


class DeepfashionInshop(Block):
    """DeepFashion In-shop Clothes Retrieval, the official split."""

    root: str
    val_share: float = Field(gt=0.0, lt=0.5, description="share of the official train items held out as val")
    high_resolution: bool


class Ingest(Block):
    source: Literal["embedded", "folder", "deepfashion_inshop"]
    shard_rows: int = Field(ge=1, le=100_000)
    embedded: Embedded
    folder: Folder
    deepfashion_inshop: DeepfashionInshop


class Validate(Block):
    max_quarantine_share: float = Field(ge=0.0, le=1.0)
    min_side: int = Field(ge=1, le=4096)
    max_side: int = Field(ge=32, le=65_536)
    max_megapixels: float = Field(gt=0.0, le=1000.0)
    near_duplicate_bits: int = Field(ge=0, le=16, description="Hamming radius of the 64-bit perceptual hash")


class Sketch(Block):
    """Edge maps of photos, made to look drawn by hand."""

    size: int = Field(ge=32, le=512)
    edges: Literal["canny", "xdog"]
    jitter: float = Field(ge=0.0, le=10.0, description="standard deviation of the stroke wobble, pixels at 128 px")
    drop: float = Field(ge=0.0, le=0.9, description="share of stroke segments left out")
    line_width: list[float] = Field(
        min_length=2, max_length=2, description="lowest and highest stroke width, px at 128 px"
    )
