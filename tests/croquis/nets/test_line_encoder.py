"""An encoder of lines: a drawing as it is, a photo by its edge map."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from croquis.catalog.edge_maps import DRAWN, edge_map
from croquis.catalog.images import to_batch
from croquis.files import read_json, write_json
from croquis.nets.edge_descriptor import EdgeDescriptor
from croquis.nets.edge_detector import EdgeDetector
from croquis.nets.encoder import describe_fixed, encode_drawings, load_encoder
from croquis.nets.histogram_encoder import HistogramEncoder
from croquis.nets.line_encoder import LineEncoder, line_pictures, mirror
from croquis.nets.session import ModelError
from tests.support.small_hed import write_detector

SIZE = 96


def encoder() -> LineEncoder:
    return LineEncoder(size=SIZE, edges="canny", square=64, orientations=9)


def pictures(drawn: bool) -> list[np.ndarray]:
    """A triangle, a square and an L: filled with a colour, or their outlines in black."""
    shapes = [[(48, 15), (80, 80), (16, 80)], [(20, 20), (76, 20), (76, 76), (20, 76)],
              [(20, 10), (45, 10), (45, 60), (80, 60), (80, 85), (20, 85)]]  # fmt: skip
    sheets = []
    for shape in shapes:
        sheet = np.full((SIZE, SIZE, 3), 255, dtype=np.uint8)
        points = np.array([shape], dtype=np.int32)
        cv2.polylines(sheet, points, True, (0, 0, 0), 2) if drawn else cv2.fillPoly(sheet, points, (200, 40, 90))
        sheets.append(sheet)
    return sheets


def test_a_drawing_finds_the_photo_of_its_shape() -> None:
    photos, drawings = (to_batch(pictures(drawn)) for drawn in (False, True))
    scores = encoder().encode_drawings(drawings) @ encoder().encode(photos).T
    assert scores.argmax(axis=1).tolist() == [0, 1, 2]
    as_photos = encoder().encode(drawings) @ encoder().encode(photos).T
    assert (scores.diagonal() > as_photos.diagonal()).all()  # a line has two edges, a photo's outline one


def test_vectors_are_the_descriptors_of_edge_maps() -> None:
    photos, drawings = pictures(False), pictures(True)
    expected = EdgeDescriptor(64, 9).describe([edge_map(photo, "canny") for photo in photos])
    np.testing.assert_array_equal(encoder().encode(to_batch(photos)), expected)
    expected = EdgeDescriptor(64, 9).describe([edge_map(drawing, DRAWN) for drawing in drawings])
    np.testing.assert_array_equal(encoder().encode_drawings(to_batch(drawings)), expected)


def test_it_comes_back_from_its_folder(tmp_path: Path) -> None:
    write_json(tmp_path / "encoder.json", describe_fixed(encoder()))
    loaded, photos = load_encoder(tmp_path), to_batch(pictures(False))
    assert (loaded.dim, loaded.size, loaded.metric) == (encoder().dim, SIZE, "cosine")
    np.testing.assert_array_equal(loaded.encode(photos), encoder().encode(photos))
    np.testing.assert_array_equal(encode_drawings(loaded, photos), encoder().encode_drawings(photos))
    write_json(tmp_path / "encoder.json", read_json(tmp_path / "encoder.json") | {"edges": "sobel"})
    with pytest.raises(ModelError, match="edges = 'sobel', must be one of"):
        load_encoder(tmp_path)


def test_any_other_encoder_sees_a_drawing_as_a_photo() -> None:
    other = HistogramEncoder(colour_bins=3, orientation_bins=4, grid=2, colour_weight=0.3, size=SIZE)
    drawings = to_batch(pictures(True))
    np.testing.assert_array_equal(encode_drawings(other, drawings), other.encode(drawings))


def test_a_pale_drawing_is_the_same_as_a_black_one() -> None:
    """Thin lines of a large sheet turn grey when it is scaled down."""
    drawings = pictures(True)
    pale = [np.asarray(255 - (255 - each.astype(int)) * 2 // 5, dtype=np.uint8) for each in drawings]
    found = encoder().encode_drawings(to_batch(pale))
    np.testing.assert_allclose(found, encoder().encode_drawings(to_batch(drawings)), atol=0.02)
    blank = to_batch([np.full((SIZE, SIZE, 3), 255, dtype=np.uint8)])
    assert not encoder().encode_drawings(blank).any()


def test_pictures_of_lines_are_fitted_or_left_where_they_are() -> None:
    sheet = np.full((100, 100), 255, dtype=np.uint8)
    sheet[10:30, 10:12] = 0
    (fitted,), (left,) = (line_pictures([sheet], 50, frame) for frame in ("ink", "sheet"))
    assert fitted.shape == left.shape == (3, 50, 50)
    assert (fitted[:, 5:45].min(axis=2) == 0).all()  # the line is as high as the square but for its margin
    dark = np.argwhere(left[0] < 0.5)
    assert (dark.min(axis=0).tolist(), dark.max(axis=0).tolist()) == ([5, 5], [14, 5])
    (turned,) = line_pictures(mirror([sheet]), 50, "sheet")
    np.testing.assert_array_equal(turned, left[:, :, ::-1])


def test_a_net_may_find_the_lines_of_photos(tmp_path: Path) -> None:
    plain = LineEncoder(size=SIZE, edges="hed", square=64, orientations=9)
    write_json(tmp_path / "encoder.json", describe_fixed(plain))
    with pytest.raises(ModelError, match=r"edges = 'hed' with detector = None: hed has one"):
        load_encoder(tmp_path)
    detector = EdgeDetector(write_detector(tmp_path, SIZE), SIZE)
    write_json(tmp_path / "encoder.json", describe_fixed(plain) | {"detector": "edges.onnx"})
    photos, drawings = pictures(False), to_batch(pictures(True))
    found = load_encoder(tmp_path).encode(to_batch(photos))
    np.testing.assert_array_equal(found, EdgeDescriptor(64, 9).describe(detector.lines(photos)))
    assert (found @ encoder().encode_drawings(drawings).T).argmax(axis=1).tolist() == [0, 1, 2]
    np.testing.assert_array_equal(plain.encode_drawings(drawings), encoder().encode_drawings(drawings))
    with pytest.raises(ModelError, match="needs the net that finds them"):
        plain.encode(drawings)
