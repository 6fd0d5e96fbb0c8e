"""Tiny colour versions of pictures, which tell a copy from a picture that only has the same layout.

A perceptual hash sees light and dark at 64 coarse frequencies; shop photos of two shoes on white share it. Their
thumbnails differ, those of a re-encoded, resized or mirrored copy hardly do.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from croquis.arrays import Floats32

SIDE = 16
BLOCK = 4096  # thumbnails looked at in one go
NO_CONTRAST = 1e-3  # grey levels; keeps the quotient finite

Thumbnails = npt.NDArray[np.uint8]  # (n, SIDE, SIDE, 3) RGB


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
