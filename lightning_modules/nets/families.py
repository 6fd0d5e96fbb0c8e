"""The backbones that can be chosen, by name. No torch here: params.yaml is checked by this table."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Family:
    """What is known of a backbone before it is built.

    Attributes:
        summary: one line.
        channels: of its last feature map; None where `train_embedder.backbone.width` decides.
        torchvision: whether torchvision builds it, with ImageNet weights on request.
    """

    summary: str
    channels: int | None
    torchvision: bool = True


BACKBONES = {
    "small": Family("residual net of four stages for small images, trained from nothing", None, torchvision=False),
    "resnet18": Family("He et al. 2016, 18 layers", 512),
    "resnet50": Family("He et al. 2016, 50 layers", 2048),
    "mobilenet_v2": Family("Sandler et al. 2018", 1280),
    "mobilenet_v3_small": Family("Howard et al. 2019, small", 576),
    "squeezenet1_1": Family("Iandola et al. 2016, version 1.1", 512),
    "vgg16": Family("Simonyan and Zisserman 2015, 16 layers", 512),
}
