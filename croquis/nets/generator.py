"""From sketches to photos: the exported pix2pix generator."""

from __future__ import annotations

from dataclasses import dataclass

from croquis.catalog.images import Batch
from croquis.nets.session import DescribedNet, ModelError


@dataclass(frozen=True)
class GeneratorDescription:
    """models/sketch_gan/generator.json."""

    file: str
    size: int


class Generator(DescribedNet[GeneratorDescription]):
    """Paints a photo for each sketch: input `sketches`, output `photos`."""

    kind = GeneratorDescription
    filename = "generator.json"
    stage = "train_gan"
    input_name, output_name = "sketches", "photos"

    def generate(self, sketches: Batch) -> Batch:
        """Maps float32 (B, 3, size, size) in [0, 1], dark lines on white, to photos of the same shape and range."""
        photos = self._graph.run(sketches)
        if photos.shape != sketches.shape:
            raise ModelError(f"the generator gave {photos.shape} for {sketches.shape}")
        return photos.clip(0.0, 1.0)
