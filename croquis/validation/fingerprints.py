"""What pictures are compared by, whatever their size or compression: a perceptual hash of 64 bits, and a thumbnail.

The hash: the picture is shrunk to 32 x 32 grey pixels; of its cosine transform the 64 lowest frequencies, mean brightness
left out, give one bit each: above their median or not (Zauner, "Implementation and Benchmarking of Perceptual Image Hash
Functions", 2010, with the constant term replaced by one more frequency, for its bit says nothing).

The thumbnail tells a copy from a picture that only has the same layout. A perceptual hash sees light and dark at 64 coarse
frequencies; shop photos of two shoes on white share it. Their thumbnails differ, those of a re-encoded, resized or mirrored
copy hardly do.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from croquis.arrays import Floats32

HASH_SIDE = 32
BITS = 64
BLANK = 1e-2  # coefficients below this are rounding noise of a picture of one colour

_BY_FREQUENCY = sorted(
    ((u, v) for u in range(HASH_SIDE) for v in range(HASH_SIDE)), key=lambda place: (sum(place), place)
)
_ROWS, _COLUMNS = np.array(_BY_FREQUENCY[1 : BITS + 1]).T
_MIRROR_SIGNS = np.where(_COLUMNS % 2 == 1, -1.0, 1.0).astype(np.float32)
_WEIGHTS = np.uint64(1) << np.arange(BITS, dtype=np.uint64)[::-1]

SIDE = 16
BLOCK = 4096  # thumbnails looked at in one go
NO_CONTRAST = 1e-3  # grey levels; keeps the quotient finite

Thumbnails = npt.NDArray[np.uint8]  # (n, SIDE, SIDE, 3) RGB


def perceptual_hashes(image: npt.NDArray[np.uint8]) -> tuple[int, int]:
    """The hash of an RGB picture (H, W, 3) and the hash of its mirror image, both in [0, 2**64)."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (HASH_SIDE, HASH_SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
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


def thumbnail(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """An RGB picture (H, W, 3) shrunk to (SIDE, SIDE, 3) by averaging areas, whatever its aspect."""
    return np.asarray(cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def contrast(thumbnails: Thumbnails) -> Floats32:
    """Root mean square distance of each thumbnail's cells from its mean colour, in grey levels of 255; (n,)."""
    found = [np.zeros(0, dtype=np.float32)]
    for begin in range(0, len(thumbnails), BLOCK):
        cells = thumbnails[begin : begin + BLOCK].reshape(-1, SIDE * SIDE, 3).astype(np.float32)
        found.append(np.sqrt(np.square(cells - cells.mean(axis=1, keepdims=True)).mean(axis=(1, 2))))
    return np.concatenate(found)


def difference(first: Thumbnails, second: Thumbnails, contrasts: tuple[Floats32, Floats32]) -> Floats32:
    """How far pairs of thumbnails are apart, relative to how much there is to see in them; (n,).

    The root mean square difference of the cells over the quadratic mean of both contrasts: 0 for equal pictures, about
    1.4 for unrelated ones, more where the colours differ as a whole. Two pictures of one colour each are 0 apart when
    equal, else very far.

    Args:
        first, second: (n, SIDE, SIDE, 3); mirror one to compare a picture with the mirror image of another.
        contrasts: of both, (n,) each.
    """
    gaps = np.subtract(first, second, dtype=np.float32).reshape(len(first), -1)
    squares = np.einsum("nc,nc->n", gaps, gaps) / gaps.shape[1]
    scale = np.sqrt((np.square(contrasts[0]) + np.square(contrasts[1])) / 2)
    return np.asarray(np.sqrt(squares) / np.maximum(scale, NO_CONTRAST), dtype=np.float32)


def as_thumbnails(pieces: Sequence[bytes]) -> Thumbnails:
    """The thumbnails that were kept as bytes; (n, SIDE, SIDE, 3)."""
    return np.frombuffer(b"".join(pieces), dtype=np.uint8).reshape(-1, SIDE, SIDE, 3)
