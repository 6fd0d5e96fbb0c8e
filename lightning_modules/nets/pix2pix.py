"""pix2pix: a conditional GAN that turns a sketch into a photo.

Source: Isola et al., "Image-to-image translation with conditional adversarial networks" (CVPR 2017); Jo et al. 2018 put it
before their Image2Vec encoder to search with sketches.

  G* = arg min_G max_D  E[log D(s, p)] + E[log(1 - D(s, G(s)))] + lambda * E|p - G(s)|_1

U-Net generator with skip connections whose dropout is the only noise; PatchGAN discriminator on the sketch and the photo
side by side; the discriminator's loss is halved. Images are in [-1, 1] inside, [0, 1] outside.

Deviations from the paper and its official code: dropout is off when the generator is exported, or its masks are fixed
(`train_gan.samples`, `lightning_modules/sketch_gan/sampled_generator.py`), so that a query always gives the same answer;
and the generator normalises each image by itself (Ulyanov et al. 2016), which is what the paper's batch normalisation comes
to in its batches of one (statistics gathered over batches do not fit a net without its dropout: photos of val came out
grey). A batch is flipped as a whole, which differs only in batches of more than one. The exported epoch is chosen on val,
`train_gan.choose_by`; the official code keeps the last one. By default the learning rate is constant and pairs are not
jittered; the official code's schedule and jitter are `constant_share: 0.5` and `load_scale: 1.117`, as the presets have
them.

With `train_gan.colour` the condition is the sketch and the garment's colour, as planes (`croquis.nets.generator`). The
discriminator sees all of it, as in Mirza and Osindero 2014: one that saw the sketch alone would take any plausible colour
for real, and only L1 would make the generator obey.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from croquis.nets.generator import COLOUR_PLANES
from croquis.params.training_blocks import TrainGan

LEAK = 0.2


def instance_norm(channels: int) -> nn.Module:
    """Normalises each channel of each image, with a learned scale and shift."""
    return nn.InstanceNorm2d(channels, affine=True)


class Down(nn.Sequential):
    """Convolution of stride 2; (B, C, h, w) -> (B, C', h/2, w/2)."""

    def __init__(self, inputs: int, outputs: int, normalise: bool) -> None:
        layers: list[nn.Module] = [nn.LeakyReLU(LEAK), nn.Conv2d(inputs, outputs, 4, 2, 1, bias=not normalise)]
        super().__init__(*layers, *([instance_norm(outputs)] if normalise else []))


class Up(nn.Sequential):
    """Transposed convolution of stride 2; (B, C, h, w) -> (B, C', 2h, 2w)."""

    def __init__(
        self, inputs: int, outputs: int, dropout: float, norm: Callable[[int], nn.Module] = nn.BatchNorm2d
    ) -> None:
        layers: list[nn.Module] = [nn.ReLU(), nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=False)]
        super().__init__(*layers, norm(outputs), *([nn.Dropout(dropout)] if dropout else []))


class UNet(nn.Module):
    """Encoder and decoder of `depth` steps with a skip connection at each size.

    Channels double with each step down to at most 8 times `channels`; the three innermost decoder steps drop out.
    `inputs`: channels of a sketch and what else is given.
    """

    def __init__(self, channels: int, depth: int, dropout: float, inputs: int = 3) -> None:
        super().__init__()
        widths = [channels * min(2**i, 8) for i in range(depth)]
        self.first = nn.Conv2d(inputs, widths[0], 4, 2, 1)
        self.down = nn.ModuleList(Down(widths[i], widths[i + 1], i + 2 < depth) for i in range(depth - 1))
        self.up = nn.ModuleList(
            Up(
                widths[i + 1] * (1 if i + 2 == depth else 2),
                widths[i],
                dropout if depth - 5 < i else 0.0,
                instance_norm,
            )
            for i in reversed(range(depth - 1))
        )
        self.last = nn.Sequential(nn.ReLU(), nn.ConvTranspose2d(widths[0] * 2, 3, 4, 2, 1), nn.Tanh())

    def forward(self, sketches: Tensor) -> Tensor:
        """(B, inputs, S, S) in [-1, 1] -> (B, 3, S, S) in [-1, 1]."""
        skips = [self.first(sketches)]
        for down in self.down:
            skips.append(down(skips[-1]))
        x = skips.pop()
        for up in self.up:
            x = torch.cat([up(x), skips.pop()], dim=1)
        photo: Tensor = self.last(x)
        return photo


class PatchDiscriminator(nn.Sequential):
    """Judges overlapping patches as real or made; (B, inputs, S, S) -> (B, 1, h, w) logits.

    It sees a sketch and a photo side by side (6 channels, 10 with a colour), or an image alone (3).
    """

    def __init__(self, channels: int, layers: int, inputs: int = 6) -> None:
        widths = [channels * min(2**i, 8) for i in range(layers + 1)]
        blocks: list[nn.Module] = [nn.Conv2d(inputs, widths[0], 4, 2, 1), nn.LeakyReLU(LEAK)]
        for i in range(layers):
            stride = 2 if i + 1 < layers else 1
            blocks += [nn.Conv2d(widths[i], widths[i + 1], 4, stride, 1, bias=False), nn.BatchNorm2d(widths[i + 1])]
            blocks.append(nn.LeakyReLU(LEAK))
        super().__init__(*blocks, nn.Conv2d(widths[-1], 1, 4, 1, 1))


class SketchGenerator(nn.Module):
    """The exported generator: sketches in [0, 1], with planes of colours where it takes them -> photos, no dropout."""

    def __init__(self, unet: UNet) -> None:
        super().__init__()
        self.unet = unet

    def forward(self, sketches: Tensor) -> Tensor:
        photos: Tensor = (self.unet(sketches * 2 - 1) + 1) / 2
        return photos


def build_networks(params: TrainGan) -> tuple[UNet, PatchDiscriminator]:
    """Generator and discriminator with weights drawn from N(0, 0.02), as in the paper."""
    given = 3 + (COLOUR_PLANES if params.colour else 0)
    generator = UNet(params.generator_channels, params.steps, params.dropout, given)
    discriminator = PatchDiscriminator(params.discriminator_channels, params.discriminator_layers, given + 3)
    for net in (generator, discriminator):
        net.apply(initialise)
    return generator, discriminator


def initialise(module: nn.Module) -> None:
    """Weights of one layer from N(0, 0.02), those of a norm from N(1, 0.02)."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d | nn.InstanceNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
