"""How vectors become codes and how queries are scored against them: signs, and learned product quantisation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from croquis.arrays import Scores, Vectors
from croquis.index import codes
from croquis.index.codes import Codes, Columns
from croquis.nets.session import ModelError

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


Score = Callable[[Columns], Scores]


class Coding(Protocol):
    """A way of coding vectors of `dim` numbers, for one head.

    Attributes:
        head, metric: as in `VectorIndex`.
        dim: numbers per vector.
        parts, bits: a code has `parts` pieces of `bits` bits each.
    """

    @property
    def head(self) -> str: ...

    @property
    def metric(self) -> str: ...

    @property
    def dim(self) -> int: ...

    @property
    def parts(self) -> int: ...

    @property
    def bits(self) -> int: ...

    def encode(self, vectors: Vectors) -> Codes:
        """(n, dim) to packed codes (n, code_bytes)."""
        ...

    def decode(self, packed: Codes) -> Vectors:
        """What packed codes stand for, (n, dim); encoding it again gives the same codes."""
        ...

    def score(self, query: Vectors, comparison: str) -> Score:
        """The function that scores codes, in the form of `columns_of`, for one `query` (dim,) as `asked` gave it."""
        ...


def code_bytes(coding: Coding) -> int:
    """Bytes of one packed code."""
    return -(-coding.parts * coding.bits // 8)


def asked(queries: Vectors, coding: Coding, comparison: str) -> Vectors:
    """What queries (Q, dim) are compared as: themselves, or what their own codes stand for when symmetric."""
    return coding.decode(coding.encode(queries)) if comparison == "symmetric" and len(queries) else queries


def columns_of(packed: Codes, coding: Coding) -> Columns:
    """Packed codes (n, code_bytes) in the form that a scan reads, (columns, n)."""
    return codes.scan_columns(packed, coding.parts, coding.bits)


def packed_of(columns: Columns, coding: Coding) -> Codes:
    """The reverse of `columns_of`."""
    if 8 % coding.bits == 0:
        return np.ascontiguousarray(columns.T)
    return codes.pack_codes(columns.T.astype(np.int32), coding.bits)


@dataclass(frozen=True)
class SignCoding:
    """One bit per number: whether it is above 0.

    Symmetric scores are minus the Hamming distance of query code and code, asymmetric ones the inner product of the
    query's numbers with the code's +1 and -1.
    """

    dim: int
    head = "binary"
    metric = "hamming"
    bits = 1

    @property
    def parts(self) -> int:
        return self.dim

    def encode(self, vectors: Vectors) -> Codes:
        return codes.pack_signs(vectors)

    def decode(self, packed: Codes) -> Vectors:
        return codes.unpack_signs(packed, self.dim)

    def score(self, query: Vectors, comparison: str) -> Score:
        if comparison == "symmetric":
            code = self.encode(query[None])[0]
            return lambda columns: codes.hamming_scores(code, columns)
        tables = codes.scan_tables(codes.sign_tables(query), self.bits)
        return lambda columns: codes.table_scores(tables, columns)


@dataclass(frozen=True)
class ProductCoding:
    """For each part of a vector the number of its nearest codeword (Jégou, Douze and Schmid 2011).

    Scores are minus the squared distance of query and decoded vector, a sum of looked-up values, one per part.

    Attributes:
        codebooks: (M, K, d) float32, see `croquis.index.coding.check_codebooks`.
    """

    codebooks: Vectors
    head = "pq"
    metric = "l2"

    @property
    def dim(self) -> int:
        return int(self.codebooks.shape[0] * self.codebooks.shape[2])

    @property
    def parts(self) -> int:
        return int(self.codebooks.shape[0])

    @property
    def bits(self) -> int:
        return codes.code_bits(self.codebooks)

    def encode(self, vectors: Vectors) -> Codes:
        return codes.pack_codes(codes.nearest_codewords(vectors, self.codebooks), self.bits)

    def decode(self, packed: Codes) -> Vectors:
        return codes.decode(codes.unpack_codes(packed, self.parts, self.bits), self.codebooks)

    def score(self, query: Vectors, comparison: str) -> Score:  # noqa: ARG002 either way it is a distance from `query`
        tables = codes.scan_tables(codes.distance_tables(query, self.codebooks), self.bits)
        return lambda columns: codes.table_scores(tables, columns)
