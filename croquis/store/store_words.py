"""How many of a store's images have each word: what can be filtered by, and how rare an attribute is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from croquis.rerank.overlap import LEVELS, AttributeCounts
from croquis.store.vector_store import StoredImage


@dataclass
class StoreWords:
    """Counts of images; words that no image has are left out.

    Attributes:
        images: all of them.
        category, attributes: as their products have them.
        predicted: attributes that the classifier decided on.
    """

    images: int = 0
    category: Counter[str] = field(default_factory=Counter)
    attributes: Counter[str] = field(default_factory=Counter)
    predicted: Counter[str] = field(default_factory=Counter)
    _undoubted: Counter[str] = field(default_factory=Counter)  # decisions on images whose probabilities are not kept
    _likely: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))  # sums of their bytes

    def changed(self, added: Sequence[StoredImage], removed: Sequence[StoredImage] = ()) -> StoreWords:
        """The counts after images came and went."""
        parts = (Counter(self.category), Counter(self.attributes), Counter(self.predicted), Counter(self._undoubted))
        made = StoreWords(self.images + len(added) - len(removed), *parts, self._likely)
        for image in added:
            made._count(image, 1)
        for image in removed:
            made._count(image, -1)
        for counter in parts:
            for word in [word for word, count in counter.items() if not count]:
                del counter[word]
        return made

    def of_attributes(self, source: str, names: Sequence[str]) -> AttributeCounts:
        """How many images have each attribute.

        Args:
            source: `predicted` or `catalogue`, as `rerank.gallery_attributes`.
            names: of the classifier, in the order of its output.
        """
        if source != "predicted":
            return AttributeCounts(self.images, self.attributes, self.attributes)
        likely = dict(zip(names, self._likely.tolist(), strict=False))
        bytes_of = {name: likely.get(name, 0) + LEVELS * self._undoubted[name] for name in names}
        expected = {name: held * (1.0 / LEVELS) for name, held in bytes_of.items()}
        return AttributeCounts(self.images, self.predicted, expected)

    def _count(self, image: StoredImage, sign: int) -> None:
        self.category[image.category] += sign
        for counter, words in ((self.attributes, image.attributes), (self.predicted, image.predicted)):
            for word in set(words):
                counter[word] += sign
        if image.probabilities is None:
            for word in set(image.predicted):
                self._undoubted[word] += sign
            return
        held = np.frombuffer(image.probabilities, dtype=np.uint8).astype(np.int64)
        self._likely = sign * held + (self._likely if len(self._likely) else np.zeros_like(held))
