"""From pictures to vectors, photos and labels: a bundle's nets with their preprocessing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from croquis.arrays import Uint8Image, Vectors
from croquis.bundle import Bundle
from croquis.catalog.drawings import crop_to_ink
from croquis.catalog.filters import QueryError
from croquis.catalog.images import Batch, from_batch, prepare_image, to_batch
from croquis.nets.classifier import AttributeClassifier
from croquis.rerank.evidence import QueryEvidence

AT_A_TIME = 32  # images in one run of a net: bounds the memory, and more are no faster on a CPU


class Nets:
    """Encoder, generator and classifier of a bundle; safe to use from several threads."""

    def __init__(self, bundle: Bundle) -> None:
        self.size = bundle.manifest.preprocess.size
        self.has_generator = bundle.manifest.generator is not None
        self.has_classifier = bundle.manifest.classifier is not None
        self._bundle = bundle

    def encode(self, images: Sequence[Uint8Image]) -> Vectors:
        """Vectors of pictures of any size, uint8 (H, W, 3) each: (B, D) float32; B may be 0."""
        encoder = self._bundle.encoder
        parts = [encoder.encode(batch) for batch in _batches(images, self.size)]
        return np.concatenate(parts) if parts else np.empty((0, encoder.dim), dtype=np.float32)

    def generate(self, sketches: Sequence[Uint8Image]) -> list[Uint8Image]:
        """The photo that the generator paints for each sketch (dark lines on white): uint8 (s, s, 3) each.

        A sketch is looked at inside the box of its lines, as the generator learnt it.

        Raises:
            QueryError: when the bundle has no generator.
        """
        generator = self._bundle.generator
        if generator is None:
            raise QueryError("mode", "sketch", "needs a sketch generator, which this bundle lacks; use sketch-direct")
        inside = [crop_to_ink(sketch) for sketch in sketches]
        return [photo for batch in _batches(inside, generator.size) for photo in from_batch(generator.generate(batch))]

    @property
    def classifier(self) -> AttributeClassifier:
        """The bundle's.

        Raises:
            QueryError: when it has none.
        """
        classifier = self._bundle.classifier
        if classifier is None:
            raise QueryError("rerank", True, "needs an attribute classifier, which this bundle lacks")
        return classifier

    def probabilities(self, images: Sequence[Uint8Image]) -> npt.NDArray[np.float32]:
        """How likely each picture has each attribute of the classifier, (B, A).

        Raises:
            QueryError: when the bundle has no classifier.
        """
        classifier = self.classifier
        parts = [classifier.probabilities(batch) for batch in _batches(images, classifier.size)]
        return np.concatenate(parts) if parts else np.empty((0, len(classifier.attributes)), dtype=np.float32)

    def asked(self, pictures: Sequence[Uint8Image], vectors: Vectors) -> QueryEvidence:
        """What a re-ranking may know of queries: their vectors, and what the classifier sees when somebody wants it."""
        if not self.has_classifier:
            return QueryEvidence(vectors)
        return QueryEvidence(vectors, lambda: self.probabilities(pictures), lambda found: self.classifier.decide(found))


def prepared(images: Sequence[Uint8Image], size: int) -> Batch:
    """Images of any size, uint8 (H, W, 3) each, as one input of a net, float32 (B, 3, size, size)."""
    return to_batch([prepare_image(image, size) for image in images])


def _batches(images: Sequence[Uint8Image], size: int) -> Iterator[Batch]:
    for start in range(0, len(images), AT_A_TIME):
        yield prepared(images[start : start + AT_A_TIME], size)
