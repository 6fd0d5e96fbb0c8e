import torch

from croquis.params.training_blocks import Augment
from lightning_modules.data.augment import augment

NONE = Augment(crop_scale=1.0, rotate=0.0, flip=0.0, brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0, erase=0.0)
IMAGES = torch.rand(6, 3, 24, 24, generator=torch.Generator().manual_seed(3))


def only(**strength: float) -> Augment:
    return NONE.model_copy(update=strength)


def test_zero_strength_changes_nothing():
    assert torch.equal(augment(IMAGES, NONE), IMAGES)


def test_flip_mirrors():
    assert torch.allclose(augment(IMAGES, only(flip=1.0)), IMAGES.flip(3), atol=1e-5)


def test_each_image_gets_its_own_view_and_stays_in_range():
    same = IMAGES[:1].expand(6, -1, -1, -1)
    for params in (only(crop_scale=0.4), only(rotate=30.0), only(brightness=0.5), only(hue=0.2), only(erase=1.0)):
        views = augment(same, params)
        assert views.shape == same.shape
        assert 0 <= views.min() <= views.max() <= 1
        assert not torch.allclose(views[0], views[1]), params


def test_grey_images_keep_their_grey_under_hue_and_saturation():
    grey = IMAGES.mean(1, keepdim=True).expand(-1, 3, -1, -1)
    assert torch.allclose(augment(grey, only(hue=0.3, saturation=0.8)), grey, atol=2e-3)


def test_erasing_covers_the_share_of_the_area_that_it_says():
    torch.manual_seed(0)
    changed = (augment(IMAGES.repeat(40, 1, 1, 1), only(erase=1.0)) != IMAGES.repeat(40, 1, 1, 1)).any(1).float().mean()
    assert 0.05 < changed < 0.2


def test_the_seed_decides():
    full = only(crop_scale=0.5, rotate=10.0, flip=0.5, brightness=0.2, erase=0.5)
    torch.manual_seed(4)
    first = augment(IMAGES, full)
    torch.manual_seed(4)
    assert torch.equal(first, augment(IMAGES, full))
