"""From pictures to vectors, photos and labels: a bundle's nets with their preprocessing."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from croquis.arrays import Uint8Image, Vectors
from croquis.bundle import Bundle
from croquis.catalog.drawings import crop_to_ink
from croquis.catalog.filters import QueryError
from croquis.catalog.images import Batch, from_batch, prepare_image, to_batch
from croquis.nets.classifier import AttributeClassifier
from croquis.nets.colours import Rgb, read_colour
from croquis.nets.encoder import encode_drawings, encode_painted
from croquis.nets.generator import Generator, with_colours
from croquis.nets.line_encoder import LineEncoder
from croquis.nets.text_encoder import NO_TOKENIZERS, has_tokenizers
from croquis.rerank.evidence import QueryEvidence
from croquis.search.query import Mode

AT_A_TIME = 32  # images in one run of a net: bounds the memory, and more are no faster on a CPU


logger = logging.getLogger(__name__)

NetRun = Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]]
"""One run of a net: (B, ...) to (B, ...), row for row."""


class Nets:
    """Encoder, text tower, generator and classifier of a bundle, opened when first needed; safe to use from several threads.

    Where the package `tokenizers` is missing, a bundle's text tower is not used, which one line of the log says.

    Pictures come as `croquis.catalog.images.decode_inside` gives them with the bundle's `draft`.

    Attributes:
        samples: photos that the generator paints of each sketch.

    Args:
        bundle: whose they are.
        join: from the run of a net to what is called in its place, e.g. one that joins the calls of several threads.
    """

    def __init__(self, bundle: Bundle, join: Callable[[NetRun], NetRun] = lambda run: run) -> None:
        self.bundle = bundle
        self.size = bundle.manifest.preprocess.size
        self.draft = bundle.manifest.preprocess.draft or 0
        painter = bundle.manifest.generator
        self.has_generator = painter is not None
        self.samples = (painter.samples if painter else None) or 1
        self.has_classifier = bundle.manifest.classifier is not None
        towered = bundle.manifest.encoder.text is not None
        self.has_text_tower = towered and has_tokenizers()
        if towered and not self.has_text_tower:
            logger.warning("%s: words are searched without its text tower, as %s", bundle.folder, NO_TOKENIZERS)
        self._encode = join(lambda batch: bundle.encoder.encode(batch))
        encoder = bundle.manifest.encoder
        apart = encoder.kind == LineEncoder.kind or encoder.straight is not None
        self._encode_drawn = join(lambda batch: encode_drawings(bundle.encoder, batch)) if apart else self._encode
        apart = encoder.painted is not None
        self._encode_painted = join(lambda batch: encode_painted(bundle.encoder, batch)) if apart else self._encode
        self._paint = join(lambda batch: self.generator.paint(batch))
        self._probabilities = join(lambda batch: self.classifier.probabilities(batch))

    def encode(self, images: Sequence[Uint8Image]) -> Vectors:
        """Vectors of pictures of any size, uint8 (H, W, 3) each: (B, D) float32; B may be 0."""
        return self._vectors(self._encode, images)

    def encode_words(self, text: str) -> Vectors:
        """The vector of a query of words, (1, D) float32, among those of `encode`.

        Raises:
            QueryError: when the bundle has no text tower.
        """
        encoder = self.bundle.text_encoder
        if encoder is None:
            raise QueryError("text", text, "needs a text tower, which this bundle lacks")
        return encoder.encode([text])

    def encode_drawings(self, images: Sequence[Uint8Image]) -> Vectors:
        """`encode` of line drawings, dark on white: as lines where the encoder is one of lines or has a map for
        them, else as photos."""
        return self._vectors(self._encode_drawn, images)

    def encode_painted(self, images: Sequence[Uint8Image]) -> Vectors:
        """`encode` of what `generate` gave: by the map of painted photos where the bundle has one, else as photos."""
        return self._vectors(self._encode_painted, images)

    def _vectors(self, run: NetRun, images: Sequence[Uint8Image]) -> Vectors:
        parts = [run(batch) for batch in _batches(images, self.size)]
        return np.concatenate(parts) if parts else np.empty((0, self.bundle.encoder.dim), dtype=np.float32)

    def generate(self, sketches: Sequence[Uint8Image], colour: Rgb | None = None) -> list[Uint8Image]:
        """The photos that the generator paints for each sketch (dark lines on white), `samples` of them one after the other:
        uint8 (s, s, 3) each.

        A sketch is looked at inside the box of its lines, as the generator learnt it. All are painted in `colour`, which
        `read_colour` gives; without one the generator chooses.

        Raises:
            QueryError: when the bundle has no generator.
        """
        size = self.generator.size
        inside = [crop_to_ink(sketch) for sketch in sketches]
        batches = _batches(inside, size)
        if self.generator.takes_colour:  # also without one: calls of several threads are joined
            batches = (with_colours(batch, [colour] * len(batch)) for batch in batches)
        painted = (photos for batch in batches for photos in self._paint(batch))
        return [photo for photos in painted for photo in from_batch(photos)]

    @property
    def colours(self) -> dict[str, str] | None:
        """Words for what the generator may be asked to paint in, each with its `#rrggbb`; None where it takes no colour."""
        described = self.bundle.manifest.generator
        return None if described is None else described.colours

    def read_colour(self, asked: str) -> Rgb:
        """The colour that is asked for, `#rrggbb` or a word.

        Raises:
            QueryError: when the bundle's generator takes none, or the word is unknown.
        """
        if self.colours is None:
            raise QueryError("colour", asked, "needs a sketch generator that takes a colour, which this bundle lacks")
        return read_colour(asked, self.colours)

    def mode_of(self, domain: str) -> Mode:
        """How a user's query of a domain is searched: a sketch by way of the generator where there is one."""
        if domain != "sketch":
            return "photo"
        return "sketch" if self.has_generator else "sketch-direct"

    @property
    def generator(self) -> Generator:
        """The bundle's.

        Raises:
            QueryError: when it has none.
        """
        generator = self.bundle.generator
        if generator is None:
            raise QueryError("mode", "sketch", "needs a sketch generator, which this bundle lacks; use sketch-direct")
        return generator

    @property
    def classifier(self) -> AttributeClassifier:
        """The bundle's.

        Raises:
            QueryError: when it has none.
        """
        classifier = self.bundle.classifier
        if classifier is None:
            raise QueryError("rerank", True, "needs an attribute classifier, which this bundle lacks")
        return classifier

    def probabilities(self, images: Sequence[Uint8Image]) -> npt.NDArray[np.float32]:
        """How likely each picture has each attribute of the classifier, (B, A).

        Raises:
            QueryError: when the bundle has no classifier.
        """
        classifier = self.classifier
        parts = [self._probabilities(batch) for batch in _batches(images, classifier.size)]
        return np.concatenate(parts) if parts else np.empty((0, len(classifier.attributes)), dtype=np.float32)

    def asked(self, pictures: Sequence[Uint8Image], vectors: Vectors) -> QueryEvidence:
        """What re-ranking uses of queries: vectors, and the classifier's probabilities, computed on first use."""
        if not self.has_classifier:
            return QueryEvidence(vectors)
        return QueryEvidence(vectors, lambda: self.probabilities(pictures), lambda found: self.classifier.decide(found))


def prepared(images: Sequence[Uint8Image], size: int) -> Batch:
    """Images of any size, uint8 (H, W, 3) each, as one input of a net, float32 (B, 3, size, size)."""
    return to_batch([prepare_image(image, size) for image in images])


def _batches(images: Sequence[Uint8Image], size: int) -> Iterator[Batch]:
    for start in range(0, len(images), AT_A_TIME):
        yield prepared(images[start : start + AT_A_TIME], size)
