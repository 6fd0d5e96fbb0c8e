"""Blocks of the stages that make data: ingest, validate, sketch."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from croquis.params.block import Block
from croquis.params.source_blocks import (
    Cifar10,
    Deepfashion2,
    DeepfashionAttributes,
    DeepfashionC2s,
    DeepfashionInshop,
    FashionMnist,
    Idx,
)

Share = Field(ge=0.0, le=1.0)
Split = Literal["train", "val", "test"]
Domain = Literal["shop", "consumer", "sketch"]
TableColumn = Literal[
    "path",
    "image_id",
    "item_id",
    "domain",
    "split",
    "role",
    "category",
    "view",
    "attributes",
    "unknown_attributes",
    "bbox",
]


class Rendered(Block):
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
    columns: dict[TableColumn, str | list[str] | None] = Field(
        description="where the table has other names than ours: a column of the table, a pattern such as "
        "`images/{id}.jpg` with columns in braces, a list of columns (attributes only), or null to leave ours out"
    )
    splits: dict[str, Split] = Field(description="what the table's words for splits mean, e.g. `validation: val`")
    domains: dict[str, Domain] = Field(description="what the table's words for domains mean, e.g. `street: consumer`")
    roles: Literal["by_item", "queries"] = Field(
        description="rows of val and test without a role: one shop photo per item is the gallery, or all are queries"
    )
    share: float = Field(gt=0.0, le=1.0, description="part of the items that is read, chosen by a hash; 1 for all")
    val_share: float = Field(ge=0.0, lt=0.5, description="share of items for val where the table names no val rows")
    test_share: float = Field(ge=0.0, lt=0.5, description="share of items for test where the table names no test rows")

    @field_validator("columns")
    @classmethod
    def only_attributes_are_many(cls, columns: dict[str, Any]) -> dict[str, Any]:
        for name, source in columns.items():
            if isinstance(source, list) and (name != "attributes" or not source):
                raise ValueError(f"{name} cannot be the list {source}; only attributes take one or more columns")
            if source is None and name in ("path", "item_id"):
                raise ValueError(f"{name} cannot be null, every row needs it")
        return columns


class Parquet(Block):
    """A catalogue in our own format: Parquet shards of `croquis.catalog.table.SCHEMA`."""

    path: str = Field(min_length=1, description="a folder or a file, local or a URL such as s3://bucket/catalogue")
    storage_options: dict[str, str | int | bool] = Field(
        description="given to fsspec, e.g. `anon: true`; credentials belong into the environment"
    )


class Ingest(Block):
    source: Literal[
        "rendered",
        "folder",
        "parquet",
        "fashion_mnist",
        "cifar10",
        "idx",
        "deepfashion_inshop",
        "deepfashion_c2s",
        "deepfashion_attributes",
        "deepfashion2",
    ]
    shard_rows: int = Field(ge=1, le=100_000)
    rendered: Rendered
    folder: Folder
    parquet: Parquet
    fashion_mnist: FashionMnist
    cifar10: Cifar10
    idx: Idx
    deepfashion_inshop: DeepfashionInshop
    deepfashion_c2s: DeepfashionC2s
    deepfashion_attributes: DeepfashionAttributes
    deepfashion2: Deepfashion2


class Validate(Block):
    max_quarantine_share: float = Field(ge=0.0, le=1.0)
    min_side: int = Field(ge=1, le=4096)
    max_side: int = Field(ge=32, le=65_536)
    max_megapixels: float = Field(gt=0.0, le=50.0, description="no more than the later stages decode")
    near_duplicate_bits: int = Field(ge=0, le=16, description="Hamming radius of the 64-bit perceptual hash")
    near_duplicate_difference: float = Field(
        ge=0.0, le=1.0, description="largest difference of the thumbnails of a near copy, relative to their contrast"
    )
    max_near_duplicate_share: float = Field(ge=0.0, le=1.0, description="of the photos, like one of another item")
    max_single_image_share: float = Field(ge=0.0, le=1.0, description="of the training photos, their item's only one")
    min_categories: int = Field(ge=1, le=100_000)
    max_categories: int = Field(ge=1, le=100_000)
    max_item_attributes: int = Field(ge=0, le=100_000, description="different attributes of one item")
    max_constant_attribute_share: float = Field(
        ge=0.0, le=1.0, description="of the attributes, held by all or none of the training items"
    )
    max_prevalence_shift: float = Field(
        ge=0.0, le=1.0, description="of an attribute between train and another split, beyond three standard errors"
    )
    max_category_drift: float = Field(
        ge=0.0, le=1.0, description="total variation distance of a split from train, beyond what chance gives"
    )
    disabled: list[str] = Field(description="names of rules that are not applied")


class Mix(Block):
    """How often drawings begin with each kind of lines (croquis/sketching/linework.py); weights of any sum."""

    canny: float = Field(ge=0.0, le=100.0)
    xdog: float = Field(ge=0.0, le=100.0)
    coarse: float = Field(ge=0.0, le=100.0)
    silhouette: float = Field(ge=0.0, le=100.0)

    @model_validator(mode="after")
    def something_to_begin_with(self) -> Self:
        if not any(self.model_dump().values()):
            raise ValueError("all weights are 0: no drawing could begin; raise one of them")
        return self


class Sketch(Block):
    """Photos redrawn by a simulated hand; lengths are pixels of a sheet of 128. Pairs are the ends of a range."""

    size: int = Field(ge=32, le=512)
    edges: Literal["canny", "xdog", "drawn"] = Field(
        description="edge maps that drawings are compared with; `drawn`: the catalogue's shop pictures are such already"
    )
    drawings_per_photo: int = Field(ge=1, le=50, description="of train photos; of the others one")
    begin_with: Mix
    jitter: float = Field(ge=0.0, le=10.0, description="standard deviation of the stroke wobble")
    drop: float = Field(ge=0.0, le=0.9, description="share of the strokes that is left out")
    retrace: float = Field(ge=0.0, le=1.0, description="share of the strokes that is drawn twice")
    line_width: list[float] = Field(min_length=2, max_length=2)
    simplify: list[float] = Field(min_length=2, max_length=2, description="how far corners may lie from the line")
    detail: list[float] = Field(
        min_length=2, max_length=2, description="length of the lines inside the outline, in sides of the sheet"
    )
    margin: list[float] = Field(
        min_length=2, max_length=2, description="left free on the longer side, share of the sheet"
    )

    @field_validator("line_width", "simplify", "detail", "margin")
    @classmethod
    def ascending(cls, ends: list[float]) -> list[float]:
        if not 0 <= ends[0] <= ends[1]:
            raise ValueError(f"is {ends}, must be two numbers from 0 on, the lower one first")
        return ends

    @field_validator("margin")
    @classmethod
    def room_to_draw(cls, ends: list[float]) -> list[float]:
        if ends[1] > 0.4:
            raise ValueError(f"is {ends}, must leave room to draw: at most 0.4")
        return ends
