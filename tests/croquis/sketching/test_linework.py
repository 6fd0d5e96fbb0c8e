"""Lines of photos: what is outline, what lies inside, and what is left where nothing is enclosed."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from croquis.catalog.edge_maps import edge_map
from croquis.sketching.linework import BEGINNINGS, REFERENCE, Linework, length, linework, silhouette

Photo = npt.NDArray[np.uint8]


def garment(size: int = 128, pocket: bool = True) -> Photo:
    """A trapezium on light grey, with a light pocket."""
    photo = np.full((size, size, 3), 240, dtype=np.uint8)
    unit = size / 128
    corners = (np.array([(40, 20), (88, 20), (104, 108), (24, 108)]) * unit).astype(np.int32)
    cv2.fillPoly(photo, [corners], (60, 90, 170))
    if pocket:
        cv2.rectangle(
            photo, *[(round(x * unit), round(y * unit)) for x, y in ((54, 50), (74, 70))], (235, 225, 215), -1
        )
    return photo


def points_of(strokes: object) -> npt.NDArray[np.float32]:
    return np.concatenate(list(strokes))


def far_from_garment(points: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Distance of points to the trapezium's border, pixels of 128."""
    sheet = np.full((128, 128), 1, dtype=np.uint8)
    cv2.polylines(sheet, [np.array([(40, 20), (88, 20), (104, 108), (24, 108)], dtype=np.int32)], True, 0)
    distance = cv2.distanceTransform(sheet, cv2.DIST_L2, 5)
    x, y = np.clip(points.round().astype(int), 0, 127).T
    return distance[y, x]


@pytest.mark.parametrize("beginning", BEGINNINGS)
@pytest.mark.parametrize("size", [96, 128, 200])
def test_the_outline_is_the_garments_and_the_pocket_lies_inside(beginning: str, size: int) -> None:
    photo = garment(size)
    lines = linework(photo, beginning, lambda: edge_map(photo))
    outline = points_of(lines.outline)
    assert far_from_garment(outline).max() < 4.5
    assert outline[:, 1].min() < 24  # it goes all the way round, the top included
    assert outline[:, 1].max() > 104
    assert sum(length(stroke) for stroke in lines.outline) > 250
    if beginning == "silhouette":
        assert not len(lines.inner)
    else:
        inner = points_of(lines.inner)
        assert ((inner > 46) & (inner < 82)).all()


def test_strokes_are_on_the_reference_sheet_whatever_the_photos_size() -> None:
    small, large = (points_of(linework(garment(size), "silhouette").outline) for size in (64, 256))
    assert np.abs(small.max(axis=0) - large.max(axis=0)).max() < 4
    assert large.max() < REFERENCE


def test_a_silhouette_closes_small_gaps_and_refuses_large_ones() -> None:
    edges = np.full((128, 128), 255, dtype=np.uint8)
    cv2.rectangle(edges, (30, 20), (100, 110), 0, 1)
    edges[20, 60:63] = 255
    filled = silhouette(edges)
    assert filled[65, 65]
    assert not filled[5, 5]
    assert filled.sum() == pytest.approx(71 * 91, rel=0.03)
    edges[20, 40:90] = 255
    assert not silhouette(edges).any()


def test_what_is_not_enclosed_counts_as_outline_by_every_beginning() -> None:
    photo = np.full((128, 128, 3), 255, dtype=np.uint8)
    cv2.line(photo, (20, 100), (100, 30), (0, 0, 0), 3)
    assert not silhouette(edge_map(photo)[:64]).any()
    for beginning in BEGINNINGS:
        lines = linework(photo, beginning, lambda: edge_map(photo))
        assert len(lines.outline), beginning


def test_a_blank_photo_has_no_lines() -> None:
    assert linework(np.full((64, 64, 3), 200, dtype=np.uint8)) == Linework([], [])


def test_wrong_photos_are_refused() -> None:
    with pytest.raises(ValueError, match=r"must be uint8 \(S, S, 3\), not uint8 \(4, 5, 3\)"):
        linework(np.zeros((4, 5, 3), dtype=np.uint8))


def test_lines_of_a_net_are_those_that_it_gives() -> None:
    photo, other = garment(), np.roll(garment(), 20, axis=1)
    given = linework(photo, "hed", lambda: edge_map(other))
    expected = linework(other, "canny")
    np.testing.assert_array_equal(points_of(given.outline), points_of(expected.outline))
    with pytest.raises(ValueError, match="need the net that finds them"):
        linework(photo, "hed")
