"""The backbones that can be chosen, by name. No torch here: params.yaml is checked by this table."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Family:
    """What is known of a backbone before it is built.

    Attributes:
        summary: one line.
        pretrained: whether trained weights exist, so that `weights: pretrained` is valid.
    """

    summary: str
    pretrained: bool = True


# A name that ends in /NAME stands for all names of that library.
BACKBONES = {
    "small": Family("residual net of four stages for small images, trained from nothing", pretrained=False),
    "torchvision/alexnet": Family("Krizhevsky 2014, 5 convolutions"),
    "torchvision/resnet18": Family("He et al. 2016, 18 layers"),
    "torchvision/resnet50": Family("He et al. 2016, 50 layers"),
    "torchvision/mobilenet_v2": Family("Sandler et al. 2018"),
    "torchvision/mobilenet_v3_small": Family("Howard et al. 2019, small"),
    "torchvision/squeezenet1_1": Family("Iandola et al. 2016, version 1.1"),
    "torchvision/vgg16": Family("Simonyan and Zisserman 2015, 16 layers"),
    "openclip/NAME": Family("any net of open_clip whose text tower is its own, e.g. openclip/ViT-B-32; extra `clip`"),
    "timm/NAME": Family("any net of timm by its name there, with its tag or without, e.g. timm/tf_efficientnet_lite0"),
}
