import pytest
import torch
from torch import nn

from croquis.params import Params
from lightning_modules.nets.pix2pix import PatchDiscriminator, SketchGenerator, UNet, build_networks


@pytest.mark.parametrize(("size", "depth"), [(32, 5), (64, 5), (64, 6), (256, 8)])
def test_the_unet_gives_back_the_size(size: int, depth: int):
    with torch.no_grad():
        out = UNet(4, depth, 0.5).eval()(torch.rand(2, 3, size, size))
    assert out.shape == (2, 3, size, size)


def test_skip_connections_carry_the_sketch_to_the_output():
    """With the innermost layers silenced, the output must still depend on the input."""
    torch.manual_seed(0)
    unet = UNet(4, 4, 0.0).eval()
    nn.init.zeros_(unet.down[-1][1].weight)
    with torch.no_grad():
        a, b = unet(torch.rand(1, 3, 32, 32)), unet(torch.rand(1, 3, 32, 32))
    assert not torch.allclose(a, b)


def test_the_three_innermost_steps_drop_out():
    unet = UNet(4, 7, 0.5)
    dropping = [any(isinstance(layer, nn.Dropout) for layer in up) for up in unet.up]
    assert dropping == [True, True, True, False, False, False]


def test_dropout_is_noise_in_training_and_off_in_the_exported_generator():
    torch.manual_seed(0)
    unet, sketches = UNet(8, 5, 0.5), torch.rand(2, 3, 32, 32)
    assert not torch.equal(unet(sketches), unet(sketches))
    exported = SketchGenerator(unet).eval()
    with torch.no_grad():
        photos = exported(sketches)
        assert torch.equal(photos, exported(sketches))
    assert 0 <= photos.min() <= photos.max() <= 1


@pytest.mark.parametrize(("layers", "field"), [(1, 16), (2, 34), (3, 70)])
def test_a_patch_sees_as_much_as_the_paper_says(layers: int, field: int):
    """70 pixels with three layers; the field is measured from where the gradient of the middle logit reaches."""
    torch.manual_seed(0)
    net = PatchDiscriminator(4, layers).eval()
    pair = torch.rand(1, 6, 160, 160, requires_grad=True)
    logits = net(pair)
    logits[0, 0, logits.shape[2] // 2, logits.shape[3] // 2].backward()
    touched = pair.grad.abs().sum(dim=(0, 1)).sum(dim=0).nonzero()
    assert int(touched.max() - touched.min()) + 1 == field


def test_weights_start_as_in_the_paper(params: Params):
    torch.manual_seed(0)
    generator, _ = build_networks(params.train_gan.model_copy(update={"generator_channels": 64}))
    assert generator.down[0][1].weight.std().item() == pytest.approx(0.02, rel=0.05)
