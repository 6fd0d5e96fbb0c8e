"""Drawings by their lines alone: orientations of their strokes against those of the photos' edge maps. It learns nothing.

The descriptor is that of `croquis.nets.edge_descriptor`, after Dalal & Triggs, "Histograms of oriented gradients for human
detection" (CVPR 2005). A query photo is compared by its edge map, too: shape counts, colour does not.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from croquis.catalog.edge_maps import DRAWN, EDGE_METHODS
from croquis.nets.line_encoder import LineEncoder
from croquis.params import Params
from croquis.params.block import Block, OneOf
from lightning_modules.methods import Method


class EdgesParams(Block):
    """Line drawings against the edge maps of photos, nothing learned."""

    size: int = Field(ge=32, le=1024, description="side of the square pictures that lines are found in, pixels")
    edges: Annotated[str, OneOf((*EDGE_METHODS, DRAWN))]
    square: int = Field(ge=16, le=512, multiple_of=8, description="side that lines are scaled to, pixels")
    orientations: int = Field(ge=2, le=36)


def fixed_encoder(params: Params) -> LineEncoder:
    """The encoder by the block `edges`."""
    return LineEncoder(**params.method("edges").model_dump())


METHOD = Method(params=EdgesParams, fixed_encoder=fixed_encoder)
