"""From sketches to photos: the exported pix2pix generator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from croquis.catalog.images import Batch
from croquis.nets.colours import Rgb
from croquis.nets.session import DescribedNet, ModelError

MOST_SAMPLES = 16  # photos of one sketch
COLOUR_PLANES = 4  # red, green, blue, and whether they were given


@dataclass(frozen=True)
class GeneratorDescription:
    """models/sketch_gan/generator.json, and the manifest's block.

    Attributes:
        samples: the photos that it paints of each sketch; left out where it is one.
        colours: the catalogue's words for colours, each with the `#rrggbb` that the generator has learned it by, where it
            takes a colour beside the sketch; left out where it takes none.
    """

    file: str
    size: int
    samples: int | None = None
    colours: dict[str, str] | None = None


class Generator(DescribedNet[GeneratorDescription]):
    """Paints a photo for each sketch, or `samples` of them: input `sketches`, output `photos`, (B, 3, size, size) or, of
    several, (B, samples, 3, size, size)."""

    kind = GeneratorDescription
    filename = "generator.json"
    stage = "train_gan"
    input_name, output_name = "sketches", "photos"

    def __init__(self, folder: str | Path, threads: int = 1, described: GeneratorDescription | None = None) -> None:
        super().__init__(folder, threads, described)
        stated = self._graph.output_shape
        if self.samples > 1 and stated[1:2] != [self.samples]:
            raise ModelError(
                f"{self._graph.path} gives photos {stated}, its description says {self.samples} of each sketch"
            )
        taken = [length for length in self._graph.input_shape[1:2] if isinstance(length, int)]
        if taken not in ([], [self.channels]):
            raise ModelError(f"{self._graph.path} takes {taken[0]} channels, its description says {self.channels}")

    @property
    def samples(self) -> int:
        """Photos of each sketch."""
        return self.described.samples or 1

    @property
    def channels(self) -> int:
        """Of its input: those of the sketch, and the planes of a colour where it takes one."""
        return 3 + COLOUR_PLANES if self.takes_colour else 3

    @property
    def takes_colour(self) -> bool:
        """Whether it paints in a colour that is given."""
        return self.described.colours is not None

    def paint(self, sketches: Batch) -> Batch:
        """Maps float32 (B, 3, size, size) in [0, 1], dark lines on white, to photos (B, samples, 3, size, size) in [0, 1].

        A generator that takes a colour also maps what `with_colours` gives, (B, 7, size, size).

        Raises:
            ModelError: when the graph gives another shape.
        """
        drawn = sketches[:, :3]
        bare = self.takes_colour and sketches.shape[1] == 3
        photos = self._graph.run(with_colours(sketches, [None] * len(sketches)) if bare else sketches)
        several = () if self.samples == 1 else (self.samples,)
        if photos.shape != (expected := (len(drawn), *several, *drawn.shape[1:])):
            raise ModelError(f"the generator gave {photos.shape} for {drawn.shape}, expected {expected}")
        return photos.clip(0.0, 1.0).reshape(len(drawn), self.samples, *drawn.shape[1:])

    def generate(self, sketches: Batch) -> Batch:
        """`paint` in one row, (B * samples, 3, size, size): the photos of a sketch stand one after the other."""
        photos = self.paint(sketches)
        return photos.reshape(-1, *photos.shape[2:])


def colour_rows(colours: Sequence[Rgb | None]) -> npt.NDArray[np.float32]:
    """Colours as a generator takes them, (B, 4) in [0, 1]: red, green, blue and 1; the middle of all and 0 where there is
    none."""
    rows = [(0.5, 0.5, 0.5, 0.0) if each is None else (*(value / 255 for value in each), 1.0) for each in colours]
    return np.asarray(rows, dtype=np.float32).reshape(-1, COLOUR_PLANES)


def with_colours(sketches: Batch, colours: Sequence[Rgb | None]) -> Batch:
    """Sketches (B, 3, S, S) with a colour, or None, for each: (B, 7, S, S), the planes behind the sketch constant over it.

    A condition that belongs to the whole picture is laid out as constant planes beside the input, as StarGAN does with its
    labels (Choi et al., CVPR 2018) and BicycleGAN with its code (Zhu et al., NeurIPS 2017): every patch sees it, and the net
    needs no other layer. The plane that tells whether a colour was given is that of Zhang et al. 2017 (Real-time user-guided
    image colorization), without which grey and "none" would be one.
    """
    rows = colour_rows(colours)[:, :, None, None]
    planes = np.broadcast_to(rows, (len(sketches), COLOUR_PLANES, *sketches.shape[2:]))
    return np.concatenate([sketches, planes], axis=1)
