"""Several photos of one sketch, from a generator whose dropout is its noise.

Isola et al. 2017 give their generator noise by dropout alone, at test time too (section 3.1), and see little variety in
what it paints. Here the masks are drawn once, so that a sketch always has the same photos: K sets of them become constants
of the exported graph.
"""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn


class FixedDropout(nn.Module):
    """Dropout (Srivastava et al. 2014) with masks that stay; a kept number is divided by the share that is kept.

    Args:
        masks: (K, ...) of the layer's output without its batch; 0, or 1 / (1 - p).

    Attributes:
        chosen: which of the masks is used.
    """

    masks: Tensor

    def __init__(self, masks: Tensor) -> None:
        super().__init__()
        self.register_buffer("masks", masks)
        self.chosen = 0

    def forward(self, features: Tensor) -> Tensor:
        return features * self.masks[self.chosen]


class SampledGenerator(nn.Module):
    """K photos of each sketch, by a copy of a generator whose dropout is replaced by K fixed masks.

    Args:
        generator: sketches (B, C, S, S) to photos (B, 3, S, S); at least one layer drops out.
        samples: K, at least 1.
        seed: of the masks.
        example: (B, C, S, S), an input of the generator; the masks fit no other size.

    Raises:
        ValueError: when nothing drops out, so that all photos would be the same.
    """

    def __init__(self, generator: nn.Module, samples: int, seed: int, example: Tensor) -> None:
        super().__init__()
        self.generator = deepcopy(generator).cpu().eval()
        self._samples = samples
        self._fixed = _with_fixed_masks(self.generator, samples, seed, example)
        if not self._fixed:
            raise ValueError(f"{samples} samples need a generator that drops out, and this one does not")

    def forward(self, sketches: Tensor) -> Tensor:
        """(B, C, S, S) in [0, 1] -> (B, K, 3, S, S) in [0, 1]."""
        photos = []
        for number in range(self._samples):
            for layer in self._fixed:
                layer.chosen = number
            photos.append(self.generator(sketches))
        return torch.stack(photos, dim=1)


def _with_fixed_masks(generator: nn.Module, samples: int, seed: int, example: Tensor) -> list[FixedDropout]:
    """Puts masks in place of every dropout that takes part; a photo of the example tells their shapes."""
    shapes: dict[nn.Module, torch.Size] = {}
    dropping = {name: layer for name, layer in generator.named_modules() if isinstance(layer, nn.Dropout) and layer.p}
    hooks = [
        layer.register_forward_hook(lambda layer, _, made: shapes.update({layer: made.shape[1:]}))
        for layer in dropping.values()
    ]
    with torch.no_grad():
        generator(example[:1])
    for hook in hooks:
        hook.remove()
    random, fixed = torch.Generator().manual_seed(seed), []
    for name, layer in dropping.items():
        kept = torch.rand((samples, *shapes[layer]), generator=random) >= layer.p
        fixed.append(FixedDropout(kept.float() / (1 - layer.p)))
        parent, _, own = name.rpartition(".")
        setattr(generator.get_submodule(parent), own, fixed[-1])
    return fixed
