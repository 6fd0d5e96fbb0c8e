"""From photos to attribute labels: the exported multi-label classifier."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from retrieval.description import parse_description
from retrieval.files import read_json
from retrieval.images import Batch
from retrieval.onnx_session import ModelError, OnnxGraph


@dataclass(frozen=True)
class ClassifierDescription:
    """models/attributes/classifier.json; `thresholds` are probabilities, one for each of `attributes`."""

    file: str
    size: int
    attributes: tuple[str, ...]
    thresholds: tuple[float, ...]


def describe_classifier(folder: str | Path) -> ClassifierDescription:
    """Reads and checks `folder`/classifier.json.

    Raises:
        ModelError: naming the key that is missing, unknown or of the wrong type.
    """
    source = Path(folder) / "classifier.json"
    if not source.is_file():
        raise ModelError(f"{source} does not exist; run the stage that writes it (dvc repro train_classifier)")
    return parse_description(ClassifierDescription, read_json(source), str(source), ModelError)


class AttributeClassifier:
    """Predicts which attributes hold: input `images`, output `probabilities` (B, A).

    Args:
        folder: holds the graph, and classifier.json unless `described` is given.

    Raises:
        ModelError: when the description or the graph is wrong, or thresholds and attributes differ in number.
    """

    def __init__(self, folder: str | Path, threads: int = 1, described: ClassifierDescription | None = None) -> None:
        self.described = described or describe_classifier(folder)
        self.size = self.described.size
        self.attributes = self.described.attributes
        self.thresholds = np.asarray(self.described.thresholds, dtype=np.float32)
        if len(self.thresholds) != len(self.attributes):
            raise ModelError(f"{len(self.thresholds)} thresholds for {len(self.attributes)} attributes")
        path = Path(folder) / self.described.file
        self._graph = OnnxGraph(path, input_name="images", output_name="probabilities", size=self.size, threads=threads)

    def probabilities(self, images: Batch) -> npt.NDArray[np.float32]:
        """Maps float32 (B, 3, size, size) in [0, 1] to probabilities, float32 (B, A) in the order of `attributes`."""
        output = self._graph.run(images)
        if output.shape != (len(images), len(self.attributes)):
            raise ModelError(f"the classifier gave {output.shape}, expected {(len(images), len(self.attributes))}")
        return output

    def predict(self, images: Batch) -> list[frozenset[str]]:
        """The attributes of each image whose probability reaches its threshold."""
        holds = self.probabilities(images) >= self.thresholds
        return [frozenset(self.attributes[column] for column in np.flatnonzero(row)) for row in holds]
