"""How well generated photos find the photo that their sketch shows, among the photos of val.

Photos are compared by the cosine of the features that this project's own attribute classifier pools (`frechet`), so that no
retriever has to be trained before the generator. A generator that paints the mean of all photos has a good L1 and finds
nothing; this figure, and the Frechet distance beside it, tell so.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from croquis.arrays import Uint8Image
from lightning_modules.sketch_gan.frechet import ClassifierFeatures, Features, frechet_distance

Rows = npt.NDArray[np.int64]


class ValRetrieval:
    """Judges what a generator makes of the sketches of val.

    Args:
        features: of the classifier.
        photos: the distinct photos of val.
        shown: (N,) which of them each sketch shows, in the order of the sketches.
    """

    def __init__(self, features: ClassifierFeatures, photos: Sequence[Uint8Image], shown: Rows) -> None:
        self._features, self._shown = features, shown
        self._photos = features.of(photos)

    def figures(self, made: Sequence[Uint8Image]) -> dict[str, float]:
        """Of one generated photo for each sketch, or as many for each, those of a sketch in a row.

        `retrieval` is the mean of 1 / rank of the photo that the sketch shows, in (0, 1], and `frechet` the Frechet distance
        to the photos, at least 0.

        Several photos of a sketch are searched together, as the product does it.
        """
        found = self._features.of(made)
        samples = len(found) // len(self._shown)
        asked = found if samples == 1 else _units(found).reshape(-1, samples, found.shape[1]).mean(axis=1)
        figures = {"retrieval": mean_reciprocal_rank(asked, self._photos, self._shown)}
        if min(len(found), len(self._photos)) > 1:
            figures["frechet"] = frechet_distance(found, self._photos)
        return figures


def mean_reciprocal_rank(asked: Features, gallery: Features, right: Rows) -> float:
    """Mean of 1 / rank of the right row by cosine; of equal rows the right one counts as the last.

    Args:
        asked: (N, D).
        gallery: (M, D).
        right: (N,) rows of the gallery.
    """
    cosines = _units(asked) @ _units(gallery).T
    own = np.take_along_axis(cosines, right[:, None], axis=1)
    return float((1 / (cosines >= own - 1e-12).sum(axis=1)).mean())


def _units(features: Features) -> Features:
    """(N, D) of length 1, but for those of length 0."""
    return np.asarray(features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12))
