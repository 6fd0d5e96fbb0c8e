"""The first baseline of every table: a colour and edge-orientation histogram. It learns nothing and needs no net."""

from __future__ import annotations

from pydantic import Field

from croquis.nets.histogram_encoder import HistogramEncoder
from croquis.params import Params
from croquis.params.block import Block
from lightning_modules.methods import Method


class HistogramParams(Block):
    """The baseline that learns nothing: colour and edge-orientation histograms on a grid."""

    colour_bins: int = Field(ge=2, le=16, description="bins per RGB channel")
    orientation_bins: int = Field(ge=2, le=36)
    grid: int = Field(ge=1, le=8, description="cells per side for the orientation histograms")
    colour_weight: float = Field(ge=0.0, le=1.0)


def fixed_encoder(params: Params) -> HistogramEncoder:
    """The encoder by the block `histogram`, for images of `base.image_size`."""
    return HistogramEncoder(size=params.base.image_size, **params.method("histogram").model_dump())


METHOD = Method(params=HistogramParams, fixed_encoder=fixed_encoder)
