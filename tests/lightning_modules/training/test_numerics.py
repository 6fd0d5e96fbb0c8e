"""What `base.precision: auto` stands for."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from croquis.params.training_blocks import Backbone
from lightning_modules.nets.backbones import build_backbone
from lightning_modules.training.numerics import has_depthwise, resolve_precision

PLAIN, DEPTHWISE = nn.Conv2d(4, 8, 3), nn.Sequential(nn.Conv2d(4, 8, 1), nn.Conv2d(8, 8, 3, groups=8))


@pytest.fixture
def on_cpu(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    return monkeypatch


@pytest.mark.parametrize("name", ["avx512_bf16", "amx_bf16", "bf16"])
def test_auto_is_half_where_the_cpu_has_bfloat16(on_cpu: pytest.MonkeyPatch, name: str):
    on_cpu.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_f": True, name: True})
    assert resolve_precision("auto", "auto", PLAIN) == "bf16-mixed"
    on_cpu.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_f": True, name: False})
    assert resolve_precision("auto", "auto", PLAIN) == "32-true"


def test_on_a_cpu_depthwise_convolutions_stay_in_float32(on_cpu: pytest.MonkeyPatch):
    on_cpu.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    assert resolve_precision("auto", "cpu", DEPTHWISE) == "32-true"
    on_cpu.setattr(torch.cuda, "is_available", lambda: True)
    on_cpu.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: not including_emulation)
    assert resolve_precision("auto", "auto", DEPTHWISE) == "bf16-mixed"


@pytest.mark.parametrize(
    ("name", "depthwise"), [("small", False), ("torchvision/resnet18", False), ("torchvision/mobilenet_v2", True)]
)
def test_mobilenets_are_known_by_their_convolutions(name: str, depthwise: bool):
    backbone = Backbone(name=name, weights="none", width=8, freeze_bn=False, channels_last=False)
    assert has_depthwise(build_backbone(backbone)) == depthwise


@pytest.mark.parametrize("native", [True, False])
def test_auto_asks_the_gpu_unless_the_cpu_is_named(monkeypatch: pytest.MonkeyPatch, native: bool):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: native and not including_emulation)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": not native})
    assert (
        resolve_precision("auto", "gpu", PLAIN)
        == resolve_precision("auto", "auto", PLAIN)
        == ("bf16-mixed" if native else "32-true")
    )
    assert resolve_precision("auto", "cpu", PLAIN) == ("32-true" if native else "bf16-mixed")


def test_a_named_precision_is_taken_as_it_is():
    assert [resolve_precision(name, "auto", DEPTHWISE) for name in ("32-true", "16-mixed")] == ["32-true", "16-mixed"]


def test_this_machine_can_say_what_it_has():
    assert "architecture" in torch.cpu.get_capabilities()
