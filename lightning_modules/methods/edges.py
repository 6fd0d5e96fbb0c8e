"""Drawings by their lines alone: orientations of their strokes against those of the photos' edge maps. It learns nothing.

The descriptor is that of `croquis.nets.edge_descriptor`, after Dalal & Triggs, "Histograms of oriented gradients for human
detection" (CVPR 2005). A query photo is compared by its edge map, too: shape counts, colour does not.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from croquis.nets.encoder import LINES
from croquis.nets.line_encoder import LineEncoder
from croquis.params import Params
from croquis.params.block import Block, OneOf
from croquis.params.data_blocks import HedWeights
from lightning_modules.methods import Method
from lightning_modules.nets.hed_weights import check_hed

NAME = "edges"


class EdgesParams(Block):
    """Line drawings against the edge maps of photos, nothing learned."""

    size: int = Field(ge=32, le=1024, description="side of the square pictures that lines are found in, pixels")
    edges: Annotated[str, OneOf(LINES)]
    hed_weights: HedWeights
    square: int = Field(ge=16, le=512, multiple_of=8, description="side that lines are scaled to, pixels")
    orientations: int = Field(ge=2, le=36)


def fixed_encoder(params: Params) -> LineEncoder:
    """The encoder by the block `edges`; of `hed` without the net, which `add_files` writes."""
    return LineEncoder(**params.method(NAME).model_dump(exclude={"hed_weights"}))


def add_files(params: Params, folder: Path) -> dict[str, str]:
    """Writes the net that finds edges of the kind `hed` into `folder`, where they are asked for."""
    from lightning_modules.nets.hed_graph import add_detector

    own: EdgesParams = params.method(NAME)
    return add_detector(own.edges, own.hed_weights, own.size, folder)


def check(params: Params) -> None:
    """Refuses `hed` without weights, and a size that its net cannot take.

    Raises:
        ValueError: naming the key and the fix.
    """
    own: EdgesParams = params.method(NAME)
    if NAME in params.retrievers:
        check_hed(NAME, own.edges, own.hed_weights, own.size)


METHOD = Method(params=EdgesParams, fixed_encoder=fixed_encoder, add_files=add_files, check=check)
