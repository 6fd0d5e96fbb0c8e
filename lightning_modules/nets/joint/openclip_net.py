"""Nets of open_clip, whose towers of images and of texts give vectors of one space: the image's tower as a backbone.

The backbone's only map is one place with the vector of the whole image in that space, projection included.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from croquis.refusals import hint_of
from lightning_modules.nets.weight_sources import ELSEWHERE, online, weights_file
from lightning_modules.nets.weights import State, WeightsError, load_weights

SCALES = ("logit_scale", "logit_bias")  # of the training's loss; no vector depends on them


class OpenClipError(ValueError):
    """open_clip has no such net, or it cannot take images of the size; the message names the fix."""


class OpenClipNet(nn.Module):
    """The image's tower of a net of open_clip as a map (B, D, 1, 1).

    Attributes:
        level_channels: D alone.
        name: of the net in open_clip, without a tag.
        weights: as `backbone.weights` has it.

    Args:
        net: built by open_clip.
        size: side of the images, pixels.
    """

    def __init__(self, net: Any, size: int, name: str = "", weights: str = "none") -> None:
        super().__init__()
        self.visual = net.visual
        self.name, self.weights = name, weights
        self._both = (net,)  # in a tuple, where torch does not look for modules
        self.eval()
        with torch.no_grad():
            seen = self.visual(torch.zeros(1, 3, size, size))
        if not isinstance(seen, Tensor) or seen.ndim != 2:
            raise OpenClipError(f"openclip/{name} gives no single vector of an image; choose another net")
        self.level_channels: tuple[int, ...] = (seen.shape[1],)

    @property
    def both(self) -> Any:
        """The net with both towers, no part of this module: what trains or exports that leaves the texts alone."""
        return self._both[0]

    def levels(self, images: Tensor) -> list[Tensor]:
        """(B, 3, S, S) -> one map (B, D, 1, 1)."""
        vectors: Tensor = self.visual(images)
        return [vectors[:, :, None, None]]

    def forward(self, images: Tensor) -> Tensor:
        return self.levels(images)[0]


def openclip_net(name: str, weights: str, size: int | None) -> tuple[OpenClipNet, Sequence[float], Sequence[float]]:
    """The net of that name in open_clip, and mean and standard deviation of its images in [0, 1].

    Args:
        name: with a tag or without, e.g. `ViT-B-32.laion2b_s34b_b79k`; the tag says whose weights are `pretrained`, and
            decides on mean, deviation and activations. Without one it is the first that fits the net.
        weights: as `backbone.weights` has it.
        size: side of the images, pixels; None: that of the net's own training.

    Raises:
        OpenClipError: when open_clip is missing or has no such net, or the net cannot take images of that size.
        WeightsError: when the weights cannot be had, or do not fit.
    """
    if find_spec("open_clip") is None:
        raise OpenClipError(f"openclip/{name} needs the package open_clip_torch: pip install 'croquis[clip]'")
    import open_clip  # takes seconds, and other nets need it not

    plain, _, tag = name.partition(".")
    config = open_clip.get_model_config(plain)
    if config is None:
        near = hint_of(plain, open_clip.list_models())
        raise OpenClipError(f"open_clip has no net {plain!r}{near or '; see open_clip.list_models()'}")
    if "hf_model_name" in config["text_cfg"] or "multimodal_cfg" in config:
        raise OpenClipError(f"openclip/{plain} has a text tower of another library; choose a net with one of open_clip")
    about = _tagged(plain, tag, config)
    own = config["vision_cfg"]["image_size"]
    own = own if isinstance(own, int) else own[0]
    asked = {
        "force_quick_gelu": about.get("quick_gelu", False)
    }  # the weights of some tags, e.g. openai, were learned so
    asked |= {} if size in (None, own) else {"force_image_size": size}
    try:
        net = open_clip.create_model(plain, pretrained=None, load_weights=False, **asked)
        features = OpenClipNet(net, size or own, plain, weights)
    except (AssertionError, RuntimeError, TypeError, ValueError) as error:
        raise OpenClipError(
            f"openclip/{plain} cannot take images of {size or own} px ({str(error).partition(chr(10))[0]}); its own size is "
            f"{own}: set base.image_size to it, or choose another net"
        ) from error
    if weights == "pretrained":
        if not about:
            raise WeightsError(f"open_clip has no weights of {plain}; name `none` or the path of a state dict")
        with online(f"the weights of openclip/{name}", ELSEWHERE):
            path = open_clip.download_pretrained(about)
        _load(net, str(path))
    elif weights != "none":
        _load(net, weights)
    means, deviations = about.get("mean"), about.get("std")
    return features, means or open_clip.OPENAI_DATASET_MEAN, deviations or open_clip.OPENAI_DATASET_STD


def _tagged(plain: str, tag: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """What open_clip knows of the weights of a tag, or of the first ones of the same activations; empty for none."""
    from open_clip import get_pretrained_cfg, list_pretrained_tags_by_model

    known = list_pretrained_tags_by_model(plain)
    if tag and tag not in known:
        raise OpenClipError(f"open_clip has no weights {tag!r} of {plain}; leave the tag out, or take one of {known}")
    found: list[dict[str, Any]] = [get_pretrained_cfg(plain, each) for each in ([tag] if tag else known)]
    fitting = [each for each in found if tag or each.get("quick_gelu", False) == config.get("quick_gelu", False)]
    return fitting[0] if fitting else {}


def _load(net: nn.Module, weights: str) -> None:
    """Loads both towers; other spellings of the names are open_clip's own business."""
    from open_clip.convert import convert_state_dict
    from open_clip.model import convert_to_custom_text_state_dict, resize_pos_embed, resize_text_pos_embed

    def spelt(state: State) -> State:
        found = convert_state_dict(net, dict(state))
        if "positional_embedding" in found and not hasattr(net, "positional_embedding"):
            found = convert_to_custom_text_state_dict(found)
        resize_pos_embed(found, net)
        resize_text_pos_embed(found, net)
        return dict(found)

    load_weights(net, weights_file(weights), SCALES, spelt)
