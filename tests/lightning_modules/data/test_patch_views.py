"""Permuted cells: of an item's pictures alike, nothing lost, and the rest of a picture in its place."""

from __future__ import annotations

import pytest
import torch

from lightning_modules.data.patch_views import shuffled_cells


def numbered(count: int, size: int) -> torch.Tensor:
    """Pictures whose pixels all differ within a picture, and are equal between pictures."""
    one = torch.arange(3.0 * size * size).view(1, 3, size, size)
    return one.repeat(count, 1, 1, 1)


def test_images_of_an_item_are_permuted_alike_and_others_otherwise() -> None:
    torch.manual_seed(0)
    items = torch.tensor([4, 9, 4, 9])
    views = shuffled_cells(numbered(4, 12), items, 1.0, 3)
    assert torch.equal(views[0], views[2])
    assert torch.equal(views[1], views[3])
    assert not torch.equal(views[0], views[1])


def test_cells_move_whole_and_none_is_lost() -> None:
    torch.manual_seed(0)
    images = numbered(1, 13)
    views = shuffled_cells(images, torch.tensor([0]), 1.0, 3)
    assert not torch.equal(views, images)
    assert torch.equal(views[..., 12:], images[..., 12:])  # what the cells leave over
    assert torch.equal(views[:, :, 12:], images[:, :, 12:])
    corners = {(y, x): images[0, :, y : y + 4, x : x + 4] for y in (0, 4, 8) for x in (0, 4, 8)}
    found = []
    for y, x in corners:
        part = views[0, :, y : y + 4, x : x + 4]
        found.append(next(place for place, cell in corners.items() if torch.equal(cell, part)))
    assert sorted(found) == sorted(corners)


def test_the_share_of_items_is_the_probability() -> None:
    torch.manual_seed(0)
    images, items = numbered(400, 4), torch.arange(400)
    assert torch.equal(shuffled_cells(images, items, 0.0, 2), images)
    moved = (shuffled_cells(images, items, 0.5, 2) != images).flatten(1).any(1)
    assert 0.4 < moved.float().mean() < 0.56  # one permutation of 24 leaves all cells in place


def test_more_cells_than_pixels_are_refused() -> None:
    with pytest.raises(ValueError, match="5 cells per side do not fit into 4 pixels"):
        shuffled_cells(numbered(1, 4), torch.tensor([0]), 0.5, 5)
