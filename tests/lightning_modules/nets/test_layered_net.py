"""Layers of the net `small` whose channels are fewer than a processor's vector holds."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lightning_modules.nets.layered_net import NarrowProjection, small_net


@pytest.mark.parametrize("stride", [1, 2])
def test_a_narrow_projection_is_a_convolution_of_one_place(stride: int):
    torch.manual_seed(0)
    maps, plain = torch.randn(4, 8, 13, 12), nn.Conv2d(8, 24, 1, stride, bias=False)
    narrow = NarrowProjection(8, 24, 1, stride, bias=False)
    narrow.load_state_dict(plain.state_dict())
    found = []
    for layer in (plain, narrow):
        made = layer(maps)
        made.square().sum().backward()
        found.append((made, layer.weight.grad))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("width", [4, 8, 12])
def test_a_net_of_few_channels_learns_in_channels_last_order(width: int):
    """oneDNN's strided convolution of one place ended the process here, on processors with AVX-512."""
    net = small_net(width).to(memory_format=torch.channels_last).train()
    images = torch.rand(32, 3, 112, 112).to(memory_format=torch.channels_last)
    net(images).square().mean().backward()
    assert all(torch.isfinite(weights.grad).all() for weights in net.parameters() if weights.grad is not None)


def test_the_default_width_has_plain_convolutions():
    assert not any(isinstance(layer, NarrowProjection) for layer in small_net(32).modules())
    assert any(isinstance(layer, NarrowProjection) for layer in small_net(8).modules())
