"""Pretrained weights as they are: pooled levels of the backbone, and behind them a map in closed form. No gradient is taken.

The baseline of every learned method on real photos, fitted in seconds. Vector: what
`train_embedder.backbone.pooling` says, at best the last map of each size of the backbone, each averaged over the picture and
put to length 1, and a colour histogram beside them.
Map: within-class covariance normalisation (Hatch, Kajarekar & Stolcke, Interspeech 2006) where train items have two photos
or more, else principal components over their variance to the power of 1/4, and ridge regression of the labels where
right answers share a category; val decides on it
(`lightning_modules/maps/closed_form.py`).
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from croquis.params import Params
from croquis.params.block import Block
from lightning_modules.methods import Method
from lightning_modules.nets.retrieval_net import Embedder, average_pool_net

NAME = "pretrained"


class PretrainedParams(Block):
    """Pretrained weights with pooled levels and a map in closed form; it needs `train_embedder.backbone.weights`."""

    map: Literal["none", "pca", "within_item", "labels", "best"] = Field(
        description="kind of the map behind it, in place of `train_embedder.map.kind`"
    )


def fixed_net(params: Params) -> Embedder:
    """The backbone with its weights, averaged over places.

    Raises:
        ValueError: when the weights are random.
    """
    refuse_random(params)
    return average_pool_net(params.train_embedder.backbone, params.base.image_size)


def check(params: Params) -> None:
    """Refuses random weights, and a map of labels where items count, where the method is asked for.

    Raises:
        ValueError: naming the key and the fix.
    """
    if NAME in params.retrievers:
        refuse_random(params)
        params.refuse_map_of_labels(f"{NAME}.map", params.method(NAME).map)


def refuse_random(params: Params, name: str = NAME, otherwise: str = "") -> None:
    """Refuses `train_embedder.backbone.weights: none` for the method `name`.

    Args:
        otherwise: what else may be done about it, e.g. `set sketch_map.net: false, `.

    Raises:
        ValueError: naming the key and the fix.
    """
    if params.train_embedder.backbone.weights == "none":
        raise ValueError(
            f"{name} needs pretrained weights, but train_embedder.backbone.weights is none: name weights there, "
            f"{otherwise}or take {name} out of retrievers"
        )


METHOD = Method(params=PretrainedParams, fixed_net=fixed_net, check=check)
