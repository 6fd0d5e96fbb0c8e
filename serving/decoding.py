"""From the bytes of a request to pixels, within limits, and with bounded memory however many workers decode."""

from __future__ import annotations

import threading

from retrieval.images import DecodeLimits, ImageError, OversizedImageError, Uint8Image, crop, decode_image
from serving.problems import Problem
from serving.search_request import SearchRequest
from serving.settings import Limits

SMALL_PIXELS = 2_000_000  # some 60 MB while it is decoded


class Decoder:
    """Decodes small pictures at once and large ones one after another; safe to use from several threads.

    Args:
        limits: of what is accepted at all.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits.decode
        self._small = DecodeLimits(limits.image_bytes, min(limits.pixels, SMALL_PIXELS))
        self._large = threading.Lock()

    def query(self, asked: SearchRequest) -> Uint8Image:
        """The picture inside its crop box, uint8 (H, W, 3).

        Raises:
            ImageError: when the file is no picture that we accept.
            Problem: when the crop box holds no pixel of it.
        """
        image = self._decode(asked.image)
        try:
            return crop(image, asked.bbox)
        except ImageError as error:
            limit = "x1 < x2 and y1 < y2, in pixels of the upright picture"
            raise Problem(422, "invalid-field", str(error), field="crop", limit=limit) from None

    def _decode(self, data: bytes) -> Uint8Image:
        try:
            return decode_image(data, self._small)  # looks at the header first
        except OversizedImageError:
            with self._large:
                return decode_image(data, self._limits)
