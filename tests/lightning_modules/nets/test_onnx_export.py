from pathlib import Path

import pytest
import torch
from torch import nn

from croquis.params import Params
from lightning_modules.nets.onnx_export import ExportError, export_onnx
from lightning_modules.nets.retrieval_net import max_pool_net

pytestmark = pytest.mark.slow

EXAMPLE = torch.rand(2, 3, 32, 32)


def test_the_graph_computes_what_the_module_computes_and_names_no_folder(params: Params, tmp_path: Path):
    torch.manual_seed(0)
    net = max_pool_net(params.train_embedder.backbone, 16, True)
    difference = export_onnx(net, EXAMPLE, tmp_path / "net.onnx", "images", "embeddings")
    assert difference < 1e-4
    assert str(Path.cwd()).encode() not in (tmp_path / "net.onnx").read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"]


def test_the_same_weights_give_the_same_bytes(params: Params, tmp_path: Path):
    for name in ("a.onnx", "b.onnx"):
        torch.manual_seed(0)
        export_onnx(
            max_pool_net(params.train_embedder.backbone, 16, True), EXAMPLE, tmp_path / name, "images", "embeddings"
        )
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


class Drifting(nn.Module):
    """Computes something else in PyTorch after it has been traced."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        pooled = images.mean(dim=(2, 3))
        return pooled if torch.compiler.is_exporting() else pooled + 1


def test_a_graph_that_computes_something_else_is_refused(tmp_path: Path):
    with pytest.raises(ExportError, match="differs from PyTorch by 1"):
        export_onnx(Drifting(), EXAMPLE, tmp_path / "net.onnx", "images", "embeddings")
    assert not list(tmp_path.iterdir())
