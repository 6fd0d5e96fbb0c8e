"""Edge maps find the outlines that are there and nothing else; the descriptor tells shapes apart."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from croquis.catalog.edge_maps import EDGE_METHODS, HED, edge_map, ridges, without_specks
from croquis.nets.edge_descriptor import EdgeDescriptor

Picture = npt.NDArray[np.uint8]


def square(inside: tuple[int, int, int], outside: tuple[int, int, int] = (255, 255, 255), side: int = 96) -> Picture:
    image = np.full((side, side, 3), outside, dtype=np.uint8)
    image[24:72, 24:72] = inside
    return image


def drawing(
    kind: str, size: int = 96, offset: tuple[int, int] = (0, 0), scale: float = 1.0, thickness: int = 2
) -> Picture:
    sheet = np.full((size, size), 255, dtype=np.uint8)
    points = {
        "triangle": [(30, 60), (48, 20), (66, 60)],
        "square": [(30, 24), (66, 24), (66, 60), (30, 60)],
        "trousers": [(30, 10), (66, 10), (70, 80), (54, 80), (48, 30), (42, 80), (26, 80)],
    }[kind]
    polygon = np.array(
        [[round(x * scale) + offset[0], round(y * scale) + offset[1]] for x, y in points], dtype=np.int32
    )
    cv2.polylines(sheet, [polygon], True, 0, thickness)
    return sheet


@pytest.mark.parametrize("method", EDGE_METHODS)
@pytest.mark.parametrize("colour", [(20, 20, 20), (200, 30, 30), (200, 240, 60)])
def test_outline_of_a_square(method: str, colour: tuple[int, int, int]) -> None:
    edges = edge_map(square(colour), method)
    assert edges.dtype == np.uint8
    assert edges.shape == (96, 96)
    dark = edges < 128
    distance = np.full((96, 96), 99)
    border = np.zeros((96, 96), dtype=np.uint8)
    border[24:72, 24:72] = 1
    border[25:71, 25:71] = 0
    distance = cv2.distanceTransform(1 - border, cv2.DIST_L2, 5)
    assert dark.any()
    assert distance[dark].max() <= 3.5  # ink lies along the outline and nowhere else
    reach = cv2.distanceTransform((~dark).astype(np.uint8), cv2.DIST_L2, 5)
    assert (reach[border == 1] <= 3).mean() > 0.95  # and the outline is inked all along


def test_canny_parts_colours_of_one_brightness() -> None:
    red, green = (200, 60, 60), (60, 131, 60)
    grey = cv2.cvtColor(square(red, green), cv2.COLOR_RGB2GRAY)
    assert int(np.ptp(grey)) <= 2
    assert (edge_map(square(red, green), "canny") < 128).sum() > 150


@pytest.mark.parametrize("method", EDGE_METHODS)
@pytest.mark.parametrize("shade", [0, 90, 255])
def test_blank_and_noisy_pictures_give_no_lines(method: str, shade: int) -> None:
    blank = np.full((64, 64, 3), shade, dtype=np.uint8)
    assert (edge_map(blank, method) == 255).all()
    noise = np.random.default_rng(1).normal(shade, 2, blank.shape)
    assert (edge_map(np.clip(noise, 0, 255).astype(np.uint8), method) < 128).sum() == 0


def test_specks_are_removed_and_lines_kept() -> None:
    sheet = np.full((20, 20), 255, dtype=np.uint8)
    sheet[2, 2:6] = 0  # four pixels
    sheet[10, 2:7] = 0  # five pixels
    sheet[15:18, 15:18] = 200  # haze without a dark pixel
    cleaned = without_specks(sheet)
    assert (cleaned[10, 2:7] == 0).all()
    assert (cleaned == 255).sum() == 400 - 5


def test_wrong_input_is_refused() -> None:
    with pytest.raises(ValueError, match="'sobel' is none of canny, xdog"):
        edge_map(square((0, 0, 0)), "sobel")
    with pytest.raises(ValueError, match=r"must be uint8 \(H, W, 3\)"):
        edge_map(np.zeros((4, 4), dtype=np.uint8))
    with pytest.raises(ValueError, match="must be a multiple of 8"):
        EdgeDescriptor(size=60)
    with pytest.raises(ValueError, match=r"must be uint8 \(H, W\)"):
        EdgeDescriptor().describe([np.zeros((4, 4, 3), dtype=np.uint8)])


def test_descriptors_are_unit_vectors_and_independent_of_the_batch() -> None:
    descriptor = EdgeDescriptor()
    maps = [drawing("triangle"), drawing("square", size=128), np.full((50, 70), 255, dtype=np.uint8)]
    vectors = descriptor.describe(maps)
    assert vectors.shape == (3, descriptor.dim)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), [1, 1, 0], atol=1e-5)
    np.testing.assert_array_equal(vectors[1], descriptor.describe([maps[1]])[0])
    assert descriptor.describe([]).shape == (0, descriptor.dim)


def test_place_size_and_stroke_do_not_matter_but_shape_does() -> None:
    descriptor = EdgeDescriptor()
    kinds = ("triangle", "square", "trousers")
    reference = descriptor.describe([drawing(kind) for kind in kinds])
    varied = [drawing(kind, size=160, offset=(9, 20), scale=1.3, thickness=3) for kind in kinds]
    scores = descriptor.describe(varied) @ reference.T
    assert scores.argmax(axis=1).tolist() == [0, 1, 2]
    assert scores.diagonal().min() > 0.8
    assert (scores - np.diag(scores.diagonal())).max() < 0.7


def test_orientation_histograms_against_a_loop() -> None:
    descriptor = EdgeDescriptor(size=16)
    ink = np.random.default_rng(0).random((1, 16, 16)).astype(np.float32)
    expected = np.zeros((2, 2, 9))
    down, across = np.gradient(ink[0])
    for y in range(16):
        for x in range(16):
            angle = np.arctan2(down[y, x], across[y, x]) % np.pi / np.pi * 9
            share = angle - np.floor(angle)
            strength = np.hypot(across[y, x], down[y, x])
            expected[y // 8, x // 8, int(angle) % 9] += strength * (1 - share)
            expected[y // 8, x // 8, (int(angle) + 1) % 9] += strength * share
    np.testing.assert_allclose(descriptor._histograms(ink)[0], expected, rtol=1e-4)


def band(centre: float, peak: float, side: int = 64) -> npt.NDArray[np.float32]:
    """Probabilities along a diagonal, falling off to both sides."""
    y, x = np.indices((side, side))
    away = (x + y - 2 * centre) / 2**0.5
    return (peak * np.exp(-((away / 4) ** 2))).astype(np.float32)


def test_broad_probabilities_become_a_thin_line_along_their_ridge() -> None:
    lines = ridges(band(32, 0.9))
    assert set(np.unique(lines)) == {0, 255}
    y, x = np.nonzero(lines == 0)
    assert np.abs(x + y - 64).max() <= 2
    assert 50 <= len(y) <= 130  # 64 pixels long, at most two wide


def test_a_faint_line_stays_where_it_is_sure_somewhere() -> None:
    faint = band(32, 0.4)
    assert (ridges(faint) == 255).all()
    assert (ridges(faint, sure=0.35) == 0).any()
    y, x = np.indices(faint.shape)
    lit = faint * (1 + np.exp(-(((x - y) / 16) ** 2))).astype(np.float32)  # twice as sure in its middle
    kept = np.nonzero(ridges(lit) == 0)[0]
    assert (kept.min(), kept.max()) == pytest.approx((0, 63), abs=3)


def test_what_a_net_finds_is_refused_without_one() -> None:
    with pytest.raises(ValueError, match="'hed' needs a net"):
        edge_map(square((20, 20, 20)), HED)
