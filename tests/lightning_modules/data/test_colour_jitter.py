"""Both jitters against numbers of kornia 0.5.10, torchvision's functions, and the standard library's colour system."""

from __future__ import annotations

import colorsys
import itertools
from typing import Any

import pytest
import torch
from torchvision.transforms.v2 import functional

from croquis.params.training_blocks import StrongAugment
from lightning_modules.data import colour_jitter
from lightning_modules.data.colour_jitter import changed, hsv, jitter, rgb

PIXELS = [[0.2, 0.5, 0.7], [0.9, 0.3, 0.1], [0.05, 0.05, 0.05], [0.6, 0.8, 0.4]]
IMAGE = torch.tensor(PIXELS).T.reshape(1, 3, 2, 2)
FACTORS = torch.tensor([[1.3, 0.7, 1.5, -0.08]])
# adjust_brightness(x, 0.3), adjust_contrast(x, 0.7), adjust_saturation(x, 1.5) and adjust_hue(x, -0.08 * 2 * pi) of kornia
# 0.5.10 (from PyPI, float64, torch 2.14), run in these orders on 2026-11-29.
KORNIA = {
    (0, 1, 2, 3): [[0.175002, 0.7, 0.658], [0.7, 0.070002, 0.162402], [0.245, 0.245, 0.245], [0.7, 0.6538, 0.385001]],
    (3, 2, 1, 0): [[0.3, 0.79, 0.7508], [0.93, 0.3, 0.4449], [0.335, 0.335, 0.335], [0.8516, 0.86, 0.440001]],
    (2, 0, 3, 1): [[0.21, 0.7, 0.6608], [0.7, 0.21, 0.2877], [0.245, 0.245, 0.245], [0.7, 0.672, 0.350001]],
}
TORCHVISION = (
    functional.adjust_brightness,
    functional.adjust_contrast,
    functional.adjust_saturation,
    functional.adjust_hue,
)
STRENGTHS = StrongAugment(
    recipe="kornia", crop_scale=1.0, rotate=0.0, flip=0.0, brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1,
    erase=0.0, crop=0.0, jitter=1.0, grey=0.0, blur=0.0, blur_sigma=1.0,
)  # fmt: skip


@pytest.mark.parametrize("order", KORNIA)
def test_numbers_of_kornia(order: tuple[int, ...]):
    found = changed(IMAGE, FACTORS, torch.tensor([order]), as_kornia=True)
    assert torch.allclose(found.reshape(3, 4).T, torch.tensor(KORNIA[order]), atol=5e-6)


@pytest.mark.parametrize("order", itertools.permutations(range(4)))
def test_as_torchvision_in_every_order(order: tuple[int, ...]):
    generator = torch.Generator().manual_seed(2)
    images = torch.rand(3, 3, 6, 6, generator=generator)
    factors = torch.rand(3, 4, generator=generator) * 0.8 + torch.tensor([0.6, 0.6, 0.6, -0.4])
    found = changed(images, factors, torch.tensor([order] * 3), as_kornia=False)
    for image, own, view in zip(images, factors.tolist(), found, strict=True):
        expected = image
        for number in order:
            expected = TORCHVISION[number](expected, own[number])
        assert torch.allclose(view, expected, atol=2e-4), "torchvision weighs red by 0.2989 in its grey"


def test_every_image_has_its_own_order():
    images = IMAGE.repeat(2, 1, 1, 1)
    orders = [[0, 1, 2, 3], [3, 2, 1, 0]]
    found = changed(images, FACTORS.repeat(2, 1), torch.tensor(orders), as_kornia=True)
    for view, order in zip(found, orders, strict=True):
        assert torch.equal(view, changed(IMAGE, FACTORS, torch.tensor([order]), as_kornia=True)[0])


def test_hsv_is_that_of_the_standard_library_and_comes_back():
    pixels = torch.rand(1, 3, 30, 30, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    pixels[0, :, 0, :3] = torch.tensor([[0.0, 1.0, 0.5]] * 3, dtype=torch.float64)
    found = torch.cat(hsv(pixels), dim=1)
    for pixel, values in zip(pixels.flatten(2)[0].T.tolist(), found.flatten(2)[0].T.tolist(), strict=True):
        assert values == pytest.approx(colorsys.rgb_to_hsv(*pixel), abs=1e-12)
    assert torch.allclose(rgb(*hsv(pixels)), pixels, atol=1e-12)
    hue, saturation, value = hsv(pixels)
    assert torch.allclose(rgb(hue - 3, saturation, value), pixels, atol=1e-12)


def rms(recipe: str) -> float:
    torch.manual_seed(0)
    images = torch.rand(4000, 3, 1, 1).expand(4000, 3, 4, 4) * 0.6 + 0.2
    views = jitter(images, STRENGTHS.model_copy(update={"recipe": recipe}))
    return float((views - images).square().mean().sqrt())


def test_kornias_is_the_stronger_one():
    assert rms("kornia") > 1.5 * rms("torchvision")


def test_kornia_adds_brightness_evenly_and_nothing_is_changed_without_strength():
    images = torch.full((400, 3, 1, 1), 0.5)
    none = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0}
    for recipe in ("kornia", "torchvision"):
        same = jitter(images, STRENGTHS.model_copy(update={"recipe": recipe, **none}))
        assert torch.allclose(same, images, atol=1e-6)
    torch.manual_seed(5)
    moved = jitter(images, STRENGTHS.model_copy(update={**none, "brightness": 0.3}))
    assert float(moved.min()) == pytest.approx(0.2, abs=0.01)
    assert float(moved.max()) == pytest.approx(0.8, abs=0.01)


@pytest.mark.parametrize(("recipe", "orders"), [("kornia", 1), ("torchvision", 24)])
def test_one_order_for_the_batch_or_one_for_each_image(recipe: str, orders: int, monkeypatch: pytest.MonkeyPatch):
    seen: list[torch.Tensor] = []

    def kept(images: torch.Tensor, *given: Any) -> torch.Tensor:
        seen.append(given[1])
        return images

    monkeypatch.setattr(colour_jitter, "changed", kept)
    jitter(torch.rand(500, 3, 2, 2), STRENGTHS.model_copy(update={"recipe": recipe}))
    assert len(set(map(tuple, seen[0].tolist()))) == orders
