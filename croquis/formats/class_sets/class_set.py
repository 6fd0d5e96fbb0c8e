"""The block that sources of labelled images share."""

from __future__ import annotations

from pydantic import Field

from croquis.params.block import Block


class ClassSet(Block):
    """What these sources share: val is taken out of train, test images are queries, train is trained on and searched."""

    root: str = Field(description="folder that the set's files are below")
    share: float = Field(gt=0.0, le=1.0, description="part of every class that is read, chosen by a hash; 1 for all")
    val_share: float = Field(gt=0.0, lt=0.5, description="share of the train images for val")

    @property
    def fitting_protocols(self) -> tuple[str, ...]:
        """Values of `base.protocol` that the splits and roles of this source can be measured by."""
        return ("category", "cifar10_c")
