"""How nets learn the small real sets: gently, from ImageNet weights, with frozen batch norms.

A few hundred photos teach a net from scratch less than these weights know. Size and rates of `inshop_luma` lie between those
that were tried on val with four of the methods (128 and 192 px; rates of 0.0005 and 0.001, 0.1 to 0.3 of them for the
backbone), which its 42 queries could hardly tell apart; most were best within five epochs. For `c2s_grocery` the rates of
`attr_products` and those of `inshop_luma` were tried with siamese, which had .640 and .665 hit@1 on val at seed 7.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmarks.common.benchmark_command import METHODS, PROJECT, Values
from benchmarks.common.real_sets import RealSetError
from croquis.params.loader import read_yaml

MOBILENET = ("mobilenet_v2", "mobilenet_v2_imagenet.pth")
SQUEEZENET = ("squeezenet1_1", "squeezenet1_1_imagenet_features.pth")


@dataclass(frozen=True)
class Learning:
    """What differs from the rendered catalogue.

    Attributes:
        image_size: pixels.
        batch_size: images; methods that draw items take `batch_size / 4` of them with 4 images each.
    """

    image_size: int
    batch_size: int
    epochs: int
    learning_rate: float
    backbone_rate: float


LEARNING = {
    "inshop_luma": Learning(160, 32, 5, 0.0007, 0.2),
    "c2s_grocery": Learning(96, 64, 6, 0.0007, 0.2),
    "attr_products": Learning(96, 64, 6, 0.002, 0.1),
}


def pretrained(name: str, shared: Path) -> Values:
    """Nested overrides of params.yaml for a set of `LEARNING`.

    Args:
        shared: the folder that holds the sets, and `weights` beside them.

    Raises:
        RealSetError: when the weights are not there.
    """
    learning = LEARNING[name]
    net, weights = MOBILENET[0], weights_file(shared, MOBILENET[1])
    values: Values = {
        "base": {"image_size": learning.image_size},
        "train_embedder": {"backbone": {"name": net, "weights": weights, "freeze_bn": True}},
    }
    shipped = read_yaml(PROJECT / "params.yaml")
    for method in METHODS:
        if "fit" in shipped[method]:
            values[method] = {"fit": fit_of(learning), **batch_of(learning, shipped[method])}
    net, weights = SQUEEZENET[0], weights_file(shared, SQUEEZENET[1])
    values["triplet_gan"] |= {"perceptual_net": net, "perceptual_weights": weights}
    return values


def fit_of(learning: Learning) -> Values:
    return {
        "epochs": learning.epochs,
        "patience": learning.epochs,
        "learning_rate": learning.learning_rate,
        "backbone_rate": learning.backbone_rate,
        "validate_every": 1,
    }


def batch_of(learning: Learning, block: Values) -> Values:
    """The batch in the words of a method's block."""
    if "items_per_batch" in block:
        return {"items_per_batch": learning.batch_size // 4, "images_per_item": 4}
    return {"batch_size": learning.batch_size}


def weights_file(shared: Path, name: str) -> str:
    path = (shared / "weights" / name).resolve()
    if not path.is_file():
        raise RealSetError(f"{path} does not exist; benchmarks of real sets start from these weights")
    return str(path)
