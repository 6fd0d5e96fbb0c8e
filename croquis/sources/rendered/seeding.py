"""Random numbers that belong to one item and one purpose, whatever the number of items or the order of drawing."""

from __future__ import annotations

import hashlib
import zlib

import numpy as np


def stream(seed: int, number: int, purpose: str) -> np.random.Generator:
    """A generator of its own for (seed, item, purpose): adding a draw to one purpose moves no other."""
    return np.random.default_rng([seed, number, zlib.crc32(purpose.encode())])


def unit(seed: int, number: int, purpose: str) -> float:
    """A hashed number in [0, 1), for decisions that other items must be able to repeat cheaply."""
    digest = hashlib.blake2b(f"{seed}/{number}/{purpose}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2.0**64
