import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from croquis.params.training_blocks import StrongAugment
from lightning_modules.data.strong_views import blur, inner_crop, row_blur, strong_view

NONE = StrongAugment(
    recipe="ours",
    crop_scale=1.0, rotate=0.0, flip=0.0, brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0, erase=0.0,
    crop=0.0, jitter=0.0, grey=0.0, blur=0.0, blur_sigma=1.0,
)  # fmt: skip
IMAGES = torch.rand(6, 3, 24, 24, generator=torch.Generator().manual_seed(3))
STRENGTHS = {"crop_scale": 0.3, "rotate": 20.0, "brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1}


def only(**values: Any) -> StrongAugment:
    return NONE.model_copy(update=values)


def changed(views: torch.Tensor, images: torch.Tensor) -> list[bool]:
    return (views - images).abs().flatten(1).amax(1).gt(1e-3).tolist()


def test_strengths_without_probability_change_nothing():
    assert torch.equal(strong_view(IMAGES, only(**STRENGTHS)), IMAGES)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["ours", "kornia", "torchvision"])
@pytest.mark.parametrize("change", ["crop", "flip", "jitter", "grey", "blur", "erase"])
def test_share_scales_the_probability_of_each_change(change: str, recipe: str):
    torch.manual_seed(0)
    many = IMAGES.repeat(200, 1, 1, 1)
    params = only(
        **STRENGTHS, **{change: 0.8}, blur_sigma=20.0, recipe=recipe
    )  # nearly every draw is a blur to be seen
    assert sum(changed(strong_view(many, params), many)) / len(many) == pytest.approx(0.8, abs=0.05)
    assert sum(changed(strong_view(many, params, share=0.5), many)) / len(many) == pytest.approx(0.4, abs=0.05)
    assert torch.equal(strong_view(many, params, share=0.0), many)


def test_a_flipped_view_is_the_mirror_image_and_a_grey_one_has_no_colour():
    assert torch.equal(strong_view(IMAGES, only(flip=1.0)), IMAGES.flip(3))
    grey = strong_view(IMAGES, only(grey=1.0))
    for image, view in zip(IMAGES, grey, strict=True):
        expected = 0.299 * image[0] + 0.587 * image[1] + 0.114 * image[2]
        assert all(torch.allclose(channel, expected, atol=1e-6) for channel in view)


@pytest.mark.parametrize("recipe", ["ours", "kornia", "torchvision"])
def test_views_stay_in_range_and_the_seed_decides(recipe: str):
    params = only(recipe=recipe, **STRENGTHS, crop=1.0, flip=0.5, jitter=0.8, grey=0.2, blur=0.5, erase=0.5)
    torch.manual_seed(4)
    first = strong_view(IMAGES, params)
    assert 0 <= first.min() <= first.max() <= 1
    again = strong_view(IMAGES, params)
    assert not torch.equal(first, again)
    torch.manual_seed(4)
    assert torch.equal(first, strong_view(IMAGES, params))


def mirrored(i: int, size: int) -> int:
    return -i if i < 0 else 2 * (size - 1) - i if i >= size else i


def test_blur_is_a_gaussian_mean_of_the_neighbours():
    sigmas = torch.tensor([0.5, 2.0])
    images = torch.rand(2, 1, 20, 20, generator=torch.Generator().manual_seed(1))
    found = blur(images, sigmas)
    for n, sigma in enumerate(sigmas.tolist()):
        weights = [math.exp(-0.5 * (step / sigma) ** 2) for step in (-1, 0, 1)]
        total = sum(weights)
        for y, x in ((0, 0), (7, 11), (19, 3)):
            expected = sum(
                weights[dy + 1] * weights[dx + 1] / total**2
                * float(images[n, 0, mirrored(y + dy, 20), mirrored(x + dx, 20)])
                for dy in (-1, 0, 1) for dx in (-1, 0, 1)
            )  # fmt: skip
            assert float(found[n, 0, y, x]) == pytest.approx(expected, abs=1e-6)


def test_the_row_blur_is_what_kornia_does_with_the_official_arguments():
    """kornia 0.5.10, RandomGaussianBlur((3, 3), (0.1, 2.0), p=1), run once on 2026-11-29."""
    image = (torch.arange(12.0).reshape(1, 1, 3, 4) ** 2) / 121
    found = row_blur(image.repeat(2, 1, 1, 1), 2.0)
    expected = [
        [0.0053, 0.0135, 0.0383, 0.0480],
        [0.1797, 0.2119, 0.3028, 0.3364],
        [0.6186, 0.6747, 0.8317, 0.8892],
    ]
    assert torch.allclose(found[0, 0], torch.tensor(expected), atol=6e-5)
    assert torch.equal(found[0], found[1])


@pytest.mark.parametrize(("side", "taps"), [(32, 3), (64, 5), (256, 25)])
def test_the_row_blur_has_as_many_taps_as_in_the_official_codes(side: int, taps: int):
    dot = torch.zeros(1, 1, side, side)
    dot[0, 0, side // 2, side // 2] = 1.0
    found = row_blur(dot, 2.0)[0, 0]
    assert int((found > 0).sum()) == taps
    assert int((found[side // 2] > 0).sum()) == taps, "no column is blurred"
    assert float(found[side // 2, side // 2] / found[side // 2, side // 2 + 1]) == pytest.approx(math.exp(1 / 8))


def corners(crop: Callable[..., torch.Tensor], **values: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Left, right and top, bottom edges of crops, in shares of the side, read off an image of its own coordinates."""
    torch.manual_seed(1)
    size = 128
    places = (torch.arange(size) + 0.5) / size
    across, down = places.expand(size, size), places.unsqueeze(1).expand(size, size)
    views = crop(torch.stack([across, down, down]).repeat(1500, 1, 1, 1), only(**values))
    half = 0.5 / (size - 1)
    x = torch.stack([views[:, 0, 64, 0], views[:, 0, 64, -1]], dim=1)
    y = torch.stack([views[:, 1, 0, 64], views[:, 1, -1, 64]], dim=1)
    outer = [
        torch.stack([e[:, 0] - (e[:, 1] - e[:, 0]) * half, e[:, 1] + (e[:, 1] - e[:, 0]) * half], 1) for e in (x, y)
    ]
    return outer[0], outer[1]


@pytest.mark.slow
def test_an_inner_crop_has_the_area_and_the_shape_that_are_asked_for_and_stays_inside():
    x, y = corners(inner_crop, crop_scale=0.08)
    wide, high = x[:, 1] - x[:, 0], y[:, 1] - y[:, 0]
    area, shape = wide * high, wide / high
    assert 0.08 - 0.01 <= float(area.min()) < 0.1
    assert 0.9 < float(area.max()) <= 1.001
    assert float(shape.min()) == pytest.approx(3 / 4, abs=0.02)
    assert float(shape.max()) == pytest.approx(4 / 3, abs=0.02)
    assert float(shape.log().mean()) == pytest.approx(0, abs=0.02)
    assert float(min(x.min(), y.min())) >= -1e-3
    assert float(max(x.max(), y.max())) <= 1 + 1e-3
    assert float(x.mean()) == pytest.approx(0.5, abs=0.01)


def test_a_crop_of_the_whole_image_is_the_image():
    assert torch.allclose(inner_crop(IMAGES, only(crop_scale=1.0)), IMAGES, atol=1e-5)
