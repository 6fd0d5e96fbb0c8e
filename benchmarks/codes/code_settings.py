"""How codes are learnt on CIFAR-10: by a whole net from nothing, or by a code layer alone on a net that ImageNet has taught
and that stays as it is.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.common.benchmark_command import BenchmarkError, Values
from benchmarks.common.pretrained import SQUEEZENET, weights_file

LEARNED = ("sgh", "dhd", "gpq", "spq")
TRAINED, UNTRAINED = "image2vec", "untrained"  # nets without a code layer
REFERENCES = {"trained": (TRAINED, UNTRAINED), "imagenet": (UNTRAINED,)}
NETS = tuple(REFERENCES)

CIFAR: Values = {
    "base": {"image_size": 32},
    "train_embedder": {"domains": ["shop"], "labels": {"labelled_share": 1.0, "unlabelled": "gallery"}},
    "register": {"select_by": "shop->shop/hit@1"},
    # Small nets that learn ten classes from nothing, tried on val of cifar10_c at 32 bits, one trial each. With the source's
    # weight of 0.1, at other rates and batch sizes, gpq was -0.004 to +0.016 above the best baseline on its features, with
    # 1.0 +0.031. Temperatures of dhd, 0.2 in the source, gave mAP of 0.343 (0.1), 0.504 (0.2), 0.534 (0.4) and 0.446 (0.8).
    "sgh": {"fit": {"learning_rate": 0.005}},
    "dhd": {"temperature": 0.4, "teacher_share": 0.3, "fit": {"learning_rate": 0.005}},
    "gpq": {"classification_weight": 1.0, "fit": {"learning_rate": 0.004}},
    # No label here: two views of one photo are a pair, as in SPQ's paper, whose views these are (the blur for 32 px).
    "spq": {
        "positives": "views",
        "temperature": 0.5,
        "views": {
            "crop_scale": 0.08,
            "rotate": 0,
            "flip": 0.5,
            "crop": 1.0,
            "erase": 0.0,
            "brightness": 0.4,
            "contrast": 0.4,
            "saturation": 0.4,
            "hue": 0.1,
            "jitter": 0.8,
            "grey": 0.2,
            "blur": 0.5,
            "blur_sigma": 2.0,
        },
    },
}
# In cifar10_a few training images have a label; spq needs none and learns from all, so that its epochs are long.
EPOCHS = {
    ("trained", "cifar10_a"): {"spq": 5, "others": 32},
    ("trained", "cifar10_c"): {"others": 8},
    ("imagenet", "cifar10_c"): {"others": 4},
}
IMAGENET_SIZE = 64  # pixels; of 32 this net's map keeps a single place
# Rates of a layer alone: the better of two on val at 32 bits, one trial of three epochs each: mAP@all of 0.414 (dhd; 0.005:
# 0.400), 0.385 (sgh; 0.005: 0.365), 0.406 (gpq; 0.004: 0.391) and 0.254 (spq; 0.003: 0.251), where ITQ has 0.204.
LAYER_RATES = {"sgh": 0.015, "dhd": 0.015, "gpq": 0.012, "spq": 0.001}


def cell_settings(nets: str, protocol: str, method: str, shared: Path) -> list[Values]:
    """Overrides of params.yaml for a method under a protocol, the later above the earlier.

    Args:
        nets: one of NETS.
        shared: the folder that holds the sets, and `weights` beside them.

    Raises:
        RealSetError: when ImageNet weights are needed and not there.
    """
    settings = [CIFAR, {"base": {"protocol": protocol}}, length_of(nets, protocol, method)]
    return [*settings, layer_alone(method, shared)] if nets == "imagenet" else settings


def length_of(nets: str, protocol: str, method: str) -> Values:
    """The method's epochs, none of which is left out."""
    lengths = EPOCHS[nets, protocol]
    epochs = lengths.get(method, lengths["others"])
    return {} if method == UNTRAINED else {method: {"fit": {"epochs": epochs, "patience": epochs}}}


def layer_alone(method: str, shared: Path) -> Values:
    """The net has its weights from ImageNet and keeps them; what stands above it learns."""
    name, weights = SQUEEZENET
    backbone = {"name": name, "weights": weights_file(shared, weights), "freeze_bn": True}
    values: Values = {"base": {"image_size": IMAGENET_SIZE}, "train_embedder": {"backbone": backbone}}
    if method == UNTRAINED:
        return values
    return values | {method: {"fit": {"backbone_rate": 0.0, "learning_rate": LAYER_RATES[method]}}}


def code_settings(method: str, bits: int, values: Values) -> Values:
    """What makes codes of so many bits: `bits`, or subspaces of as many codewords as params.yaml says.

    Raises:
        BenchmarkError: when the bits do not divide among subspaces.
    """
    block = values[method]
    labels = {"labels": "category"} if "labels" in block else {}
    if method not in LEARNED:
        return {}
    if "bits" in block:
        return {"bits": bits, **labels}
    each = int(block["codewords"]).bit_length() - 1
    if bits % each:
        raise BenchmarkError(f"{method} has subspaces of {each} bits, which do not make {bits}")
    return {"subspaces": bits // each, **labels}


def told_by(nets: str, protocol: str, method: str) -> tuple[str, ...]:
    """The blocks of figures that a cell has; one that tells less is measured again.

    On a net that stays as it is, features and baselines are the same under all methods, and UNTRAINED tells them.
    """
    if nets == "imagenet" and method != UNTRAINED:
        return ("codes",)
    # Elsewhere all images that baselines learn from have labels.
    labelled = ("baselines_labelled",) if protocol == "cifar10_a" else ()
    return ("codes", "components", "baselines", *labelled)
