"""Nets of open_clip as backbones: the vector of the joint space, weights, statistics, and what is refused."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from croquis.params.training_blocks import Backbone as BackboneParams
from lightning_modules.nets.backbones import BackboneError, build_backbone
from lightning_modules.nets.retrieval_net import average_pool_net
from tests.support.tiny_clip import CLIP, DIM, SIGLIP, SIZE, backbone_of, known_to_open_clip, saved_weights

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def named(name: str, weights: str = "none") -> BackboneParams:
    return BackboneParams(name=f"openclip/{name}", weights=weights, width=8, freeze_bn=False, channels_last=False)


@pytest.mark.parametrize("name", [CLIP, SIGLIP])
def test_a_photo_gets_its_vector_of_the_joint_space(name: str, tmp_path: Path) -> None:
    open_clip = known_to_open_clip(tmp_path)
    weights = saved_weights(tmp_path / "weights.pt", name)
    net = average_pool_net(backbone_of(name, str(weights)), SIZE).eval()
    whole = open_clip.create_model(name, pretrained=str(weights)).eval()
    images = torch.rand(3, 3, SIZE, SIZE)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
    with torch.no_grad():
        expected = whole.encode_image((images - mean) / std, normalize=True)
        torch.testing.assert_close(net(images), expected)
    assert (net.backbone.level_channels, net.dim, net.backbone.pretrained) == ((DIM,), DIM, True)
    assert {each.partition("visual.")[0] for each, _ in net.named_parameters()} == {"backbone.features."}


def test_position_embeddings_fit_another_size(tmp_path: Path) -> None:
    known_to_open_clip(tmp_path)
    weights = saved_weights(tmp_path / "weights.pt", CLIP)
    backbone = build_backbone(named(CLIP, str(weights)), 64).eval()
    assert backbone(torch.rand(2, 3, 64, 64)).shape == (2, DIM, 1, 1)
    stored = torch.load(weights)["visual.positional_embedding"]
    held = backbone.features.state_dict()["visual.positional_embedding"]
    assert (len(stored), len(held)) == (1 + 2 * 2, 1 + 4 * 4)
    torch.testing.assert_close(held[0], stored[0])


def test_a_tag_decides_on_mean_and_deviation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_clip = known_to_open_clip(tmp_path)
    told = {"openai": {"quick_gelu": True}, "fitting": {"mean": (0.5,) * 3, "std": (0.25,) * 3}}
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, CLIP, told)
    for name, mean in ((CLIP, 0.5), (f"{CLIP}.fitting", 0.5), (f"{CLIP}.openai", MEAN[0])):
        backbone = build_backbone(named(name), SIZE)
        assert float(backbone.mean[0, 0, 0, 0]) == pytest.approx(mean)
    weights = saved_weights(tmp_path / "weights.pt", CLIP)
    monkeypatch.setattr(
        open_clip, "download_pretrained", lambda about: str(weights) if about is told["fitting"] else ""
    )
    fetched = build_backbone(named(CLIP, "pretrained"), SIZE).eval()
    images = torch.rand(1, 3, SIZE, SIZE)
    torch.testing.assert_close(fetched(images), build_backbone(named(CLIP, str(weights)), SIZE).eval()(images))
    with pytest.raises(
        BackboneError, match=r"no weights 'other' of tiny-clip; leave .* one of \['openai', 'fitting'\]"
    ):
        build_backbone(named(f"{CLIP}.other"), SIZE)


def test_a_tag_decides_on_the_activations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_clip = known_to_open_clip(tmp_path)
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, CLIP, {"openai": {"quick_gelu": True}, "other": {}})
    weights, images = str(saved_weights(tmp_path / "weights.pt", CLIP)), torch.rand(2, 3, SIZE, SIZE)
    vectors = {}
    for tag, quick in (("openai", True), ("other", False)):
        net = build_backbone(named(f"{CLIP}.{tag}", weights), SIZE).eval()
        whole = open_clip.create_model(CLIP, pretrained=weights, force_quick_gelu=quick).eval()
        mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
        with torch.no_grad():
            vectors[tag] = net(images)[:, :, 0, 0]
            torch.testing.assert_close(vectors[tag], whole.encode_image((images - mean) / std))
    assert (vectors["openai"] - vectors["other"]).abs().max() > 1e-3


def test_what_cannot_be_had_is_refused_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_clip = known_to_open_clip(tmp_path)
    with pytest.raises(BackboneError, match=r"open_clip has no net 'ViT-B-33'; did you mean ViT-B-32"):
        build_backbone(named("ViT-B-33"), SIZE)
    with pytest.raises(BackboneError, match=r"openclip/tiny-clip cannot take images of 8 px"):
        build_backbone(named(CLIP), 8)
    for other in ("roberta-ViT-B-32", "coca_ViT-B-32"):
        with pytest.raises(BackboneError, match=f"openclip/{other} has a text tower of another library"):
            build_backbone(named(other), 224)
    with pytest.raises(BackboneError, match="open_clip has no weights of tiny-clip; name `none` or the path"):
        build_backbone(named(CLIP, "pretrained"), SIZE)
    wrong = saved_weights(tmp_path / "wrong.pt", SIGLIP)
    with pytest.raises(BackboneError, match=r"wrong\.pt does not fit CLIP"):
        build_backbone(named(CLIP, str(wrong)), SIZE)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, CLIP, {"web": {"hf_hub": "nobody/nothing/"}})
    with pytest.raises(BackboneError, match=r"the weights of openclip/tiny-clip\.web cannot be fetched"):
        build_backbone(named(f"{CLIP}.web", "pretrained"), SIZE)


def test_without_the_package_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(BackboneError, match=r"needs the package open_clip_torch: pip install 'croquis\[clip\]'"):
        build_backbone(named("ViT-B-32"), SIZE)


def test_random_nets_differ_by_seed(tmp_path: Path) -> None:
    known_to_open_clip(tmp_path)
    images = torch.rand(2, 3, SIZE, SIZE)
    found = []
    for seed in (0, 1, 0):
        torch.manual_seed(seed)
        found.append(build_backbone(named(CLIP), SIZE).eval()(images).detach().numpy())
    np.testing.assert_array_equal(found[0], found[2])
    assert np.abs(found[0] - found[1]).max() > 0.01
