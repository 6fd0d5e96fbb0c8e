"""Blocks of the methods that learn hash codes or product quantisers."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field

from croquis.params.block import Block

Bits = Literal[16, 32, 64, 128]
ClassLabels = Literal["item", "category"]


class ProductCodes(Block):
    """The shape of the codebooks; an image takes subspaces * log2(codewords) bits."""

    subspaces: int = Field(ge=1, le=256, description="sub-vectors of an image, each with a codebook of its own")
    codewords: Literal[16, 256] = Field(description="per codebook: 4 or 8 bits per sub-vector")
    subspace_dim: int = Field(ge=1, le=256, description="numbers per sub-vector")

    @property
    def bits(self) -> int:
        """Bits of one image's code."""
        return self.subspaces * int(math.log2(self.codewords))
