"""What a search gives back: the results, what was looked at on the way, and how long each step took."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from typing import Any

from croquis.arrays import Uint8Image
from croquis.catalog.product_columns import Columns


@dataclass(frozen=True)
class Hit:
    """One result.

    Attributes:
        rank: from 1.
        image_id, item_id, category, attributes: of the gallery image, from the catalogue.
        score: of the first search, also after re-ranking; higher is better (see `VectorIndex.metric`; for words
            `croquis.words.word_scores`, for words beside a picture `croquis.search.fusion`).
        shared_attributes: those of `attributes` that the classifier sees in the query; none when it did not look.
        product: the product's own columns, such as title, price and link.
    """

    rank: int
    image_id: str
    item_id: str
    category: str
    attributes: tuple[str, ...]
    score: float
    shared_attributes: tuple[str, ...]
    product: Columns = field(default_factory=dict, hash=False)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        values = asdict(self)
        return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}


@dataclass(frozen=True)
class Answer:
    """Everything that one query brought about.

    Attributes:
        hits: best first.
        picture: what was encoded, uint8 (H, W, 3): the query inside its crop box, or the photo painted from a sketch,
            of several the first; None for a query of words alone.
        attributes: those that the classifier sees in `picture`, or in several photos painted of a sketch on average; None
            when it was not requested.
        seconds: `decode`, `encode` (the generator included), `search`, and `rerank` (the classifier included).
    """

    hits: list[Hit]
    picture: Uint8Image | None
    attributes: frozenset[str] | None
    seconds: dict[str, float]


class Stopwatch:
    """Lap times in seconds by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._since = time.perf_counter()

    def lap(self, step: str) -> None:
        """Adds the time since the last lap, or since the start, to `step`."""
        now = time.perf_counter()
        self.seconds[step] = self.seconds.get(step, 0.0) + now - self._since
        self._since = now
