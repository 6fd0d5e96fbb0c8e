"""From sketches to photos: the exported pix2pix generator."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from croquis.catalog.images import Batch
from croquis.nets.session import DescribedNet, ModelError

MOST_SAMPLES = 16  # photos of one sketch


@dataclass(frozen=True)
class GeneratorDescription:
    """models/sketch_gan/generator.json, and the manifest's block; `samples` are the photos that it paints of each sketch,
    left out where it is one."""

    file: str
    size: int
    samples: int | None = None


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

    @property
    def samples(self) -> int:
        """Photos of each sketch."""
        return self.described.samples or 1

    def paint(self, sketches: Batch) -> Batch:
        """Maps float32 (B, 3, size, size) in [0, 1], dark lines on white, to photos (B, samples, 3, size, size) in [0, 1].

        Raises:
            ModelError: when the graph gives another shape.
        """
        photos = self._graph.run(sketches)
        several = () if self.samples == 1 else (self.samples,)
        if photos.shape != (expected := (len(sketches), *several, *sketches.shape[1:])):
            raise ModelError(f"the generator gave {photos.shape} for {sketches.shape}, expected {expected}")
        return photos.clip(0.0, 1.0).reshape(len(sketches), self.samples, *sketches.shape[1:])

    def generate(self, sketches: Batch) -> Batch:
        """`paint` in one row, (B * samples, 3, size, size): the photos of a sketch stand one after the other."""
        photos = self.paint(sketches)
        return photos.reshape(-1, *photos.shape[2:])
