"""From photos to attribute labels: the exported multi-label classifier.

The graph's probabilities are calibrated: of the photos that get 0.7 for an attribute, about seven in ten have it. An
attribute is decided where its probability reaches its threshold; of an exclusive group (`sleeve:short`, `sleeve:long`,
...) only the likeliest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from croquis.catalog.images import Batch
from croquis.nets.session import DescribedNet, ModelError


@dataclass(frozen=True)
class ClassifierDescription:
    """models/attributes/classifier.json.

    Attributes:
        file: the graph.
        size: side of the images, pixels.
        attributes: names, in the order of the graph's output; those of a group are named `GROUP:VALUE`.
        thresholds: probabilities, one for each of `attributes`.
        exclusive: groups of which an image has one value at most.
    """

    file: str
    size: int
    attributes: tuple[str, ...]
    thresholds: tuple[float, ...]
    exclusive: tuple[str, ...]


class AttributeClassifier(DescribedNet[ClassifierDescription]):
    """Predicts which attributes hold: input `images`, output `probabilities` (B, A).

    Raises:
        ModelError: also when thresholds and attributes differ in number.
    """

    kind = ClassifierDescription
    filename = "classifier.json"
    stage = "train_classifier"
    input_name, output_name = "images", "probabilities"

    def __init__(self, folder: str | Path, threads: int = 1, described: ClassifierDescription | None = None) -> None:
        super().__init__(folder, threads, described)
        self.attributes = self.described.attributes
        self.thresholds = np.asarray(self.described.thresholds, dtype=np.float32)
        if len(self.thresholds) != len(self.attributes):
            raise ModelError(f"{len(self.thresholds)} thresholds for {len(self.attributes)} attributes")
        self._groups = [group_columns(self.attributes, group) for group in self.described.exclusive]

    def probabilities(self, images: Batch) -> npt.NDArray[np.float32]:
        """Maps float32 (B, 3, size, size) in [0, 1] to probabilities, float32 (B, A) in the order of `attributes`."""
        output = self._graph.run(images)
        if output.shape != (len(images), len(self.attributes)):
            raise ModelError(f"the classifier gave {output.shape}, expected {(len(images), len(self.attributes))}")
        return output

    def decide(self, probabilities: npt.NDArray[np.float32]) -> list[frozenset[str]]:
        """The attributes that hold for each row of probabilities (B, A)."""
        holds = self.holds(probabilities)
        return [frozenset(self.attributes[column] for column in np.flatnonzero(row)) for row in holds]

    def holds(self, probabilities: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
        """As `decide`, (B, A)."""
        return decided(probabilities, self.thresholds, self._groups)


def group_columns(attributes: Sequence[str], group: str) -> npt.NDArray[np.int64]:
    """Places of the attributes named `GROUP:...`."""
    return np.array([place for place, name in enumerate(attributes) if name.startswith(f"{group}:")], dtype=np.int64)


def decided(
    probabilities: npt.NDArray[np.float32],
    thresholds: npt.NDArray[np.floating],
    groups: Sequence[npt.NDArray[np.int64]],
) -> npt.NDArray[np.bool_]:
    """Which attributes hold, (B, A): those that reach their threshold, and of the columns of a group the likeliest only."""
    holds = np.asarray(probabilities >= thresholds, dtype=np.bool_)
    for columns in groups:
        reached = np.where(holds[:, columns], probabilities[:, columns], -np.inf)
        best = reached == reached.max(axis=1, keepdims=True)
        first = best & (np.cumsum(best, axis=1) == 1)
        holds[:, columns] &= first
    return holds
