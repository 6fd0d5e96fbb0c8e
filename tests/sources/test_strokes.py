"""The simulated hand: thinning, tracing and redrawing."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from sources.skeleton import thin, trace
from sources.strokes import Hand, draw_by_hand, generator_for

Map = npt.NDArray[np.uint8]
STEADY = Hand(jitter=0.0, drop=0.0, line_width=(1.5, 1.5))


def outline(size: int = 128) -> Map:
    sheet = np.full((size, size), 255, dtype=np.uint8)
    unit = size / 128
    corners = np.array([(30, 20), (98, 20), (110, 108), (18, 108)]) * unit
    cv2.polylines(sheet, [corners.astype(np.int32)], True, 0, max(1, round(unit)))
    cv2.circle(sheet, (size // 2, size // 2), round(16 * unit), 0, max(1, round(unit)))
    return sheet


def distances_to(ink: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    return np.asarray(cv2.distanceTransform((~ink).astype(np.uint8), cv2.DIST_L2, 5))


def draw(edges: Map, hand: Hand = STEADY, size: int = 128, name: str = "photo", seed: int = 7) -> Map:
    return draw_by_hand(edges, size, hand, generator_for(name, seed))


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
    strayed = distances_to(edges < 128)[drawing < 128]
    assert np.percentile(strayed, 95) < 2.5
    assert (distances_to(drawing < 128)[edges < 128] < 3).mean() > 0.97


def test_jitter_moves_lines_and_does_so_smoothly() -> None:
    edges = outline()
    far = [distances_to(edges < 128)[draw(edges, Hand(jitter, 0.0, (1.5, 1.5))) < 128].mean() for jitter in (0, 1, 3)]
    assert far[0] < far[1] < far[2]
    wobbly = draw(edges, Hand(3.0, 0.0, (1.5, 1.5))) < 128
    assert cv2.connectedComponents(wobbly.astype(np.uint8))[0] < 20  # drifted lines, not scattered dots


def test_drop_leaves_strokes_out_but_never_a_blank_sheet() -> None:
    edges = outline()

    def ink(share: float) -> float:
        return float(
            np.mean([(draw(edges, Hand(0.5, share, (1.5, 1.5)), name=str(n)) < 128).mean() for n in range(20)])
        )

    assert ink(0.5) < 0.75 * ink(0.0)
    assert all((draw(edges, Hand(0.5, 0.9, (1.5, 1.5)), name=str(n)) < 128).any() for n in range(20))


def test_line_width_follows_the_params() -> None:
    edges = outline()
    thin_ink, thick_ink = ((draw(edges, Hand(0.0, 0.0, (w, w))) < 200).mean() for w in (1.0, 3.0))
    assert thick_ink > 1.6 * thin_ink


def test_the_drawing_scales_with_the_sheet() -> None:
    small, large = draw(outline(64), size=64), draw(outline(256), size=256)
    assert small.shape == (64, 64)
    shrunk = cv2.resize(large, (64, 64), interpolation=cv2.INTER_AREA)
    both = (shrunk < 200) & (small < 200)
    assert both.sum() > 0.6 * min((shrunk < 200).sum(), (small < 200).sum())


def test_same_name_and_seed_same_drawing() -> None:
    hand = Hand(0.8, 0.1, (1.0, 2.5))
    reference = draw(outline(), hand)
    np.testing.assert_array_equal(draw(outline(), hand), reference)
    assert (draw(outline(), hand, name="other") != reference).any()
    assert (draw(outline(), hand, seed=8) != reference).any()


def test_a_blank_sheet_stays_blank_and_wrong_input_is_refused() -> None:
    assert (draw(np.full((50, 50), 255, dtype=np.uint8)) == 255).all()
    with pytest.raises(ValueError, match=r"must be uint8 \(S, S\)"):
        draw(np.zeros((4, 5), dtype=np.uint8))
