"""The colour of the garment in a photo, as a condition of the generator beside the drawing, which has none.

In training it is worked out from the photo, as Zhang et al. 2017 (Real-time user-guided image colorization) simulate a
user's hints from the picture that is to be made. It is left out for a share of the pairs, so that one net learns both the
conditional and the unconditional picture, as in classifier-free guidance (Ho and Salimans 2022).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from croquis.arrays import Rows, Uint8Image
from croquis.catalog.edge_maps import edge_map
from croquis.catalog.prepared_photos import PreparedPhotos
from croquis.catalog.product import COLOUR
from croquis.nets.colours import Rgb, hex_of
from croquis.nets.generator import colour_rows
from croquis.sketching.linework import silhouette

AT_A_TIME = 256  # photos that lie in memory


@dataclass(frozen=True)
class PairColours:
    """Colours of the garments of N pairs.

    Attributes:
        rows: (N, 4) float32 as `colour_rows` gives them.
        words: the catalogue's words for colours, each with the `#rrggbb` that is its garments' median.
    """

    rows: Tensor
    words: Mapping[str, str]

    @classmethod
    def of(cls, photos: PreparedPhotos, shown: Rows, attributes: npt.NDArray[Any]) -> PairColours:
        """The colours of the photos that N pairs show.

        Args:
            shown: (N,) rows of `photos`.
            attributes: of all photos.
        """
        distinct, place = np.unique(shown, return_inverse=True)
        colours = [
            garment_colour(photo)
            for start in range(0, len(distinct), AT_A_TIME)
            for photo in photos.take(distinct[start : start + AT_A_TIME])
        ]
        return cls(torch.from_numpy(colour_rows(colours)[place]), colour_words(attributes[distinct], colours))


def garment_colour(photo: Uint8Image) -> Rgb:
    """The median of each channel over the garment in a square photo (S, S, 3) cropped to it.

    The garment is what the photo's edges enclose; where they stay open, the middle half of each side. Where more than half
    of it is of one colour, the median is of that colour, whatever its pattern and its folds.
    """
    mask = silhouette(edge_map(photo))
    if not mask.any():
        quarter = len(photo) // 4
        mask[quarter : len(photo) - quarter, quarter : len(photo) - quarter] = True
    red, green, blue = np.median(photo[mask], axis=0).round().astype(int).tolist()
    return red, green, blue


def colour_words(attributes: Sequence[Sequence[str]] | npt.NDArray[Any], colours: Sequence[Rgb]) -> dict[str, str]:
    """Each word of the group `colour` with the median of the colours of the photos that have it, in alphabetical order."""
    found: dict[str, list[Rgb]] = {}
    for names, colour in zip(attributes, colours, strict=True):
        for name in names:
            if name.startswith(COLOUR):
                found.setdefault(name.removeprefix(COLOUR), []).append(colour)
    medians = {word: np.median(found[word], axis=0).round().astype(int).tolist() for word in sorted(found)}
    return {word: hex_of((red, green, blue)) for word, (red, green, blue) in medians.items()}


def beside(sketches: Tensor, colours: Tensor | None = None) -> Tensor:
    """Sketches (B, 3, S, S) in [-1, 1] with their colours, (B, 4) in [0, 1], as planes of that range: (B, 7, S, S), which is
    what `with_colours` gives to the exported net; without colours, as sketches of none."""
    rows = none_like(sketches) if colours is None else colours
    planes = (rows * 2 - 1)[:, :, None, None].expand(-1, -1, *sketches.shape[2:])
    return torch.cat([sketches, planes], dim=1)


def some_left_out(colours: Tensor, share: float) -> Tensor:
    """(B, 4) with about `share` of the rows, drawn by torch's generator, as those of no colour."""
    left_out = torch.rand(len(colours)) < share
    return torch.where(left_out.to(colours.device)[:, None], none_like(colours), colours)


def none_like(batch: Tensor) -> Tensor:
    """Rows of no colour for a batch, on its device: (B, 4)."""
    return torch.from_numpy(colour_rows([None])).to(batch.device).expand(len(batch), -1)
