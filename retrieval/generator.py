"""From sketches to photos: the exported pix2pix generator."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from retrieval.description import parse_description
from retrieval.files import read_json
from retrieval.images import Batch
from retrieval.onnx_session import ModelError, OnnxGraph


@dataclass(frozen=True)
class GeneratorDescription:
    """models/sketch_gan/generator.json."""

    file: str
    size: int


def describe_generator(folder: str | Path) -> GeneratorDescription:
    """Reads and checks `folder`/generator.json.

    Raises:
        ModelError: naming the key that is missing, unknown or of the wrong type.
    """
    source = Path(folder) / "generator.json"
    if not source.is_file():
        raise ModelError(f"{source} does not exist; run the stage that writes it (dvc repro train_gan)")
    return parse_description(GeneratorDescription, read_json(source), str(source), ModelError)


class Generator:
    """Paints a photo for each sketch: input `sketches`, output `photos`.

    Args:
        folder: holds the graph, and generator.json unless `described` is given.

    Raises:
        ModelError: when the description or the graph is wrong.
    """

    def __init__(self, folder: str | Path, threads: int = 1, described: GeneratorDescription | None = None) -> None:
        self.described = described or describe_generator(folder)
        self.size = self.described.size
        path = Path(folder) / self.described.file
        self._graph = OnnxGraph(path, input_name="sketches", output_name="photos", size=self.size, threads=threads)

    def generate(self, sketches: Batch) -> Batch:
        """Maps float32 (B, 3, size, size) in [0, 1], dark lines on white, to photos of the same shape and range."""
        photos = self._graph.run(sketches)
        if photos.shape != sketches.shape:
            raise ModelError(f"the generator gave {photos.shape} for {sketches.shape}")
        return photos.clip(0.0, 1.0)
