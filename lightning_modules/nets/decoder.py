"""The second half of a generator: an embedding back to an image."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from lightning_modules.nets.pix2pix import Up, initialise

SMALLEST_SIDE = 4


class ImageDecoder(nn.Module):
    """A fully connected layer to a map of at least 4 x 4, then transposed convolutions of stride 2 (Radford et al. 2016).

    Args:
        dim: length of the embedding.
        channels: width of the last map before the image; it doubles with every halving of the side, up to 8 times this.
        size: side of the image, pixels, at least 16. Where it is no multiple of the first map's side, the image is made
            a few pixels larger and cropped.
    """

    def __init__(self, dim: int, channels: int, size: int) -> None:
        super().__init__()
        steps = (size // SMALLEST_SIDE).bit_length() - 1
        widths = [channels * min(2**i, 8) for i in reversed(range(steps))]
        self._size = size
        self._shape = (widths[0], -(-size // 2**steps))
        self.project = nn.Linear(dim, widths[0] * self._shape[1] ** 2)
        self.normalise = nn.BatchNorm2d(widths[0])
        self.up = nn.Sequential(*(Up(a, b, 0.0) for a, b in pairwise(widths)))
        self.last = nn.Sequential(nn.ReLU(), nn.ConvTranspose2d(widths[-1], 3, 4, 2, 1), nn.Sigmoid())
        self.apply(initialise)

    def forward(self, embeddings: Tensor) -> Tensor:
        """(B, dim) -> (B, 3, size, size) in [0, 1]."""
        channels, side = self._shape
        first = self.normalise(self.project(embeddings).view(-1, channels, side, side))
        images: Tensor = self.last(self.up(first))
        return images[..., : self._size, : self._size]
