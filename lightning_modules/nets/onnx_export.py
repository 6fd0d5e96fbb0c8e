"""PyTorch modules to ONNX files, with a parity check: what was trained is what is measured and served."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn

from croquis.files import fresh_file
from croquis.nets.session import onnxruntime

TOLERANCE = 1e-4


class ExportError(RuntimeError):
    """The exported graph does not compute what the module computes."""


def export_onnx(module: nn.Module, example: torch.Tensor, path: Path, input_name: str, output_name: str) -> float:
    """Writes `module` in evaluation mode as a self-contained ONNX file with a dynamic batch.

    Args:
        example: (B, ...), B >= 2, float32 of images or int64 of tokens; its shape counts, and of tokens the largest.
        path: written under a temporary name, then renamed.

    Returns:
        Largest absolute difference between PyTorch and ONNX Runtime on a random batch of another size.

    Raises:
        ExportError: when that difference exceeds 1e-4.
    """
    plain = module.cpu().eval().to(memory_format=torch.contiguous_format)
    shapes = ({0: torch.export.Dim("batch")},)
    with fresh_file(path) as partial:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
            warnings.simplefilter("ignore")
            logging.getLogger("torch.onnx").setLevel(logging.ERROR)
            torch.onnx.export(
                plain, (example.cpu().contiguous(),), str(partial), dynamo=True, external_data=False, verbose=False,
                input_names=[input_name], output_names=[output_name], dynamic_shapes=shapes,
            )  # fmt: skip
        _strip_notes(partial)
        difference = _parity(plain, partial, example, input_name)
        if difference > TOLERANCE:
            raise ExportError(
                f"{path.name}: ONNX Runtime differs from PyTorch by {difference:.2e}, more than {TOLERANCE:.0e}"
            )
    return difference


def _strip_notes(path: Path) -> None:
    """Takes out the exporter's stack traces: they name the folder of the checkout, so two clones would differ."""
    model = onnx.load(path)
    del model.metadata_props[:]
    for graph in (model.graph, *model.functions):
        for part in (graph, *graph.node, *graph.value_info):
            del part.metadata_props[:]
    onnx.save(model, path)


def _parity(module: nn.Module, path: Path, example: torch.Tensor, input_name: str) -> float:
    random, shape = np.random.default_rng(0), (3, *example.shape[1:])
    tokens = not example.is_floating_point()
    batch = random.integers(0, int(example.max()) + 1, shape) if tokens else random.random(shape, dtype=np.float32)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (exported,) = session.run(None, {input_name: batch})
    with torch.no_grad():
        expected = module(torch.from_numpy(batch)).numpy()
    return float(np.abs(exported - expected).max())
