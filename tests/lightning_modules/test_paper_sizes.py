"""The paper-size settings of the reference systems build and take one optimiser step."""

import numpy as np
import pytest
import torch

from lightning_modules import siamese
from lightning_modules.attribute_classifier import AttributeClassifier, ClassifierData
from lightning_modules.data import ImageSet, RetrievalData
from lightning_modules.sketch_gan import PairData, Pairs, SketchGan
from params import Params, load_params
from params.loader import parse_params, read_yaml

pytestmark = pytest.mark.slow


def image_set(count: int, size: int) -> ImageSet:
    names = np.array([f"image-{i}" for i in range(count)], dtype=object)
    numbers = np.arange(count) // 2
    return ImageSet(
        images=torch.randint(0, 255, (count, 3, size, size), dtype=torch.uint8),
        items=numbers,
        categories=numbers,
        domains=np.array(["shop", "consumer"] * (count // 2), dtype=object),
        image_ids=names,
        item_ids=names,
        attributes=np.array([[f"a{i % 2}"] for i in range(count)], dtype=object),
    )


def one_step(module: torch.nn.Module, loss: torch.Tensor) -> None:
    before = [p.detach().clone() for p in module.parameters()]
    loss.backward()
    torch.optim.SGD(module.parameters(), lr=0.1).step()
    assert any(not torch.equal(a, b) for a, b in zip(before, module.parameters(), strict=True))


def with_backbone(block: str, name: str) -> Params:
    values = read_yaml("params.yaml")
    values[block]["backbone"]["name"] = name
    return parse_params(values)


def test_siamese_resnet50_at_224():
    params, images = with_backbone("train_embedder", "resnet50"), image_set(4, 224)
    data = RetrievalData(images, images, np.array([True, False] * 2), categories=2)
    module = siamese.build(params, data)
    data.use_sampler(module.sampler(0))
    batch = next(iter(data.train_dataloader()))
    one_step(module, module.loss(module.view(batch["images"]), batch)[0])


def test_vgg16_with_463_attributes_at_224():
    params, images = with_backbone("train_classifier", "vgg16"), image_set(2, 224)
    chosen = params.train_classifier.model_copy(update={"head": "three_layer", "hidden": 4096})
    data = ClassifierData(images, images, [f"a{i}" for i in range(463)], 2, 0)
    module = AttributeClassifier(chosen, data)
    logits = module.logits(images.images.float() / 255)
    assert logits.shape == (2, 463)
    one_step(module, torch.nn.functional.binary_cross_entropy_with_logits(logits, torch.zeros_like(logits)))


def test_pix2pix_at_256():
    paper = {"size": 256, "depth": 8, "generator_channels": 64, "discriminator_channels": 64, "batch_size": 1}
    params = load_params().train_gan.model_copy(update=paper)
    images = torch.randint(0, 255, (1, 3, 256, 256), dtype=torch.uint8)
    module = SketchGan(params, PairData(Pairs(images, images), Pairs(images, images), 1, 0))
    made = module.generator(torch.rand(2, 3, 256, 256))
    verdict = module.discriminator(torch.cat([made, made], dim=1))
    assert verdict.shape[2:] == (30, 30)
    one_step(module, verdict.mean())
