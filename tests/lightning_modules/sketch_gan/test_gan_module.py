"""Pairs of drawing and photo, the terms of the generator's loss, and the figures of val."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from croquis.catalog.drawings import crop_to_ink, photo_of
from croquis.catalog.images import decode_image, prepare_image
from croquis.catalog.table import Catalog, CatalogWriter
from croquis.nets.generator import colour_rows
from croquis.params import Params
from croquis.params.training_blocks import Backbone
from lightning_modules.data.retrieval_data import load_images
from lightning_modules.nets.backbones import BackboneError, build_backbone
from lightning_modules.nets.pix2pix import UNet
from lightning_modules.sketch_gan.embedding_distance import SMALL_WIDTH
from lightning_modules.sketch_gan.gan_module import (
    MONITOR,
    MONITORS,
    PairData,
    SketchGan,
    SketchPairs,
    jittered,
    load_pairs,
    rate_factor,
    ssim,
)
from lightning_modules.sketch_gan.garment_colours import PairColours
from lightning_modules.sketch_gan.pair_rows import PairError
from lightning_modules.sketch_gan.val_retrieval import ValRetrieval, mean_reciprocal_rank
from lightning_modules.training.fit import FitPlan, fit
from lightning_modules.training.numerics import prepare_torch

SIZE = 32


def pixels(images: torch.Tensor) -> set[bytes]:
    return {image.numpy().tobytes() for image in images}


def test_the_generator_sees_no_item_of_the_test_split(sketches: Catalog, catalog: Catalog) -> None:
    of_split = {split: load_images(catalog, catalog.select(split=split), SIZE).images for split in ("train", "test")}
    train, val = (load_pairs(sketches, catalog, split, SIZE) for split in ("train", "val"))
    assert pixels(train.photos) <= pixels(of_split["train"])
    assert not (pixels(train.photos) | pixels(val.photos)) & pixels(of_split["test"])
    drawn = [photo_of(name) for name in sketches.column("image_id")[sketches.select(split="test")]]
    assert drawn == [None] * len(drawn)  # what asks in test is traced from no photo, so it pairs with none
    with pytest.raises(PairError, match="has no test sketches of photos"):
        load_pairs(sketches, catalog, "test", SIZE)


def test_every_drawing_of_a_photo_is_paired_with_it(sketches: Catalog, catalog: Catalog) -> None:
    pairs = load_pairs(sketches, catalog, "train", SIZE)
    rows = sketches.select(split="train")
    assert len(pairs) == len(rows) == 8 * 2 * 2
    place = {name: row for row, name in enumerate(catalog.column("image_id"))}
    for number, (name, data) in enumerate(zip(sketches.column("image_id")[rows], sketches.images(rows), strict=True)):
        photo = load_images(catalog, np.array([place[photo_of(name)]]), SIZE).images[0]
        assert torch.equal(pairs.photos[number], photo)
        inside = prepare_image(crop_to_ink(decode_image(data)), SIZE)
        assert np.array_equal(pairs.sketches[number].permute(1, 2, 0).numpy(), inside)


def test_a_drawing_of_another_splits_photo_is_refused(sketches: Catalog, catalog: Catalog, tmp_path: Path) -> None:
    rows = [row for row in sketches.rows() if row["split"] == "train"]
    with CatalogWriter(tmp_path / "mixed") as writer:
        writer.write_all([{**row, "split": "val"} for row in rows])
    with pytest.raises(PairError, match="sketches of the split val show photos of another split"):
        load_pairs(Catalog.open(tmp_path / "mixed"), catalog, "val", SIZE)


def test_ssim_against_its_definition() -> None:
    """Wang et al. 2004, equation 13: Gaussian windows of standard deviation 1.5, C1 = (0.01 L)^2, C2 = (0.03 L)^2."""
    torch.manual_seed(0)
    a, b = (torch.rand(2, 3, 40, 40) * 2 - 1 for _ in range(2))
    b = (a + b) / 2

    def windowed(values: np.ndarray) -> np.ndarray:
        return gaussian_filter(values, sigma=1.5, truncate=3.4, axes=(2, 3))

    x, y = a.double().numpy(), b.double().numpy()
    mx, my = windowed(x), windowed(y)
    vx, vy, vxy = windowed(x * x) - mx**2, windowed(y * y) - my**2, windowed(x * y) - mx * my
    c1, c2 = (0.01 * 2) ** 2, (0.03 * 2) ** 2
    each = (2 * mx * my + c1) * (2 * vxy + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    inner = each[:, :, 5:-5, 5:-5]
    assert ssim(a, b).item() == pytest.approx(inner.mean(), abs=2e-3)
    assert ssim(a, a).item() == pytest.approx(1.0)


def test_an_image_does_not_depend_on_the_others_of_its_batch_nor_on_training() -> None:
    torch.manual_seed(0)
    unet, sketches = UNet(8, 5, 0.0), torch.rand(3, 3, 32, 32)
    with torch.no_grad():
        together = unet(sketches)
        assert torch.allclose(unet(sketches[:1]), together[:1], atol=1e-5)
        assert torch.allclose(unet.eval()(sketches), together, atol=1e-5)


def gan(params: Params, **changes: object) -> SketchGan:
    torch.manual_seed(0)
    images = torch.randint(0, 255, (8, 3, SIZE, SIZE), dtype=torch.uint8)
    rows = torch.from_numpy(colour_rows([(10 * number, 0, 0) for number in range(8)]))
    pairs = SketchPairs(images, images.flip(0), PairColours(rows, {}) if changes.get("colour") else None)
    return SketchGan(params.train_gan.model_copy(update=changes), PairData(pairs, pairs, 4, 0))


@pytest.mark.slow
def test_the_perceptual_term_is_there_when_it_weighs(params: Params, tmp_path: Path) -> None:
    prepare_torch(0, 1)
    plan = FitPlan("gan", 1, 5, MONITOR, "min")
    with_term, without = gan(params, perceptual_weight=2.0), gan(params, perceptual_weight=0.0)
    histories = [
        fit(each, each._data, plan, params.base, tmp_path / str(n)) for n, each in enumerate((with_term, without))
    ]
    assert histories[0]["train/perceptual"][0][1] > 0
    assert "train/perceptual" not in histories[1]
    for history in histories:
        assert {"val/l1", "val/ssim"} <= set(history)
        weights = {
            "l1": params.train_gan.l1_weight,
            "adversarial": params.train_gan.adversarial_weight,
            "perceptual": 2.0,
        }
        terms = {name: history[f"train/{name}"][0][1] for name in weights if f"train/{name}" in history}
        whole = sum(weights[name] * value for name, value in terms.items())
        assert history["train/loss"][0][1] == pytest.approx(whole, rel=1e-3)
    frozen = list(with_term._frozen.parameters())
    assert frozen
    assert not any(parameter.requires_grad for parameter in frozen)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_generator_and_discriminator_see_the_colour_unless_it_is_left_out(params: Params, share: float) -> None:
    module = gan(params, colour=True, no_colour_share=share)
    assert (module.generator.first.in_channels, module.discriminator[0].in_channels) == (7, 10)
    given: list[torch.Tensor] = []
    module.generator.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    judged: list[torch.Tensor] = []
    module.discriminator.register_forward_pre_hook(lambda _, inputs: judged.append(inputs[0]))
    batch = module._data.train.__getitems__([3, 0, 1, 2])
    module.optimizers = lambda: [SimpleNamespace(zero_grad=lambda: None, step=lambda: None)] * 2  # type: ignore[method-assign]
    module.toggle_optimizer = module.untoggle_optimizer = lambda *_: None  # type: ignore[method-assign]
    module.manual_backward = lambda _: None  # type: ignore[method-assign]
    module.log = lambda *_, **__: None  # type: ignore[method-assign]
    module.training_step(batch, 0)
    expected = batch["colours"] * 2 - 1 if share == 0 else torch.tensor([[0.0, 0.0, 0.0, -1.0]] * 4)
    assert torch.allclose(given[0][:, 3:], expected[:, :, None, None].expand(-1, -1, SIZE, SIZE))
    assert len(judged) == 3
    assert all(torch.equal(each[:, :7], given[0]) for each in judged)


@pytest.mark.slow
def test_a_training_with_colours_is_judged_with_and_without_them(params: Params, tmp_path: Path) -> None:
    prepare_torch(0, 1)
    module = gan(params, colour=True, epochs=1)
    history = fit(module, module._data, FitPlan("gan", 1, 5, MONITOR, "min"), params.base, tmp_path)
    assert {"val/l1", "val/ssim", "val/l1_coloured"} <= set(history)
    assert history["val/l1_coloured"][0][1] != history["val/l1"][0][1]
    plain = gan(params, colour=False)
    assert module.draw().width > plain.draw().width


@pytest.mark.slow
def test_a_missing_file_of_perceptual_weights_is_named_with_its_block(params: Params) -> None:
    with pytest.raises(BackboneError, match=r"train_gan.perceptual_weights, read as"):
        gan(params, perceptual_weight=1.0, perceptual_weights="nowhere.pth")


@pytest.mark.slow
def test_the_embedding_term_is_there_when_it_weighs(params: Params, tmp_path: Path) -> None:
    """At 0 nothing is loaded and the training is what it was, whatever net is named."""
    prepare_torch(0, 1)
    plan = FitPlan("gan", 1, 5, MONITOR, "min")
    file = tmp_path / "small.pth"
    block = Backbone(name="small", weights="none", width=SMALL_WIDTH, freeze_bn=True, channels_last=False)
    torch.save(build_backbone(block).features.state_dict(), file)
    changes = {"embedding_net": "small", "embedding_weights": str(file)}
    with_term, without = gan(params, embedding_weight=5.0, **changes), gan(params, **changes)
    assert without._encoder is None
    plain = gan(params)
    frozen = {name: value.clone() for name, value in with_term._encoder.state_dict().items()}
    started = [value.clone() for value in plain.generator.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(started, with_term.generator.parameters(), strict=True))
    histories = []
    for number, module in enumerate((with_term, without, plain)):
        torch.manual_seed(1)
        histories.append(fit(module, module._data, plan, params.base, tmp_path / str(number)))
    weights = {"l1": params.train_gan.l1_weight, "adversarial": params.train_gan.adversarial_weight, "embedding": 5.0}
    whole = sum(weight * histories[0][f"train/{name}"][0][1] for name, weight in weights.items())
    assert histories[0]["train/embedding"][0][1] > 0
    assert histories[0]["train/loss"][0][1] == pytest.approx(whole, rel=1e-3)
    assert "train/embedding" not in histories[1]
    assert histories[1] == histories[2]
    nets = [list(module.generator.state_dict().values()) for module in (with_term, without, plain)]
    assert all(torch.equal(a, b) for a, b in zip(nets[1], nets[2], strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(nets[0], nets[2], strict=True))
    assert all(torch.equal(frozen[name], value.cpu()) for name, value in with_term._encoder.state_dict().items())


def test_the_rate_is_that_of_the_official_schedule() -> None:
    """pix2pix's code: 1 for n_epochs, then 1 - (epoch + 1 - n_epochs) / (n_epochs_decay + 1); here 100 and 100 of 200."""
    expected = [1.0] * 100 + [1 - (number + 1) / 101 for number in range(100)]
    assert [rate_factor(epoch, 100, 200) for epoch in range(200)] == pytest.approx(expected)
    assert {rate_factor(epoch, 7, 7) for epoch in range(7)} == {1.0}


@pytest.mark.slow
def test_a_training_steps_down_the_rate(params: Params, tmp_path: Path) -> None:
    prepare_torch(0, 1)
    module = gan(params, epochs=4, constant_share=0.5)
    fit(module, module._data, FitPlan("gan", 4, 5, MONITOR, "min"), params.base, tmp_path)
    rates = [optimiser.param_groups[0]["lr"] for optimiser in module.trainer.optimizers]
    assert rates == pytest.approx([params.train_gan.learning_rate * rate_factor(4, 2, 4)] * 2)


def test_jittered_pairs_are_cut_alike_from_an_enlarged_image() -> None:
    """A ramp of 32 px seen 1.25 times as large: values still rise evenly, by 1 / 1.25 of a step, each from its own place."""
    ramp = torch.linspace(-0.8, 0.8, 32).expand(6, 3, 32, 32)
    torch.manual_seed(0)
    sketches, photos = jittered(ramp, -ramp, 1.25)
    assert sketches.shape == ramp.shape
    assert torch.allclose(sketches, -photos, atol=1e-6)
    steps = sketches[:, 0, 16, 4:28].diff(dim=1)
    assert torch.allclose(steps, torch.full_like(steps, 1.6 / 31 / 1.25), atol=5e-3)
    assert len({round(float(value), 3) for value in sketches[:, 0, 16, 16]}) > 2
    assert jittered(ramp, ramp, 1.0)[0] is ramp


def test_the_rank_of_the_photo_that_was_drawn() -> None:
    """Asked with directions at 10, 80 and 44 degrees among photos at 0, 90 and 45: ranks 1, 1 and 3."""

    def at(*degrees: float) -> np.ndarray:
        return np.stack([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))], axis=1)

    found = mean_reciprocal_rank(at(10, 80, 44) * 3, at(0, 90, 45), np.array([0, 1, 1]))
    assert found == pytest.approx((1 + 1 + 1 / 3) / 3)
    same = np.ones((4, 2))
    assert mean_reciprocal_rank(same, same, np.arange(4)) == pytest.approx(1 / 4), "all alike finds nothing"


class Mirror:
    """Features of a picture: a few of its pixels."""

    def of(self, photos: Any) -> np.ndarray:
        return np.stack([photo[::8, ::8].reshape(-1).astype(np.float64) for photo in photos])


def test_several_photos_of_a_sketch_find_its_photo_together() -> None:
    """One of three is of another photo; their mean is nearest to the right one."""
    photos = np.random.default_rng(6).integers(0, 256, (6, SIZE, SIZE, 3), dtype=np.uint8)
    judge = ValRetrieval(Mirror(), list(photos), np.arange(6))
    others = np.roll(photos, 1, axis=0)
    made = [picture for own, other in zip(photos, others, strict=True) for picture in (own, own, other)]
    assert judge.figures(made)["retrieval"] == 1
    assert judge.figures(list(others))["retrieval"] < 1


def test_val_has_retrieval_and_frechet_where_a_judge_is_there(params: Params, tmp_path: Path) -> None:
    prepare_torch(0, 1)
    images = torch.randint(0, 255, (6, 3, SIZE, SIZE), dtype=torch.uint8)
    pairs = SketchPairs(images.flip(0)[[0, 1, 2, 3, 4, 5, 0]], images[[0, 1, 2, 3, 4, 5, 0]])
    assert pairs.shown().tolist() == [0, 1, 2, 3, 4, 5, 0]
    assert len(list(pairs.photo_pictures())) == 6
    judge = ValRetrieval(Mirror(), list(pairs.photo_pictures()), pairs.shown())
    assert judge.figures(list(images[[0, 1, 2, 3, 4, 5, 0]].permute(0, 2, 3, 1).numpy()))["retrieval"] == 1
    data = PairData(pairs, pairs, 4, 0)
    module = SketchGan(params.train_gan.model_copy(update={"epochs": 1}), data, judge)
    monitor, mode = MONITORS["retrieval"]
    history = fit(module, data, FitPlan("gan", 1, 5, monitor, mode), params.base, tmp_path)
    assert 1 / 6 <= history["val/retrieval"][0][1] <= 1
    assert history["val/frechet"][0][1] > 0
