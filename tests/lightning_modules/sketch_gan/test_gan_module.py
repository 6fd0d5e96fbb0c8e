"""Pairs of drawing and photo, the terms of the generator's loss, and the figures of val."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from croquis.catalog.drawings import crop_to_ink, photo_of
from croquis.catalog.images import decode_image, prepare_image
from croquis.catalog.table import Catalog, CatalogWriter
from croquis.params import Params
from lightning_modules.data.retrieval_data import load_images
from lightning_modules.nets.backbones import BackboneError
from lightning_modules.nets.pix2pix import UNet
from lightning_modules.sketch_gan.gan_module import (
    MONITOR,
    PairData,
    PairError,
    SketchGan,
    SketchPairs,
    load_pairs,
    ssim,
)
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
    pairs = SketchPairs(images, images.flip(0))
    return SketchGan(params.train_gan.model_copy(update=changes), PairData(pairs, pairs, 4, 0))


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


def test_a_missing_file_of_perceptual_weights_is_named_with_its_block(params: Params) -> None:
    with pytest.raises(BackboneError, match=r"train_gan.perceptual_weights, read as"):
        gan(params, perceptual_weight=1.0, perceptual_weights="nowhere.pth")
