"""What every retriever can do, in this process or over HTTP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from croquis.arrays import Vectors
from croquis.catalog.filters import Filters
from croquis.search.answer import Hit
from croquis.search.pictures import Picture
from croquis.search.query import Mode


class RetrieverError(ValueError):
    """A source from which no retriever can be opened, or what a retriever cannot do; the message names the fix."""


@runtime_checkable
class Searches(Protocol):
    """Ranks gallery images for photos and sketches; may be used by several threads at once."""

    def search(
        self,
        picture: Picture,
        k: int = 10,
        mode: Mode = "photo",
        filters: Filters | Mapping[str, Any] | None = None,
        rerank: bool | None = None,
        bbox: Sequence[int] | None = None,
    ) -> list[Hit]:
        """The `k` best gallery images, best first; fewer when fewer pass the filters.

        Args:
            picture: the path or the bytes of a JPEG, PNG, WEBP, BMP or GIF file, a Pillow image, or uint8 (H, W, 3) RGB.
            k: 1 to 1000; of a server, 1 to its own limit, 100 by default.
            mode: `photo`; `sketch` (the generator paints a photo of it first); `sketch-direct` (no generator).
            filters: which gallery images may be found, e.g. `{"category": ["dress"], "colour": ["red"]}`.
            rerank: re-order the head of the list by the bundle's `rerank.steps`; None for the bundle's own setting.
            bbox: x1, y1, x2, y2 of the garment in pixels of the upright picture; None for the whole.

        Raises:
            QueryError: naming the field, its value and what is allowed.
            ImageError: when the picture cannot be read, or is over a limit.
        """
        ...

    def embed(self, pictures: Sequence[Picture]) -> Vectors:
        """Vectors (n, D) float32 of n pictures, comparable with those of the bundle's index.

        Raises:
            RetrieverError: of a server, which gives no vectors.
            QueryError, ImageError: as in `search`.
        """
        ...
