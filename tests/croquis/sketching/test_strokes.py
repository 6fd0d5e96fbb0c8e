"""The simulated hand: thinning, tracing and redrawing."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from croquis.sketching.linework import REFERENCE, Linework
from croquis.sketching.skeleton import thin, trace
from croquis.sketching.strokes import PALEST, Hand, Person, draw_by_hand, generator_for

Map = npt.NDArray[np.uint8]
STEADY = Hand(0.0, 0.0, 0.0, (1.5, 1.5), (1.0, 1.0), (100.0, 100.0), (0.0, 0.0))
TILT_AND_STRETCH = 6.0  # pixels by which place and proportion may be off on a sheet of 128


def outline(size: int = 128) -> Map:
    sheet = np.full((size, size), 255, dtype=np.uint8)
    unit = size / 128
    corners = np.array([(30, 20), (98, 20), (110, 108), (18, 108)]) * unit
    cv2.polylines(sheet, [corners.astype(np.int32)], True, 0, max(1, round(unit)))
    cv2.circle(sheet, (size // 2, size // 2), round(16 * unit), 0, max(1, round(unit)))
    return sheet


def distances_to(ink: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    return np.asarray(cv2.distanceTransform((~ink).astype(np.uint8), cv2.DIST_L2, 5))


def hand(**changes: object) -> Hand:
    return replace(STEADY, **changes)


def lines_of(edges: Map) -> Linework:
    scale = REFERENCE / len(edges)
    return Linework([stroke * scale for stroke in trace(thin(edges < 128))], [])


def draw(edges: Map, hand: Hand = STEADY, size: int = 128, name: str = "photo", seed: int = 7) -> Map:
    return draw_by_hand(lines_of(edges), size, hand, generator_for(name, seed))


def test_thinning_leaves_connected_lines_one_pixel_wide() -> None:
    thick = np.zeros((60, 60), dtype=np.uint8)
    cv2.circle(thick, (30, 30), 20, 1, 5)
    cv2.line(thick, (5, 5), (55, 5), 1, 3)
    skeleton = thin(thick.astype(bool))
    assert not (skeleton & ~thick.astype(bool)).any()
    assert cv2.connectedComponents(skeleton.astype(np.uint8))[0] == cv2.connectedComponents(thick)[0]
    blocks = skeleton[:-1, :-1] & skeleton[1:, :-1] & skeleton[:-1, 1:] & skeleton[1:, 1:]
    assert not blocks.any()
    assert distances_to(skeleton)[thick == 1].max() < 6  # line ends wear down a little


def test_tracing_visits_every_pixel_once_in_steps_of_one() -> None:
    skeleton = thin(outline() < 128)
    strokes = trace(skeleton, shortest=1)
    points = np.concatenate(strokes).astype(int)
    assert len(points) == len(np.unique(points, axis=0)) == int(skeleton.sum())
    assert skeleton[points[:, 1], points[:, 0]].all()
    assert all(np.abs(np.diff(stroke, axis=0)).max(initial=0) <= 1 for stroke in strokes)


def test_a_walk_goes_straight_over_a_crossing() -> None:
    cross = np.zeros((41, 41), dtype=bool)
    cross[20, 3:38] = True
    cross[3:38, 20] = True
    longest = max(trace(cross), key=len)
    assert len(longest) == 35
    assert len(np.unique(longest[:, 0])) == 1 or len(np.unique(longest[:, 1])) == 1


def test_a_steady_hand_follows_the_lines() -> None:
    edges = outline()
    drawing = draw(edges)
    assert drawing.dtype == np.uint8
    assert drawing.shape == (128, 128)
    assert distances_to(edges < 128)[drawing < 128].max() < TILT_AND_STRETCH
    assert distances_to(drawing < 128)[edges < 128].max() < TILT_AND_STRETCH


def test_jitter_moves_lines_and_does_so_smoothly() -> None:
    edges = outline()
    still = [draw(edges, name=str(n)) < 128 for n in range(8)]

    def strayed(jitter: float) -> float:
        """From the same drawing by a steady hand: same person, same place on the sheet."""
        wobbly = [draw(edges, hand(jitter=jitter), name=str(n)) < 128 for n in range(8)]
        return float(np.mean([distances_to(a)[b].mean() for a, b in zip(still, wobbly, strict=True)]))

    assert strayed(0.5) < strayed(1.5) < strayed(4.0)
    wobbly = draw(edges, hand(jitter=3.0)) < 128
    assert cv2.connectedComponents(wobbly.astype(np.uint8))[0] < 20  # drifted lines, not scattered dots


def mean_ink(edges: Map, hand: Hand) -> float:
    return float(np.mean([(draw(edges, hand, name=str(n)) < 200).mean() for n in range(20)]))


@pytest.mark.slow
def test_drop_leaves_strokes_out_but_never_a_blank_sheet() -> None:
    edges = outline()
    assert mean_ink(edges, hand(drop=0.5)) < 0.75 * mean_ink(edges, STEADY)
    assert all((draw(edges, hand(drop=0.9), name=str(n)) < 128).any() for n in range(20))


@pytest.mark.slow
def test_retraced_strokes_add_ink_beside_the_first() -> None:
    edges = outline()
    assert mean_ink(edges, hand(jitter=1.5, retrace=1.0)) > 1.2 * mean_ink(edges, hand(jitter=1.5))


def test_line_width_follows_the_params() -> None:
    edges = outline()
    assert mean_ink(edges, hand(line_width=(3.0, 3.0))) > 1.6 * mean_ink(edges, hand(line_width=(1.0, 1.0)))


def test_a_large_tolerance_makes_a_coarse_outline() -> None:
    circle = np.full((128, 128), 255, dtype=np.uint8)
    cv2.circle(circle, (64, 64), 45, 0, 1)

    def largest_error(tolerance: float) -> float:
        ink = draw(circle, hand(simplify=(tolerance, tolerance))) < 128
        return float(distances_to(ink)[circle < 128].max())

    assert largest_error(8.0) > largest_error(0.5) + 2


def test_detail_is_the_length_drawn_inside_the_outline_longest_first() -> None:
    box = [np.array([(20, 20), (108, 20), (108, 108), (20, 108), (20, 20)], dtype=np.float32)]
    inner = [np.array([(30, y), (30 + 12 * (y - 25) // 10, y)], dtype=np.float32) for y in range(35, 100, 10)]
    lines = Linework(box, inner)

    def drawn(detail: float) -> float:
        sheets = [
            draw_by_hand(lines, 128, hand(detail=(detail, detail)), generator_for(str(n), 7)) < 200 for n in range(10)
        ]
        return float(np.mean([sheet[30:98, 30:98].mean() for sheet in sheets]))

    amounts = [drawn(detail) for detail in (0.0, 1.0, 2.0, 9.0)]
    assert amounts == sorted(amounts)
    assert amounts[0] < 0.005 < amounts[1]
    some = [draw_by_hand(lines, 128, hand(detail=(1.0, 1.0)), generator_for(str(n), 7)) < 200 for n in range(20)]
    lowest, highest = (np.sum([sheet[rows, 32:40].any() for sheet in some]) for rows in (slice(90, 100), slice(31, 39)))
    assert lowest > highest  # the lines get longer downwards


def test_a_margin_is_left_around_the_drawing() -> None:
    edges = np.full((128, 128), 255, dtype=np.uint8)
    cv2.rectangle(edges, (0, 0), (127, 127), 0, 1)
    for name in "abcdef":
        rows, columns = np.nonzero(draw(edges, hand(margin=(0.1, 0.1)), name=name) < 200)
        assert np.ptp(rows) < 0.9 * 128 + 2
        assert np.ptp(columns) < 0.9 * 128 + 2


def test_people_differ_within_the_ranges() -> None:
    met = [Person.meet(hand(jitter=1.0, line_width=(0.7, 2.4)), generator_for(str(n), 7)) for n in range(200)]
    widths, greys, unsteady = (np.array([getattr(one, name) for one in met]) for name in ("width", "grey", "jitter"))
    assert 0.7 <= widths.min() < 0.8
    assert 2.3 < widths.max() <= 2.4
    assert 0 <= greys.min() < 10
    assert PALEST - 10 < greys.max() < PALEST
    assert 0.4 <= unsteady.min() < 0.5
    assert 1.5 < unsteady.max() <= 1.6


def test_the_drawing_scales_with_the_sheet() -> None:
    small, large = draw(outline(64), size=64), draw(outline(256), size=256)
    assert small.shape == (64, 64)
    shrunk = cv2.resize(large, (64, 64), interpolation=cv2.INTER_AREA)
    both = (shrunk < 200) & (small < 200)
    assert both.sum() > 0.6 * min((shrunk < 200).sum(), (small < 200).sum())


def test_same_name_and_seed_same_drawing() -> None:
    shaky = hand(jitter=0.8, drop=0.1, retrace=0.1, line_width=(1.0, 2.5))
    reference = draw(outline(), shaky)
    np.testing.assert_array_equal(draw(outline(), shaky), reference)
    assert (draw(outline(), shaky, name="other") != reference).any()
    assert (draw(outline(), shaky, seed=8) != reference).any()


def test_without_lines_the_sheet_stays_blank() -> None:
    assert (draw(np.full((50, 50), 255, dtype=np.uint8)) == 255).all()
