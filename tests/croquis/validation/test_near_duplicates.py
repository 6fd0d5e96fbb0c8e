"""The near-duplicate search against an exhaustive comparison, and on copies of drawn photos."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from croquis.validation.fingerprints import SIDE, as_thumbnails, contrast, difference, thumbnail
from croquis.validation.measure import measure
from croquis.validation.near_duplicates import REPRESENTATIVES, SORTING, choose_blocks, near_pairs, neighbours
from tests.support.catalogues.garment_catalogue import draw_garment

Codes = npt.NDArray[np.uint64]
Bytes = npt.NDArray[np.uint8]


def planted_codes(count: int, seed: int = 0) -> Codes:
    """Random codes, a third of them copies of others with a few bits turned."""
    chance = np.random.default_rng(seed)
    codes = chance.integers(0, 2**64, count, dtype=np.uint64)
    for row in range(0, count, 3):
        flipped = chance.choice(64, size=int(chance.integers(0, 12)), replace=False)
        mask = sum(1 << int(bit) for bit in flipped)
        codes[row] = codes[int(chance.integers(count))] ^ np.uint64(mask)
    return codes


def planted_thumbnails(count: int, seed: int = 0) -> Bytes:
    """Ten pictures, each with a little noise of its own in every copy."""
    chance = np.random.default_rng(seed)
    pictures = chance.integers(40, 200, (10, SIDE, SIDE, 3))
    noise = chance.integers(-20, 21, (count, SIDE, SIDE, 3))
    return np.asarray(pictures[chance.integers(0, 10, count)] + noise, dtype=np.uint8)


def distances(first: Codes, second: Codes) -> npt.NDArray[np.int64]:
    return np.bitwise_count(first[:, None] ^ second[None, :]).astype(np.int64)


def unlike_codes(count: int) -> Codes:
    """Random codes."""
    return np.random.default_rng(3).integers(0, 2**64, count, dtype=np.uint64)


def alike_codes(count: int) -> Codes:
    """Most bits of all are equal, as those of photos on white are."""
    return unlike_codes(count) & np.uint64(0x80C0_0000_1010_0041)


def crowded_codes(count: int) -> Codes:
    """Bits from nearly always to nearly never set."""
    chances = np.linspace(0.02, 0.98, 64)
    flags = np.random.default_rng(4).random((count, 64)) < chances
    return np.packbits(flags, axis=1).view(np.uint64).ravel()


@pytest.mark.parametrize("radius", [0, 1, 2, 3, 4, 7, 8, 11, 16, 63, 64, 70])
@pytest.mark.parametrize("make", [planted_codes, unlike_codes, alike_codes, crowded_codes])
def test_every_code_within_the_radius_is_found_once(make: Callable[[int], Codes], radius: int) -> None:
    codes = np.unique(make(240))
    exact = distances(codes, codes)
    found = neighbours(codes, radius)
    assert len(found.limits) == len(codes) + 1
    for code in range(len(codes)):
        near, bits = found.of(code)
        assert sorted(near) == np.flatnonzero(exact[code] <= radius).tolist()
        assert bits.tolist() == exact[code, near].tolist()


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_codes(count: int) -> None:
    assert neighbours(np.arange(count, dtype=np.uint64), 4).limits.tolist() == [
        each * count for each in range(count + 1)
    ]


@pytest.mark.parametrize("make", [unlike_codes, crowded_codes])
@pytest.mark.parametrize("count", [20_000, 200_000])
def test_comparisons_per_code_stay_few(make: Callable[[int], Codes], count: int) -> None:
    """All pairs would be 10,000 and 100,000 for each code."""
    codes = np.unique(make(count))
    blocks = choose_blocks(codes, 4)
    assert (blocks.compared + SORTING * len(codes) * len(blocks.chosen)) / len(codes) < 500


def relative_gap(first: Bytes, second: Bytes) -> float:
    """By hand: root mean square difference over the quadratic mean of the two contrasts."""
    a, b = first.astype(float), second.astype(float)
    energies = [np.mean((picture - picture.mean(axis=(0, 1))) ** 2) for picture in (a, b)]
    return float(np.sqrt(np.mean((a - b) ** 2) / np.mean(energies)))


@pytest.mark.parametrize("radius", [0, 2, 6])
def test_pairs_against_a_loop(radius: int) -> None:
    count, tolerance = 120, 0.25
    codes, mirrored = planted_codes(count), planted_codes(count, seed=2)
    mirrored[:30], codes[60:75] = codes[50:80], codes[0]
    thumbnails = planted_thumbnails(count)
    thumbnails[50:65] = thumbnails[:15, :, ::-1]
    expected = {}
    for first in range(count):
        for second in range(count):
            sides = [(False, codes[first], thumbnails[first]), (True, mirrored[first], thumbnails[first][:, ::-1])]
            gaps = [
                (relative_gap(picture, thumbnails[second]), turned)
                for turned, code, picture in sides
                if first != second and int(code ^ codes[second]).bit_count() <= radius
            ]
            if gaps and min(gaps)[0] <= tolerance:
                expected[first, second] = min(gaps)
    pairs = near_pairs(codes, mirrored, thumbnails, radius, tolerance)
    found = {(int(a), int(b)): place for place, (a, b) in enumerate(zip(pairs.first, pairs.second, strict=True))}
    assert set(found) == set(expected)
    assert len(found) >= 10
    assert any(turned for _, turned in expected.values())
    for pair, place in found.items():
        gap, turned = expected[pair]
        assert pairs.difference[place] == pytest.approx(gap, abs=1e-5)
        assert pairs.mirrored[place] == turned
    order = list(zip(pairs.first, pairs.difference, strict=True))
    assert order == sorted(order)


def test_difference_of_equal_and_of_plain_pictures() -> None:
    grey, white = (np.full((1, SIDE, SIDE, 3), shade, np.uint8) for shade in (90, 255))
    assert difference(grey, grey, (contrast(grey), contrast(grey)))[0] == 0
    assert difference(grey, white, (contrast(grey), contrast(white)))[0] > 1000


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def photo(seed: int) -> Image.Image:
    small = Image.open(io.BytesIO(draw_garment(seed))).convert("RGB")
    return small.resize((240, 320), Image.Resampling.BICUBIC)


COPIES = {
    "JPEG 90": lambda image: encoded(image, "JPEG", quality=90),
    "JPEG 50": lambda image: encoded(image, "JPEG", quality=50),
    "WEBP": lambda image: encoded(image, "WEBP", quality=60),
    "GIF": lambda image: encoded(image, "GIF"),
    "half": lambda image: encoded(image.resize((120, 160), Image.Resampling.LANCZOS)),
    "third, JPEG": lambda image: encoded(image.resize((80, 107), Image.Resampling.BILINEAR), "JPEG", quality=75),
    "enlarged": lambda image: encoded(image.resize((500, 667), Image.Resampling.BICUBIC)),
    "squeezed": lambda image: encoded(image.resize((240, 240), Image.Resampling.BICUBIC)),
    "flipped": lambda image: encoded(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)),
    "flipped, half, JPEG": lambda image: encoded(
        image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).resize((120, 160)), "JPEG", quality=70
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", COPIES)
def test_planted_copies_are_found_and_nothing_else(kind: str) -> None:
    """Ten photos and a copy of each, at the radius and tolerance that params.yaml ships with."""
    photos = [photo(seed) for seed in range(10)]
    found = [measure(data, 50) for data in (*map(encoded, photos), *map(COPIES[kind], photos))]
    codes, mirrored = (np.array([getattr(one, name) for one in found], np.uint64) for name in ("phash", "mirror_phash"))
    pairs = near_pairs(codes, mirrored, as_thumbnails([one.thumbnail or b"" for one in found]), 4, 0.08)
    matches = sorted(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))
    assert matches == sorted([(row, row + 10) for row in range(10)] + [(row + 10, row) for row in range(10)])
    assert pairs.mirrored.all() == ("flipped" in kind) == pairs.mirrored.any()


def test_a_recoloured_photo_is_no_copy() -> None:
    """The hash sees no colour, the thumbnail does."""
    image = photo(3)
    red, green, blue = image.split()
    both = [measure(encoded(picture), 50) for picture in (image, Image.merge("RGB", (red, blue, green)))]
    codes = np.array([found.phash for found in both], np.uint64)
    same = np.array([codes[0], codes[0]])
    thumbnails = as_thumbnails([found.thumbnail or b"" for found in both])
    assert len(near_pairs(same, same, thumbnails, 4, 0.08)) == 0


def test_no_rows() -> None:
    empty = np.zeros(0, dtype=np.uint64)
    assert len(near_pairs(empty, empty, np.zeros((0, SIDE, SIDE, 3), np.uint8), 2, 0.1)) == 0


@pytest.mark.slow
def test_photos_of_one_hash_are_compared_with_some_of_them() -> None:
    """All pairs of 5,000 equal photos would be 25 million."""
    codes = planted_codes(6_000)
    codes[:5_000] = codes[0]
    thumbnails = np.random.default_rng(1).integers(0, 256, (6_000, SIDE, SIDE, 3), dtype=np.uint8)
    thumbnails[:5_000] = thumbnails[0]
    pairs = near_pairs(codes, codes, thumbnails, 4, 0.08)
    assert set(pairs.first) >= set(range(5_000))
    assert len(pairs) <= 6_000 * REPRESENTATIVES


def test_a_thumbnail_averages_areas() -> None:
    image = np.random.default_rng(0).integers(0, 256, (64, 32, 3), dtype=np.uint8)
    by_hand = image.reshape(SIDE, 4, SIDE, 2, 3).astype(float).mean(axis=(1, 3))
    assert np.abs(thumbnail(image) - by_hand).max() <= 0.5 + 1e-9
