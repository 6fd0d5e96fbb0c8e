import math

import pytest
import torch

from croquis.params.training_blocks import StrongAugment
from lightning_modules.data.strong_views import blur, strong_view

NONE = StrongAugment(
    crop_scale=1.0, rotate=0.0, flip=0.0, brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0, erase=0.0,
    crop=0.0, jitter=0.0, grey=0.0, blur=0.0, blur_sigma=1.0,
)  # fmt: skip
IMAGES = torch.rand(6, 3, 24, 24, generator=torch.Generator().manual_seed(3))
STRENGTHS = {"crop_scale": 0.3, "rotate": 20.0, "brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1}


def only(**values: float) -> StrongAugment:
    return NONE.model_copy(update=values)


def changed(views: torch.Tensor, images: torch.Tensor) -> list[bool]:
    return (views - images).abs().flatten(1).amax(1).gt(1e-3).tolist()


def test_strengths_without_probability_change_nothing():
    assert torch.equal(strong_view(IMAGES, only(**STRENGTHS)), IMAGES)


@pytest.mark.parametrize("change", ["crop", "flip", "jitter", "grey", "blur", "erase"])
def test_share_scales_the_probability_of_each_change(change: str):
    torch.manual_seed(0)
    many = IMAGES.repeat(200, 1, 1, 1)
    params = only(**STRENGTHS, **{change: 0.8}, blur_sigma=20.0)  # nearly every draw is a blur to be seen
    assert sum(changed(strong_view(many, params), many)) / len(many) == pytest.approx(0.8, abs=0.05)
    assert sum(changed(strong_view(many, params, share=0.5), many)) / len(many) == pytest.approx(0.4, abs=0.05)
    assert torch.equal(strong_view(many, params, share=0.0), many)


def test_a_flipped_view_is_the_mirror_image_and_a_grey_one_has_no_colour():
    assert torch.equal(strong_view(IMAGES, only(flip=1.0)), IMAGES.flip(3))
    grey = strong_view(IMAGES, only(grey=1.0))
    for image, view in zip(IMAGES, grey, strict=True):
        expected = 0.299 * image[0] + 0.587 * image[1] + 0.114 * image[2]
        assert all(torch.allclose(channel, expected, atol=1e-6) for channel in view)


def test_views_stay_in_range_and_the_seed_decides():
    params = only(**STRENGTHS, crop=1.0, flip=0.5, jitter=0.8, grey=0.2, blur=0.5, erase=0.5)
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
