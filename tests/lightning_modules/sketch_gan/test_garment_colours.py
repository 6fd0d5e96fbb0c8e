"""The colour of a garment from its photo, the words for it, and the planes that nets see in training and when served."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from croquis.catalog.table import Catalog
from croquis.nets.generator import colour_rows, with_colours
from lightning_modules.sketch_gan.gan_module import load_pairs
from lightning_modules.sketch_gan.garment_colours import (
    PairColours,
    beside,
    colour_words,
    garment_colour,
    some_left_out,
)

RED, NAVY = (190, 38, 44), (36, 46, 82)


def garment(ground: int, stripes: bool) -> np.ndarray:
    """A red rectangle on a plain ground, a third of it in blue stripes."""
    photo = np.full((64, 64, 3), ground, dtype=np.uint8)
    photo[12:52, 20:44] = RED
    if stripes:
        photo[12:52:3, 20:44] = NAVY
    return photo


@pytest.mark.parametrize("stripes", [False, True])
@pytest.mark.parametrize("ground", [255, 245])
def test_the_colour_is_the_garments_and_not_the_grounds(ground: int, stripes: bool) -> None:
    assert garment_colour(garment(ground, stripes)) == pytest.approx(RED, abs=2)


def test_where_nothing_is_enclosed_the_middle_counts() -> None:
    photo = np.full((64, 64, 3), 255, dtype=np.uint8)
    photo[:, 24:] = NAVY
    assert garment_colour(photo) == NAVY
    assert garment_colour(np.full((64, 64, 3), 77, dtype=np.uint8)) == (77, 77, 77)


def test_a_word_is_the_median_of_its_photos() -> None:
    attributes = [["colour:red", "sleeve:long"], ["colour:red"], ["colour:red", "colour:blue"], [], ["accent:pink"]]
    colours = [(200, 0, 0), (180, 10, 10), (190, 20, 250), (1, 2, 3), (4, 5, 6)]
    assert colour_words(attributes, colours) == {"blue": "#be14fa", "red": "#be0a0a"}


def test_pairs_have_the_colours_of_their_photos(sketches: Catalog, catalog: Catalog) -> None:
    pairs = load_pairs(sketches, catalog, "train", 32, coloured=True)
    assert pairs.colours is not None
    assert pairs.colours.rows.shape == (len(pairs), 4)
    for number in (0, len(pairs) // 2, len(pairs) - 1):
        photo = pairs.photos[number].permute(1, 2, 0).numpy()
        expected = colour_rows([garment_colour(photo)])
        assert np.array_equal(pairs.colours.rows[[number]].numpy(), expected)
    assert load_pairs(sketches, catalog, "train", 32).colours is None


def test_several_drawings_of_a_photo_count_once_in_its_word() -> None:
    plain = np.stack([np.full((16, 16, 3), value, dtype=np.uint8) for value in (10, 99, 30, 50)])
    photos: Any = SimpleNamespace(take=lambda rows: plain[rows])
    attributes = np.array([["colour:dark"], ["colour:not drawn"], ["colour:dark"], ["colour:dark"]], dtype=object)
    found = PairColours.of(photos, np.array([3, 0, 2, 3, 3]), attributes[:, 0:1])
    assert (found.rows[:, 0] * 255).round().tolist() == [50, 10, 30, 50, 50]
    assert found.words == {"dark": "#1e1e1e"}


def test_nets_see_the_same_planes_in_training_and_when_served() -> None:
    colours = [RED, None, NAVY]
    sketches = np.random.default_rng(0).random((3, 3, 8, 8), dtype=np.float32)
    trained = beside(torch.from_numpy(sketches) * 2 - 1, torch.from_numpy(colour_rows(colours)))
    assert torch.allclose(trained, torch.from_numpy(with_colours(sketches, colours)) * 2 - 1, atol=1e-6)
    without = beside(torch.from_numpy(sketches) * 2 - 1)
    assert torch.allclose(without, torch.from_numpy(with_colours(sketches, [None] * 3)) * 2 - 1, atol=1e-6)


def test_a_share_of_the_colours_is_left_out() -> None:
    torch.manual_seed(0)
    colours = torch.from_numpy(colour_rows([RED] * 2000))
    given = some_left_out(colours, 0.3)[:, 3]
    assert set(given.tolist()) == {0.0, 1.0}
    assert 1 - given.mean().item() == pytest.approx(0.3, abs=0.04)
    assert torch.equal(some_left_out(colours, 0.0), colours)
    assert some_left_out(colours, 1.0)[:, 3].sum() == 0
    assert torch.equal(colours, torch.from_numpy(colour_rows([RED] * 2000)))
