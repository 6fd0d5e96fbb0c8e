"""Perceptual hashes survive re-encoding, scaling and mirroring, and part different pictures."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from croquis.catalog.images import decode_image, encode_jpeg
from croquis.validation.fingerprints import perceptual_hashes, to_hex

Picture = npt.NDArray[np.uint8]


def picture(seed: int, size: int = 128) -> Picture:
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


def bits_apart(first: int, second: int) -> int:
    return (first ^ second).bit_count()


def plain_dct(grey: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The cosine transform by its definition."""
    side = len(grey)
    k, n = np.meshgrid(np.arange(side), np.arange(side), indexing="ij")
    basis = np.cos(np.pi * (2 * n + 1) * k / (2 * side)) * np.where(k == 0, np.sqrt(1 / side), np.sqrt(2 / side))
    return np.asarray(basis @ grey @ basis.T)


def test_bits_by_definition() -> None:
    image = picture(5, size=32)  # no scaling on the way to 32 x 32
    waves = plain_dct(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(float))
    order = sorted(((u, v) for u in range(32) for v in range(32)), key=lambda place: (sum(place), place))[1:65]
    values = np.array([waves[place] for place in order])
    expected = "".join("1" if value > np.median(values) else "0" for value in values)
    assert f"{perceptual_hashes(image)[0]:064b}" == expected


@pytest.mark.parametrize("seed", range(5))
def test_near_copies_are_near(seed: int) -> None:
    image = picture(seed)
    own = perceptual_hashes(image)[0]
    assert bits_apart(own, perceptual_hashes(decode_image(encode_jpeg(image, 60)))[0]) <= 2
    half = np.asarray(cv2.resize(image, (64, 64), interpolation=cv2.INTER_AREA), dtype=np.uint8)
    assert bits_apart(own, perceptual_hashes(half)[0]) <= 2
    assert bits_apart(own, perceptual_hashes(np.ascontiguousarray(image[:, ::-1]))[1]) == 0


def test_different_pictures_are_far_apart() -> None:
    hashes = [perceptual_hashes(picture(seed))[0] for seed in range(30)]
    assert min(bits_apart(a, b) for i, a in enumerate(hashes) for b in hashes[:i]) > 10


def test_pictures_of_one_colour_agree() -> None:
    hashes = {perceptual_hashes(np.full((40, 60, 3), shade, dtype=np.uint8)) for shade in (0, 17, 128, 255)}
    assert hashes == {(0, 0)}


def test_hex_form() -> None:
    assert to_hex(0xAB) == "00000000000000ab"
    assert to_hex(2**64 - 1) == "f" * 16
