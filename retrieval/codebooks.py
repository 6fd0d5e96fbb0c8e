"""Codebooks of product codes, as a method has learned them: read strictly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from retrieval.onnx_session import ModelError

Codebooks = npt.NDArray[np.float32]

CODEWORDS = (2, 4, 8, 16, 32, 64, 128, 256)  # what packs into 1 to 8 bits


def read_codebooks(folder: str | Path, dim: int) -> Codebooks:
    """The codebooks that a method has learned, `folder`/codebooks.npy, (M, K, d).

    Args:
        dim: numbers per vector of its encoder.

    Raises:
        ModelError: when the file is missing or damaged, or does not fit the encoder.
    """
    path = Path(folder) / "codebooks.npy"
    try:
        stored = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise ModelError(f"{path} does not exist; run the stage that writes it (dvc repro)") from None
    except (ValueError, EOFError) as error:
        raise ModelError(f"{path} is not a .npy file: {error}") from error
    return check_codebooks(stored, dim, str(path), ModelError)


def check_codebooks(codebooks: npt.NDArray[Any], dim: int, source: str, error: type[ValueError]) -> Codebooks:
    """`codebooks` when they are float32 (M, K, d) with M * d = dim, K a power of two from 2 to 256, all finite.

    Args:
        dim: numbers of the vectors that they shall code.
        source: names them in errors.
        error: the class to raise.

    Raises:
        ValueError: of class `error`, saying what is wrong.
    """
    if codebooks.dtype != np.float32 or codebooks.ndim != 3:
        found = f"{codebooks.dtype} {codebooks.shape}"
        raise error(f"{source} must be float32 of the shape (parts, codewords, numbers), not {found}")
    parts, codewords, width = codebooks.shape
    if parts * width != dim:
        raise error(f"{source} code {parts} parts of {width} numbers, the vectors have {dim}")
    if codewords not in CODEWORDS:
        raise error(f"{source} hold {codewords} codewords per part, must be one of {CODEWORDS}")
    if not np.isfinite(codebooks).all():
        raise error(f"{source} hold a NaN or an infinity")
    return np.ascontiguousarray(codebooks)
