"""How vectors become codes and how queries are scored against them: signs, and learned product quantisation.

Packed codes are uint8 (n, ceil(parts * bits / 8)), the first part in the lowest bits, as FAISS packs them; what is left of
the last byte is 0. A scan reads them column by column, so that one more query costs one look-up per byte and image.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from croquis.arrays import Rows, Scores, Vectors
from croquis.nets.session import ModelError

Codebooks = npt.NDArray[np.float32]
Codes = npt.NDArray[np.uint8]
Columns = npt.NDArray[np.uint8]
Tables = npt.NDArray[np.float64]
Score = Callable[[Columns], Scores]

CODEWORDS = (2, 4, 8, 16, 32, 64, 128, 256)  # what packs into 1 to 8 bits
BLOCK = 4096


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


@dataclass(frozen=True)
class Quick:
    """Codes in parts of 4 bits, as FAISS's fast scan reads them.

    Attributes:
        codebooks: (parts, 16, d) float32.
        products: whether scores are inner products with the decoded vector; else minus squared distances from it.
        together: parts of the coding in one part here.
    """

    codebooks: Codebooks
    products: bool
    together: int


class Coding(ABC):
    """A way of coding vectors of `dim` numbers, for one head.

    Attributes:
        head, metric: as in `VectorIndex`.
        dim: numbers per vector.
        parts, bits: a code has `parts` pieces of `bits` bits each.
    """

    head: str
    metric: str
    dim: int
    parts: int
    bits: int

    @abstractmethod
    def encode(self, vectors: Vectors) -> Codes:
        """(n, dim) to packed codes (n, code_bytes)."""

    @abstractmethod
    def decode(self, packed: Codes) -> Vectors:
        """What packed codes stand for, (n, dim); encoding it again gives the same codes."""

    @abstractmethod
    def tables(self, queries: Vectors) -> Tables:
        """What each value of each part adds to the scores of `queries` (Q, dim): (Q, parts, 2**bits)."""

    def quick(self) -> Quick | None:
        """The same codes in parts of 4 bits; None where they have others."""
        return None

    @property
    def code_bytes(self) -> int:
        """Bytes of one packed code."""
        return -(-self.parts * self.bits // 8)

    def asked(self, queries: Vectors, comparison: str) -> Vectors:
        """What queries (Q, dim) are compared as: themselves, or what their own codes stand for when symmetric."""
        return self.decode(self.encode(queries)) if comparison == "symmetric" and len(queries) else queries

    def score(self, query: Vectors, comparison: str) -> Score:  # noqa: ARG002 for those that it makes a difference to
        """The function that scores codes, in the form of `columns`, for one `query` (dim,) as `asked` gave it."""
        (tables,) = scan_tables(self.tables(query[None]), self.bits)
        return lambda columns: table_scores(tables, columns)

    def columns(self, packed: Codes) -> Columns:
        """Packed codes as a scan reads them, (columns, n): bytes of whole codes where `bits` divides 8, else codes."""
        found = packed if 8 % self.bits == 0 else unpack_codes(packed, self.parts, self.bits).astype(np.uint8)
        return np.ascontiguousarray(found.T)

    def packed(self, columns: Columns) -> Codes:
        """The reverse of `columns`."""
        if 8 % self.bits == 0:
            return np.ascontiguousarray(columns.T)
        return pack_codes(columns.T.astype(np.int32), self.bits)


@dataclass(frozen=True)
class SignCoding(Coding):
    """One bit per number: whether it is above 0.

    Symmetric scores are minus the Hamming distance of query code and code, asymmetric ones the inner product of the
    query's numbers with the code's +1 and -1.
    """

    dim: int
    head = "binary"
    metric = "hamming"
    bits = 1

    @property
    def parts(self) -> int:  # type: ignore[override]
        """One for each number of a vector."""
        return self.dim

    def encode(self, vectors: Vectors) -> Codes:
        return np.packbits(vectors > 0, axis=1, bitorder="little")

    def decode(self, packed: Codes) -> Vectors:
        return signs_of(packed, self.dim)

    def asked(self, queries: Vectors, comparison: str) -> Vectors:  # noqa: ARG002 only signs are looked at
        return queries

    def tables(self, queries: Vectors) -> Tables:
        exact = queries.astype(np.float64)
        return np.stack([-exact, exact], axis=2)

    def quick(self) -> Quick:
        signs = signs_of(np.arange(16, dtype=np.uint8)[:, None], 4)
        return Quick(np.tile(signs, (2 * self.code_bytes, 1, 1)), True, 4)

    def score(self, query: Vectors, comparison: str) -> Score:
        if comparison == "symmetric":
            code = self.encode(query[None])[0]
            return lambda columns: hamming_scores(code, columns)
        return super().score(query, comparison)


@dataclass(frozen=True)
class ProductCoding(Coding):
    """For each part of a vector the number of its nearest codeword (Jégou, Douze and Schmid 2011).

    Scores are minus the squared distance of query and decoded vector, a sum of looked-up values, one per part.

    Attributes:
        codebooks: (M, K, d) float32, see `croquis.index.coding.check_codebooks`.
    """

    codebooks: Vectors
    head = "pq"
    metric = "l2"

    @property
    def dim(self) -> int:  # type: ignore[override]
        """M * d, the numbers of a vector."""
        return int(self.codebooks.shape[0] * self.codebooks.shape[2])

    @property
    def parts(self) -> int:  # type: ignore[override]
        """M, the parts of a vector."""
        return int(self.codebooks.shape[0])

    @property
    def bits(self) -> int:  # type: ignore[override]
        """Bits of the number of a codeword: log2 of K."""
        return int(self.codebooks.shape[1]).bit_length() - 1

    def encode(self, vectors: Vectors) -> Codes:
        return pack_codes(nearest_codewords(vectors, self.codebooks), self.bits)

    def decode(self, packed: Codes) -> Vectors:
        codes = unpack_codes(packed, self.parts, self.bits)
        return self.codebooks[np.arange(self.parts), codes].reshape(len(codes), self.dim)

    def quick(self) -> Quick | None:
        return Quick(self.codebooks, False, 1) if self.bits == 4 else None

    def tables(self, queries: Vectors) -> Tables:
        pieces = queries.astype(np.float64).reshape(len(queries), self.parts, 1, -1)
        gaps = self.codebooks.astype(np.float64) - pieces
        return np.asarray(-np.square(gaps, out=gaps).sum(axis=3), dtype=np.float64)


def signs_of(packed: Codes, bits: int) -> Vectors:
    """The first `bits` bits of each packed code as +1 and -1, (n, bits)."""
    flags = np.unpackbits(packed, axis=1, count=bits, bitorder="little")
    return flags.astype(np.float32) * 2 - 1


def nearest_codewords(vectors: Vectors, codebooks: Vectors) -> npt.NDArray[np.int32]:
    """For each part of each vector the codeword at the least squared distance, the first of equals.

    Args:
        vectors: (n, M * d).
        codebooks: (M, K, d).

    Returns:
        (n, M), 0 to K - 1.
    """
    parts, _, width = codebooks.shape
    words = codebooks.astype(np.float64)
    halves = np.square(words).sum(axis=2) / 2
    codes = np.empty((len(vectors), parts), dtype=np.int32)
    for start in range(0, len(vectors), BLOCK):
        block = vectors[start : start + BLOCK].astype(np.float64).reshape(-1, parts, width)
        for part in range(parts):
            codes[start : start + BLOCK, part] = (halves[part] - block[:, part] @ words[part].T).argmin(axis=1)
    return codes


def pack_codes(codes: npt.NDArray[np.int32], bits: int) -> Codes:
    """(n, M) codes of `bits` bits each, packed."""
    packed: Codes = faiss.pack_bitstrings(codes, bits)
    return packed


def unpack_codes(packed: Codes, parts: int, bits: int) -> npt.NDArray[np.int32]:
    """The reverse of `pack_codes`: (n, parts)."""
    if not len(packed):
        return np.empty((0, parts), dtype=np.int32)
    codes: npt.NDArray[np.int32] = faiss.unpack_bitstrings(np.ascontiguousarray(packed), parts, bits)
    return codes


def scan_tables(tables: Tables, bits: int) -> Tables:
    """Tables of parts, (Q, M, 2**bits), as tables of the columns of `Coding.columns`: (Q, columns, 256) where `bits`
    divides 8.

    Codes that share a byte are looked up together, 8 / bits of them.
    """
    return tables if 8 % bits else merged_tables(tables, 8 // bits)


def merged_tables(tables: Tables, together: int) -> Tables:
    """Tables of parts, (Q, M, values), as tables of so many parts `together`: (Q, M / together, values ** together)."""
    missing = -tables.shape[1] % together
    whole = np.pad(tables, ((0, 0), (0, missing), (0, 0))) if missing else tables
    padded = whole.reshape(len(tables), -1, together, tables.shape[2])
    merged = padded[:, :, 0]
    for part in range(1, together):  # each part has the bits above those of the parts before it
        sums = padded[:, :, part, :, None] + merged[:, :, None]
        merged = sums.reshape(*sums.shape[:2], -1)
    return np.asarray(merged, dtype=np.float64)


def table_scores(tables: Tables, columns: Columns) -> Scores:
    """Sums of looked-up values: (n,). Equal codes have equal scores wherever they lie."""
    total = np.zeros(columns.shape[1])
    for table, column in zip(tables, columns, strict=True):
        total += table.take(column)
    return total.astype(np.float32)


def scores_of(tables: Tables, columns: Columns, rows: Rows) -> Scores:
    """As `table_scores`, of some rows for each of several queries.

    Args:
        tables: (Q, columns, values) as `scan_tables` gives them.
        columns: (columns, n).
        rows: (Q, W).

    Returns:
        (Q, W).
    """
    total = np.zeros(rows.shape)
    for table, column in zip(tables.swapaxes(0, 1), columns, strict=True):
        places = column[rows] + table.shape[1] * np.arange(len(rows), dtype=np.int64)[:, None]
        total += table.ravel().take(places)
    return total.astype(np.float32)


def hamming_scores(query: Codes, columns: Columns) -> Scores:
    """Minus the number of bits in which each code differs from the packed code `query` (bytes,): (n,)."""
    total = np.zeros(columns.shape[1], dtype=np.int32)
    for byte, column in zip(query, columns, strict=True):
        total += np.bitwise_count(column ^ byte)
    return -total.astype(np.float32)
