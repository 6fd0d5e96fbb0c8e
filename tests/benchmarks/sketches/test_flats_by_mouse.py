"""The lines of a flat as the mouse draws them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.sketches.flats_by_mouse import flats, strokes_of
from croquis.refusals import RefusedError
from tests.support.catalogues import blob_catalogue as world


def test_lines_become_straight_pieces_where_they_lie() -> None:
    sheet = np.full((200, 200, 3), 255, dtype=np.uint8)
    cv2.polylines(sheet, [np.array([(20, 40), (160, 40), (160, 180)], dtype=np.int32)], False, (0, 0, 0), 3)
    (stroke,) = strokes_of(sheet)
    assert len(stroke) <= 4
    ends = sorted(stroke[[0, -1]].tolist())
    np.testing.assert_allclose(ends, [[0.1, 0.2], [0.8, 0.9]], atol=0.02)
    assert np.abs(stroke - [0.8, 0.2]).max(axis=1).min() < 0.02
    assert strokes_of(np.full((50, 50, 3), 255, dtype=np.uint8)) == []


def test_a_catalogue_without_drawings_is_refused(tmp_path: Path) -> None:
    catalog = world.write_catalogue(tmp_path)
    with pytest.raises(RefusedError, match="brings no drawings of test items"):
        flats(catalog, "test", 3, 0)
