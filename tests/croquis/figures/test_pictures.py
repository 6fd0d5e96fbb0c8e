"""Pictures: what they show at which place, and that the same content gives the same bytes."""

import io

import numpy as np
import pytest
from PIL import Image

from croquis.figures import contact_sheet as sheets
from croquis.figures.charts import bar_chart, line_chart
from croquis.figures.contact_sheet import QueryRow, SheetResult, contact_sheet
from croquis.figures.embedding_map import project, projection_figure
from croquis.figures.tiles import HIT, MISS, png_bytes, tile
from croquis.figures.training_sheet import grid
from croquis.params import load_params
from tests.support.processors import printed_with_other_kernels


def plain(colour, shape=(20, 10)):
    return np.full((*shape, 3), colour, dtype=np.uint8)


def test_a_tile_keeps_the_aspect_ratio_on_white_inside_its_frame():
    picture = np.asarray(tile(plain((10, 20, 200)), 48, HIT))
    assert picture.shape == (48, 48, 3)
    assert tuple(picture[0, 0]) == HIT
    assert tuple(picture[24, 24]) == (10, 20, 200)
    assert tuple(picture[24, 8]) == (255, 255, 255)


def test_a_grid_takes_grey_and_colour_pictures_in_uneven_rows():
    sheet = grid([[np.zeros((8, 8), np.uint8), plain((255, 0, 0))], [plain((0, 0, 255))]], ["sketch", "photo"], side=40)
    assert sheet.size == (6 + 2 * 46, 20 + 2 * 46)
    assert sheet.getpixel((6 + 20, 20 + 20)) == (0, 0, 0)
    assert sheet.getpixel((6 + 46 + 20, 20 + 20)) == (255, 0, 0)
    assert sheet.getpixel((6 + 46 + 20, 20 + 46 + 20)) == (255, 255, 255)


def test_grids_that_cannot_be_drawn_are_refused():
    with pytest.raises(ValueError, match="at least one picture"):
        grid([[]])
    with pytest.raises(ValueError, match="2 labels for 1 columns"):
        grid([[plain((0, 0, 0))]], ["a", "b"])


def test_right_answers_stand_in_green_frames_and_wrong_ones_in_red():
    results = [SheetResult(plain((9, 9, 9)), False), SheetResult(plain((9, 9, 9)), True)]
    sheet = contact_sheet([QueryRow(plain((1, 2, 3)), "dress", results)], "siamese")
    left, top = sheets.MARGIN + sheets.SIDE + sheets.MARGIN + sheets.GAP, sheets.TITLE + sheets.HEADER
    assert sheet.getpixel((left + 1, top + 1)) == MISS
    assert sheet.getpixel((left + sheets.SIDE + sheets.MARGIN + 1, top + 1)) == HIT
    assert sheet.getpixel((sheets.MARGIN + sheets.SIDE // 2, top + sheets.SIDE // 2)) == (1, 2, 3)


def test_a_generated_photo_gets_a_column_of_its_own():
    results = [SheetResult(plain((9, 9, 9)), True)]
    without = contact_sheet([QueryRow(plain((1, 2, 3)), "", results)], "t")
    generated = contact_sheet([QueryRow(plain((1, 2, 3)), "", results, plain((50, 60, 70)))], "t")
    assert generated.width == without.width + sheets.SIDE + sheets.MARGIN
    at = (
        sheets.MARGIN + (sheets.SIDE + sheets.MARGIN) + sheets.SIDE // 2,
        sheets.TITLE + sheets.HEADER + sheets.SIDE // 2,
    )
    assert generated.getpixel(at) == (50, 60, 70)


def test_an_empty_contact_sheet_is_refused_by_name():
    with pytest.raises(ValueError, match="'siamese: val' has no rows"):
        contact_sheet([], "siamese: val")


@pytest.fixture(scope="module")
def blobs():
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(4), 12)
    vectors = rng.normal(size=(4, 16))[labels] + 0.1 * rng.normal(size=(48, 16))
    return vectors.astype(np.float32), labels


@pytest.mark.parametrize("method", ["tsne", "pca"])
def test_a_projection_keeps_neighbours_together_and_repeats_by_seed(blobs, method):
    vectors, labels = blobs
    points = project(vectors, method, seed=3)
    distances = np.linalg.norm(points[:, None] - points[None], axis=2) + 1e9 * np.eye(len(points))
    assert (labels[distances.argmin(axis=1)] == labels).mean() > 0.95
    assert np.array_equal(points, project(vectors, method, seed=3))


@pytest.mark.slow
@pytest.mark.parametrize(("photos", "dim"), [(390, 128), (60, 16), (120, 512)])
def test_other_processors_draw_the_projection_of_params_yaml_alike(photos, dim):
    kind = load_params().evaluate.projection
    found = printed_with_other_kernels(
        "import hashlib, numpy as np; from croquis.figures.embedding_map import project, projection_figure;"
        f"vectors = np.random.default_rng(0).normal(size=({photos}, {dim})).astype(np.float32);"
        f"points, pictures = project(vectors, {kind!r}, 7), [np.zeros((8, 8, 3), np.uint8)] * {photos};"
        f"drawn = projection_figure(points, ['a'] * {photos}, ['shop'] * {photos}, pictures, 't');"
        "print(hashlib.sha256(drawn).hexdigest())"
    )
    assert len(set(found)) == 1


@pytest.mark.parametrize("shape", [(1, 8), (3, 1), (6, 8)])
def test_few_or_equal_points_are_laid_out_without_error(shape):
    points = project(np.ones(shape, dtype=np.float32), "tsne", seed=0)
    assert points.shape == (shape[0], 2)
    assert np.isfinite(points).all()


def test_no_points_are_refused():
    with pytest.raises(ValueError, match="n > 0"):
        project(np.zeros((0, 4), dtype=np.float32), "pca", seed=0)


@pytest.mark.slow
def test_every_picture_has_the_same_bytes_twice_and_says_nothing_of_the_software(blobs):
    vectors, labels = blobs
    names, domains = [f"c{label}" for label in labels], ["shop", "consumer"] * 24
    images = [plain((int(label) * 60, 0, 0)) for label in labels]

    def draw():
        return [
            png_bytes(contact_sheet([QueryRow(images[0], "a", [SheetResult(images[1], True, "b")])], "t")),
            line_chart({"a": [(1, 0.5), (2, 0.7)], "chance": [(1, 0.1), (2, 0.2)]}, "t", "k", "hit@k"),
            bar_chart({"dress": (0.5, 0.4, 0.6)}, "t", "hit@1", 0.5),
            projection_figure(project(vectors, "pca", 0), names, domains, images, "t"),
        ]

    first, second = draw(), draw()
    assert first == second
    for data in first:
        assert not Image.open(io.BytesIO(data)).info.keys() - {"dpi"}
