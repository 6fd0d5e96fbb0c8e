"""What every retriever can do, in this process or over HTTP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from croquis.arrays import Vectors
from croquis.catalog.filters import Filters
from croquis.search.answer import Hit
from croquis.search.pictures import Picture
from croquis.search.query import Combine, GroupBy, Mode


class RetrieverError(ValueError):
    """A source from which no retriever can be opened, or what a retriever cannot do; the message names the fix."""


@runtime_checkable
class Searches(Protocol):
    """Ranks gallery images for photos, sketches and words; may be used by several threads at once."""

    def search(
        self,
        picture: Picture | Sequence[Picture] | None = None,
        k: int = 10,
        mode: Mode = "photo",
        filters: Filters | Mapping[str, Any] | None = None,
        rerank: bool | None = None,
        bbox: Sequence[int] | None = None,
        *,
        group_by: GroupBy = "none",
        max_per_item: int = 1,
        combine: Combine = "max",
        text: str | None = None,
        colour: str | None = None,
    ) -> list[Hit]:
        """The `k` best gallery images or products, best first; fewer when fewer pass the filters.

        Args:
            picture: the path or the bytes of a JPEG, PNG, WEBP, BMP or GIF file, a Pillow image, or uint8 (H, W, 3) RGB; or
                a list of 1 to 10 of them that show the same product. None where `text` asks alone.
            k: 1 to 1000; of a server, 1 to its own limit, 100 by default.
            mode: `photo`; `sketch` (the generator paints a photo of it first); `sketch-direct` (no generator).
            filters: which gallery images may be found, e.g. `{"category": ["dress"], "colour": ["red"]}`.
            rerank: re-order the head of the list by the bundle's `rerank.steps`; None for the bundle's own setting.
            bbox: x1, y1, x2, y2 of the garment in pixels of the upright picture; None for the whole. For one picture.
            group_by: `none` for images; `item` for products, which `k` counts then: each stands where its best photo does.
            max_per_item: 1 to 10 photos of each product, which then stand together.
            combine: of several pictures, `max`: each image has the score by the picture that it is most like; `mean`: the
                search is for the centre of their vectors.
            text: words, at most 20 and 200 characters, that are looked for in category, attributes and texts of the product,
                and in what the classifier sees (`croquis.words`). Beside a picture both rankings are fused
                (`croquis.search.fusion`). An image needs some of the words; with more and rarer ones it comes first. Where
                the bundle has a text tower, its ranking of all images is fused with that.
            colour: in which the generator paints the garment that is drawn, in the mode `sketch`: `#rrggbb`, a word of the
                catalogue's colours, or a colour name of CSS. For bundles whose generator takes one.

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
