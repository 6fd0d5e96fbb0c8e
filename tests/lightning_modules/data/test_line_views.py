"""Views of drawings: what each change does to the ink. Edge maps of photos."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from croquis.catalog.edge_maps import edge_map
from croquis.params.training_blocks import DrawingViews
from lightning_modules.data.line_views import drawing_views, edge_maps, thicker, thinner, without_parts

STILL = {"crop_scale": 1.0, "rotate": 0.0, "flip": 0.0, "thicken": 0.0, "thin": 0.0, "erase": 0.0}


@pytest.fixture
def drawings() -> Tensor:
    sheets = torch.ones(6, 3, 24, 24)
    sheets[:, :, 12, 4:20] = 0.2
    sheets[:, :, 3:9, 6] = 0.0
    return sheets


def test_without_strength_nothing_changes(drawings: Tensor) -> None:
    assert torch.equal(drawing_views(drawings, DrawingViews(**STILL)), drawings)


def test_thicker_lines_take_the_darkest_of_five_pixels(drawings: Tensor) -> None:
    found = thicker(drawings)
    for y in range(1, 23):
        for x in range(1, 23):
            around = [(y, x), (y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
            assert found[0, 0, y, x] == pytest.approx(min(float(drawings[0, 0, b, a]) for b, a in around))


def test_thinner_lines_lose_ink_and_stay_where_they_are(drawings: Tensor) -> None:
    found = thinner(drawings)
    assert torch.equal(found == 1, drawings == 1)
    ink = 1 - drawings[0, 0]
    mean = sum(ink[12 + b, 10 + a] for a in (-1, 0, 1) for b in (-1, 0, 1)) / 9
    assert 1 - found[0, 0, 12, 10] == pytest.approx(float(ink[12, 10] * (0.5 + 0.5 * mean)))


def test_parts_are_left_blank_and_nothing_is_drawn_anew(drawings: Tensor) -> None:
    torch.manual_seed(0)
    found = without_parts(drawings, 1.0)
    assert ((found == drawings) | (found == 1)).all()
    assert (found != drawings).any()


def test_each_change_comes_with_its_probability(drawings: Tensor) -> None:
    torch.manual_seed(0)
    many = drawings[:1].expand(400, -1, -1, -1)
    changed = (drawing_views(many, DrawingViews(**STILL | {"thicken": 0.25})) != many).flatten(1).any(1)
    assert changed.float().mean() == pytest.approx(0.25, abs=0.08)
    sure = drawing_views(many, DrawingViews(**STILL | {"thicken": 1.0}))
    assert torch.equal(sure, thicker(many))


def test_drawings_stay_grey_and_within_range(drawings: Tensor) -> None:
    torch.manual_seed(1)
    views = drawing_views(
        drawings, DrawingViews(crop_scale=0.7, rotate=8.0, flip=0.5, thicken=0.5, thin=0.5, erase=0.5)
    )
    assert torch.allclose(views[:, :1].expand_as(views), views, atol=1e-6)
    assert 0 <= views.min() <= views.max() <= 1 + 1e-6


def test_edge_maps_are_those_of_each_photo() -> None:
    photos = torch.full((2, 3, 32, 32), 200, dtype=torch.uint8)
    photos[0, :, 8:24, 10:20] = 30
    maps = edge_maps(photos)
    assert (maps.shape, maps.dtype) == (photos.shape, torch.uint8)
    expected = torch.from_numpy(edge_map(photos[0].permute(1, 2, 0).numpy()))
    assert torch.equal(maps[0], expected.expand(3, -1, -1))
    assert (expected == 0).sum() > 30
    assert (maps[1] == 255).all()
    assert edge_maps(photos[:0]).shape == (0, 3, 32, 32)
