"""Outlines, cloth and photos: properties that hold for every garment."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from croquis.sources.rendered.consumer_photo import consumer_photo
from croquis.sources.rendered.drawing.geometry import Part, bezier, ellipse, rectangle, spline
from croquis.sources.rendered.flat import strokes_of
from croquis.sources.rendered.garments.categories import CATEGORIES
from croquis.sources.rendered.garments.fabric import TILES, tile, weave
from croquis.sources.rendered.garments.garment import Garment, sample
from croquis.sources.rendered.garments.silhouettes import draw
from croquis.sources.rendered.shop_photo import shop_photo


def garments(count: int = 120) -> list[Garment]:
    rng = np.random.default_rng(3)
    return [sample(rng) for _ in range(count)]


@pytest.mark.slow
def test_every_sampled_garment_has_a_finite_drawing_of_human_size():
    drawn = garments(300)
    assert {garment.category for garment in drawn} == set(CATEGORIES)
    for garment in drawn:
        for view in ("front", "back"):
            x0, y0, x1, y1 = draw(garment, view).box()
            assert np.isfinite([x0, y0, x1, y1]).all()
            assert -0.8 < x0 < 0 < x1 < 0.8
            assert -0.35 < y0 < y1 < 1.75


def test_drawings_are_symmetrical_where_the_pose_is():
    for garment in garments(60):
        x0, _, x1, _ = draw(garment, "back").box()
        assert x0 == pytest.approx(-x1, abs=1e-9)


def test_longer_garments_are_longer():
    order = ["crop", "hip", "thigh", "knee", "calf", "ankle"]
    for garment in garments(80):
        choices = [length for length in order if length in garment.spec.choices("length")]
        ends = [draw(Garment(**{**vars(garment), "length": length})).box()[3] for length in choices]
        assert ends == sorted(ends)


def test_bezier_and_spline_meet_their_ends_and_knots():
    curve = bezier((0, 0), (0, 1), (1, 1), (1, 0), 9)
    assert curve[0].tolist() == [0, 0]
    assert curve[-1].tolist() == [1, 0]
    assert curve[4] == pytest.approx([0.5, 0.75])
    knots = np.array([[0.0, 0.0], [1.0, 2.0], [3.0, 1.0], [4.0, 4.0]])
    through = spline(knots, 5)
    assert through[::5] == pytest.approx(knots)
    straight = spline([(0, 0), (1, 1), (2, 2)], 4)
    assert straight[:, 0] == pytest.approx(straight[:, 1])


def test_an_outline_is_cut_at_its_corners():
    assert [len(stroke) for stroke in strokes_of(rectangle(0, 0, 2, 1))] == [2, 2, 2, 2]
    assert len(strokes_of(ellipse(0, 0, 1, 1, n=60))) == 1


SCATTERED = ["argyle", "camouflage", "dots", "floral", "zigzag"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", SCATTERED)
def test_tiles_repeat_without_a_seam(kind):
    """The step across the tile's edge is no larger than the largest step within it."""
    garment = next(g for g in garments(2000) if g.pattern == kind)
    image = tile(garment, 24).astype(float)
    for axis in (0, 1):
        inside = np.abs(np.diff(image, axis=axis)).mean(axis=(1 - axis, 2)).max()
        across = np.abs(np.take(image, 0, axis) - np.take(image, -1, axis)).mean()
        assert across <= inside + 12


@pytest.mark.parametrize("fabric", ["knit", "cable", "ribbed", "corduroy", "denim", "pique", "quilted", "fleece"])
def test_weaves_keep_the_brightness(fabric):
    assert weave(fabric, 16).mean() == pytest.approx(1.0, abs=0.06)


@pytest.mark.slow
def test_the_back_has_no_graphic():
    garment = next(g for g in garments(2000) if g.pattern == "graphic" and g.category == "t-shirt")
    kinds = {view: {type(e).__name__ for e in draw(garment, view).elements} for view in ("front", "back")}
    assert "Badge" in kinds["front"]
    assert "Badge" not in kinds["back"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(TILES))
def test_tiles_show_both_colours(kind):
    for garment in [g for g in garments(2000) if g.pattern == kind][:3]:
        pixels = tile(garment, 24).reshape(-1, 3).astype(float)
        for colour in (garment.main_rgb, garment.accent_rgb):
            assert np.abs(pixels - colour).max(axis=1).min() < 3


@pytest.mark.slow
def test_a_shop_photo_is_light_around_a_garment_of_the_main_colour():
    garment = next(g for g in garments(2000) if g.pattern == "plain" and g.colour == "red" and g.category == "t-shirt")
    image, box = shop_photo(garment, "front", 96, 0, 0)
    assert image[0].min() > 200
    middle = image[box[1] + (box[3] - box[1]) // 2, 44:52].mean(axis=0)
    assert middle == pytest.approx(np.array(garment.main_rgb), abs=35)


@pytest.mark.slow
def test_difficulty_zero_leaves_the_light_alone():
    """Without disturbances the garment keeps its colours; with them two shots differ much more."""
    garment = next(g for g in garments(2000) if g.pattern == "plain" and g.colour == "teal" and g.category == "dress")

    def middles(difficulty: float) -> np.ndarray:
        found = []
        for shot in range(8):
            data, box = consumer_photo(garment, shot, 64, difficulty, difficulty, 1, 2)
            image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
            x, y = (box[0] + box[2]) // 2, (box[1] + box[3]) // 2
            found.append(image[y - 2 : y + 3, x - 2 : x + 3].reshape(-1, 3).mean(axis=0))
        return np.array(found)

    assert middles(0.0).std(axis=0).mean() < 0.5 * middles(1.5).std(axis=0).mean()


def test_parts_are_closed_outlines_of_two_columns():
    for garment in garments(40):
        for element in draw(garment).elements:
            if isinstance(element, Part):
                assert element.outline.ndim == 2
                assert element.outline.shape[1] == 2
                assert len(element.outline) >= 3
