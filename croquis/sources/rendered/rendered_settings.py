"""The block `ingest.rendered` of params.yaml."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from croquis.params.block import Block


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

    @model_validator(mode="after")
    def train_is_left(self) -> Self:
        if self.val_share + self.test_share >= 0.9:
            raise ValueError(f"val_share + test_share = {self.val_share + self.test_share:g}, must stay below 0.9")
        return self
