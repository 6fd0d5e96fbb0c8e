"""The paper-size settings of the reference systems build and take one optimiser step."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision

from croquis.params import Params, load_params
from croquis.params.loader import parse_params, read_yaml
from lightning_modules.attributes.attribute_labels import Layout, read_labels
from lightning_modules.attributes.classifier_module import AttributeClassifierModule, ClassifierData
from lightning_modules.attributes.outputs import target_matrix
from lightning_modules.bases.retrieval_module import RetrievalModule
from lightning_modules.data.retrieval_data import ImageSet, RetrievalData
from lightning_modules.methods import dhd, gpq, sgh, siamese, spq, triplet_gan
from lightning_modules.sketch_gan.gan_module import PairData, SketchGan, SketchPairs

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
    return parse_params(values, methods=True)


def test_siamese_resnet50_at_224():
    params, images = with_backbone("train_embedder", "torchvision/resnet50"), image_set(4, 224)
    data = RetrievalData(images, images, np.array([True, False] * 2), categories=2)
    module = siamese.build(params, data)
    data.use_sampler(module.sampler(0))
    batch = next(iter(data.train_dataloader()))
    one_step(module, module.loss(module.view(batch["images"]), batch)[0])


@pytest.mark.parametrize("bits", [16, 128])
def test_dhd_resnet50_at_224_with_the_papers_settings(bits: int):
    params, images = with_backbone("train_embedder", "torchvision/resnet50"), image_set(4, 224)
    strong = {"crop_scale": 0.08, "rotate": 0.0, "brightness": 0.4, "contrast": 0.8, "saturation": 0.8, "hue": 0.2}
    chances = {"crop": 1.0, "flip": 0.5, "jitter": 0.8, "grey": 0.2, "blur": 0.5, "blur_sigma": 2.0, "recipe": "kornia"}
    paper = params.dhd.model_copy(
        update={
            "bits": bits, "labels": "category", "centre": False, "teacher_share": 0.5, "temperature": 0.2,
            "views": params.dhd.views.model_copy(update=strong | chances),
        }
    )  # fmt: skip
    data = RetrievalData(images, images, np.array([True, False] * 2), categories=100)
    module = dhd.build(params.model_copy(update={"dhd": paper}), data)
    assert module.proxies.shape == (100, bits)
    if bits < 128:
        return  # a step is the same for all lengths
    batch = next(iter(with_sampler(data, module).train_dataloader()))
    one_step(module, module.loss(module.view(batch["images"]), batch)[0])


def test_sgh_resnet50_at_224():
    params, images = with_backbone("train_embedder", "torchvision/resnet50"), image_set(4, 224)
    data = RetrievalData(images, images, np.array([True, False] * 2), categories=2)
    module = sgh.build(params, data)
    batch = next(iter(with_sampler(data, module).train_dataloader()))
    one_step(module, module.loss(module.view(batch["images"]), batch)[0])


def test_gpq_vgg16_at_32_with_the_papers_settings():
    """500 labelled and 500 unlabelled images per batch, ten classes."""
    params, images = with_backbone("train_embedder", "torchvision/vgg16"), image_set(500, 32)
    images = replace(images, categories=np.arange(500) % 10)
    paper = params.gpq.model_copy(
        update={
            "subspaces": 12, "codewords": 16, "subspace_dim": 12, "labels": "category", "centre": False,
            "items_per_batch": 10, "images_per_item": 50, "unlabelled_per_batch": 500,
        }
    )  # fmt: skip
    unlabelled = torch.randint(0, 255, (700, 3, 32, 32), dtype=torch.uint8)
    data = RetrievalData(images, images, np.array([True, False] * 250), 10, unlabelled)
    module = gpq.build(params.model_copy(update={"gpq": paper}), data)
    assert (paper.bits, module.net.codebooks.shape) == (48, (12, 16, 12))
    (batch,) = with_sampler(data, module).train_dataloader()
    assert (len(batch["images"]), len(module.unlabelled(1))) == (500, 500)
    one_step(module, module.loss(module.view(batch["images"]), batch)[0])


@pytest.mark.parametrize(("subspaces", "bits"), [(4, 16), (16, 64)])
def test_spq_resnet18_at_32_with_the_papers_settings(subspaces: int, bits: int):
    params, images = with_backbone("train_embedder", "torchvision/resnet18"), image_set(256, 32)
    strong = {"crop_scale": 0.08, "rotate": 0.0, "brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1}
    chances = {"crop": 1.0, "flip": 0.5, "jitter": 0.8, "grey": 0.2, "blur": 0.5, "blur_sigma": 2.0, "recipe": "kornia"}
    paper = params.spq.model_copy(
        update={
            "subspaces": subspaces, "codewords": 16, "subspace_dim": 16, "centre": False, "start": "current",
            "quantiser_sharpness": 5.0, "temperature": 0.5, "negatives": "reference", "positives": "views",
            "batch_size": 256, "views": params.spq.views.model_copy(update=strong | chances),
        }
    )  # fmt: skip
    data = RetrievalData(images, images, np.array([True, False] * 128), 1)
    module = spq.build(params.model_copy(update={"spq": paper}), data)
    assert (paper.bits, module.net.codebooks.shape) == (bits, (subspaces, 16, 16))
    if bits < 64:
        return  # a step is the same for all lengths
    (batch,) = with_sampler(module.data, module).train_dataloader()
    one_step(module, module.loss(module.view(batch["images"]), batch)[0])


def with_sampler(data: RetrievalData, module: RetrievalModule) -> RetrievalData:
    data.use_sampler(module.sampler(0))
    return data


def test_triplet_gan_resnet50_at_224_with_a_torchvision_net_as_judge(tmp_path: Path):
    """The source names no sizes; these are those of the other systems."""
    torch.save(torchvision.models.squeezenet1_1().state_dict(), tmp_path / "squeezenet.pth")
    params, images = with_backbone("train_embedder", "torchvision/resnet50"), image_set(4, 224)
    changes = {"perceptual_net": "torchvision/squeezenet1_1", "perceptual_weights": str(tmp_path / "squeezenet.pth")}
    changes |= {"reconstruction_weight": 0.1, "perceptual_weight": 0.1, "adversarial_weight": 0.01}
    sizes = {"decoder_channels": 64, "discriminator_channels": 64}
    method = params.triplet_gan.model_copy(update={**changes, **sizes})
    data = RetrievalData(images, images, np.array([True, False] * 2), categories=2)
    module = triplet_gan.build(params.model_copy(update={"triplet_gan": method}), data)
    data.use_sampler(module.sampler(0))
    batch = next(iter(data.train_dataloader()))
    passed = module.passed(module.view(batch["images"]))
    assert passed.made.shape == passed.images.shape
    assert len(module.perceptual.maps(passed.images)) == 4
    one_step(module.discriminator, module.verdict(passed).loss)
    one_step(module, module.generator_loss(passed, batch)[0])


def test_vgg16_with_463_attributes_at_224():
    params, images = with_backbone("train_classifier", "torchvision/vgg16"), image_set(2, 224)
    chosen = params.train_classifier.model_copy(update={"head": "three_layer", "hidden": 4096})
    layout = Layout.of([f"a{i}" for i in range(463)], [])
    labels = read_labels([["a0"], ["a1", "a462"]], [None, ["a7"]], layout.names)
    data = ClassifierData(images, images, (labels, labels), layout, 2, 0)
    module = AttributeClassifierModule(chosen, data)
    logits = module.logits(images.images.float() / 255)
    assert logits.shape == (2, 463)
    one_step(module, module.loss(logits, target_matrix(layout, labels)))


@pytest.mark.parametrize(("size", "depth", "patches"), [(128, 7, 14), (256, 8, 30)])
def test_pix2pix_at_128_and_256(size: int, depth: int, patches: int):
    paper = {"size": size, "depth": "auto", "generator_channels": 64, "discriminator_channels": 64, "batch_size": 1}
    params = load_params().train_gan.model_copy(update=paper)
    images = torch.randint(0, 255, (1, 3, size, size), dtype=torch.uint8)
    module = SketchGan(params, PairData(SketchPairs(images, images), SketchPairs(images, images), 1, 0))
    assert len(module.generator.down) == depth - 1
    made = module.generator(torch.rand(2, 3, size, size))
    assert made.shape == (2, 3, size, size)
    verdict = module.discriminator(torch.cat([made, made], dim=1))
    assert verdict.shape[2:] == (patches, patches)
    one_step(module, verdict.mean())
