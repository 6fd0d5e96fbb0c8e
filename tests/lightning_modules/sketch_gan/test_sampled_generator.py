"""Several photos of one sketch: fixed masks of dropout, and the graph that has them as constants."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from croquis.files import write_json
from croquis.nets.generator import Generator
from lightning_modules.nets.onnx_export import export_onnx
from lightning_modules.nets.pix2pix import SketchGenerator, UNet
from lightning_modules.sketch_gan.sampled_generator import SampledGenerator

SIZE = 32
EXAMPLE = torch.full((1, 3, SIZE, SIZE), 0.5)


def generator(dropout: float = 0.5) -> SketchGenerator:
    torch.manual_seed(0)
    return SketchGenerator(UNet(4, 5, dropout))


def test_each_photo_is_what_dropout_with_its_masks_gives() -> None:
    """The masks stand in for `nn.Dropout`: a U-Net in training that drops the same numbers paints the same photo."""
    plain = generator()
    sampled = SampledGenerator(plain, 3, seed=7, example=EXAMPLE)
    sketches = torch.rand(2, 3, SIZE, SIZE)
    with torch.no_grad():
        photos = sampled(sketches)
        assert photos.shape == (2, 3, 3, SIZE, SIZE)
        for number in range(3):
            layers = [layer for layer in plain.modules() if isinstance(layer, nn.Dropout)]
            masks = [layer.masks[number] for layer in sampled._fixed]
            hooks = [
                layer.register_forward_hook(lambda _, given, __, mask=mask: given[0] * mask)
                for layer, mask in zip(layers, masks, strict=True)
            ]
            torch.testing.assert_close(plain(sketches), photos[:, number])
            for hook in hooks:
                hook.remove()
        assert torch.equal(plain.eval()(sketches), generator().eval()(sketches)), (
            "the net that was trained keeps its own"
        )
        assert (photos[:, 0] - photos[:, 1]).abs().max() > 1e-3


def test_masks_keep_the_share_that_dropout_keeps_and_depend_on_the_seed_alone() -> None:
    found = {seed: SampledGenerator(generator(0.25), 8, seed, EXAMPLE)._fixed for seed in (7, 8)}
    again = SampledGenerator(generator(0.25), 8, 7, EXAMPLE)._fixed
    assert [layer.masks.shape[0] for layer in again] == [8, 8, 8]
    for layer, same, other in zip(found[7], again, found[8], strict=True):
        assert torch.equal(layer.masks, same.masks)
        assert not torch.equal(layer.masks, other.masks)
        assert layer.masks.unique().tolist() == pytest.approx([0.0, 4 / 3])
    kept = torch.cat([(layer.masks > 0).flatten() for layer in again]).float().mean().item()
    assert kept == pytest.approx(0.75, abs=0.03)


def test_a_generator_without_noise_has_no_samples() -> None:
    with pytest.raises(ValueError, match="need a generator that drops out"):
        SampledGenerator(generator(0.0), 2, 7, EXAMPLE)


@pytest.mark.slow
def test_the_exported_graph_paints_the_same_photos_for_any_batch(tmp_path: Path) -> None:
    sampled = SampledGenerator(generator(), 2, 7, EXAMPLE)
    assert export_onnx(sampled, torch.rand(2, 3, SIZE, SIZE), tmp_path / "g.onnx", "sketches", "photos") < 1e-4
    write_json(tmp_path / "generator.json", {"file": "g.onnx", "size": SIZE, "samples": 2})
    opened, sketches = Generator(tmp_path), np.random.default_rng(0).random((5, 3, SIZE, SIZE), dtype=np.float32)
    painted = opened.paint(sketches)
    with torch.no_grad():
        np.testing.assert_allclose(painted, sampled(torch.from_numpy(sketches)), atol=1e-4)
    np.testing.assert_array_equal(painted, opened.paint(sketches))
    np.testing.assert_allclose(painted[3:4], opened.paint(sketches[3:4]), atol=1e-5)
