"""A 64-bit perceptual hash: pictures that look alike differ in few bits, whatever their size or compression.

The picture is shrunk to 32 x 32 grey pixels; of its cosine transform the 64 lowest frequencies, mean brightness left
out, give one bit each: above their median or not (Zauner, "Implementation and Benchmarking of Perceptual Image Hash
Functions", 2010, with the constant term replaced by one more frequency, for its bit says nothing).
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

SIDE = 32
BITS = 64
BLANK = 1e-2  # coefficients below this are rounding noise of a picture of one colour

_BY_FREQUENCY = sorted(((u, v) for u in range(SIDE) for v in range(SIDE)), key=lambda place: (sum(place), place))
_ROWS, _COLUMNS = np.array(_BY_FREQUENCY[1 : BITS + 1]).T
_MIRROR_SIGNS = np.where(_COLUMNS % 2 == 1, -1.0, 1.0).astype(np.float32)
_WEIGHTS = np.uint64(1) << np.arange(BITS, dtype=np.uint64)[::-1]


def perceptual_hashes(image: npt.NDArray[np.uint8]) -> tuple[int, int]:
    """The hash of an RGB picture (H, W, 3) and the hash of its mirror image, both in [0, 2**64)."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    waves = cv2.dct(small)[_ROWS, _COLUMNS]
    waves[np.abs(waves) < BLANK] = 0.0
    # Mirroring negates the waves that are odd across the picture and leaves the others.
    return _bits(waves), _bits(waves * _MIRROR_SIGNS)


def _bits(waves: npt.NDArray[np.float32]) -> int:
    above = waves > np.median(waves)
    return int(_WEIGHTS[above].sum(dtype=np.uint64))


def to_hex(value: int) -> str:
    """The hash as the catalogue's `phash` column holds it: 16 hex digits."""
    return f"{value:016x}"
