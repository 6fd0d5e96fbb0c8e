"""The pictures of the page: each is kept once, however often it is shown, and all together stay within a bound."""

from __future__ import annotations

import base64
from collections import defaultdict

import numpy as np

from croquis.arrays import Uint8Image
from croquis.catalog.images import encode_jpeg, prepare_image
from croquis.evaluation.protocol import Pictures

SIZES = ((96, 80), (80, 75), (64, 70), (48, 65), (32, 60))  # side in pixels and quality, the best first


class Thumbnails:
    """Numbers for pictures, which are decoded in the end, each shard of their catalogue once."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[str, str], int] = {}
        self._places: list[tuple[Pictures, int]] = []

    def number(self, source: Pictures, place: int) -> int:
        """The number that stands for a picture of `source` in the page."""
        key = (str(source.catalog.folder), str(source.image_ids[place]))
        if key not in self._numbers:
            self._numbers[key] = len(self._places)
            self._places.append((source, place))
        return self._numbers[key]

    def sources(self, most_bytes: int) -> list[str]:
        """Data addresses of all pictures by number, in the largest size with which they take at most `most_bytes`; in the
        smallest where none does."""
        by_source: dict[int, list[int]] = defaultdict(list)
        for number, (source, _) in enumerate(self._places):
            by_source[id(source)].append(number)
        large: dict[int, Uint8Image] = {}
        for numbers in by_source.values():
            numbers.sort(key=lambda number: self._places[number][0].rows[self._places[number][1]])
            source = self._places[numbers[0]][0]
            chosen = np.array([self._places[number][1] for number in numbers], dtype=np.int64)
            images = source.images(chosen)
            large |= {n: prepare_image(image, SIZES[0][0]) for n, image in zip(numbers, images, strict=True)}
        found: list[str] = []
        for side, quality in SIZES:
            found = [_address(encode_jpeg(prepare_image(large[n], side), quality)) for n in range(len(self._places))]
            if sum(map(len, found)) <= most_bytes:
                break
        return found


def _address(data: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"
