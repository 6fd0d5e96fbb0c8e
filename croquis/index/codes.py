"""Codes of vectors as pure functions: packing, decoding, and scores of a query for many codes at once.

Packed codes are uint8 (n, ceil(parts * bits / 8)), the first part in the lowest bits, as FAISS packs them; what is left of
the last byte is 0. A scan reads them column by column, so that one more query costs one look-up per byte and image.
"""

from __future__ import annotations

import faiss
import numpy as np
import numpy.typing as npt

from croquis.arrays import Scores, Vectors

Codes = npt.NDArray[np.uint8]
Columns = npt.NDArray[np.uint8]
Tables = npt.NDArray[np.float64]

BLOCK = 4096


def code_bits(codebooks: Vectors) -> int:
    """Bits of one part's code, log2(K)."""
    return int(codebooks.shape[1]).bit_length() - 1


def pack_signs(values: Vectors) -> Codes:
    """The signs of (n, bits) numbers, packed: bit 1 where a number is above 0."""
    return np.packbits(values > 0, axis=1, bitorder="little")


def unpack_signs(packed: Codes, bits: int) -> Vectors:
    """(n, bits) float32 of +1 and -1."""
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


def decode(codes: npt.NDArray[np.int32], codebooks: Vectors) -> Vectors:
    """The codewords of (n, M) codes side by side: (n, M * d)."""
    parts, _, width = codebooks.shape
    return codebooks[np.arange(parts), codes].reshape(len(codes), parts * width)


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


def scan_columns(packed: Codes, parts: int, bits: int) -> Columns:
    """Packed codes as `table_scores` reads them: (columns, n), bytes of whole codes where `bits` divides 8."""
    bytes_of_codes = packed if 8 % bits == 0 else unpack_codes(packed, parts, bits).astype(np.uint8)
    return np.ascontiguousarray(bytes_of_codes.T)


def scan_tables(tables: Tables, bits: int) -> Tables:
    """A table per part, (M, 2**bits), as a table per column of `scan_columns`: (columns, 256) where `bits` divides 8.

    Codes that share a byte are looked up together, 8 / bits of them.
    """
    if 8 % bits:
        return tables
    together = 8 // bits
    missing = -len(tables) % together
    padded = np.concatenate([tables, np.zeros((missing, tables.shape[1]))]).reshape(-1, together, tables.shape[1])
    values = np.arange(256)
    parts = (padded[:, part][:, values >> (bits * part) & (2**bits - 1)] for part in range(together))
    return np.asarray(sum(parts), dtype=np.float64)


def distance_tables(query: Vectors, codebooks: Vectors) -> Tables:
    """Minus the squared distance of each part of the query to each codeword of that part: (M, K)."""
    parts, _, width = codebooks.shape
    difference = codebooks.astype(np.float64) - query.astype(np.float64).reshape(parts, 1, width)
    return np.asarray(-np.square(difference).sum(axis=2), dtype=np.float64)


def sign_tables(query: Vectors) -> Tables:
    """What a bit adds to the inner product of the query with a code of +1 and -1: (bits, 2), for bit 0 and bit 1."""
    exact = query.astype(np.float64)
    return np.stack([-exact, exact], axis=1)


def table_scores(tables: Tables, columns: Columns) -> Scores:
    """Sums of looked-up values: (n,). Equal codes have equal scores wherever they lie."""
    total = np.zeros(columns.shape[1])
    for table, column in zip(tables, columns, strict=True):
        total += table.take(column)
    return total.astype(np.float32)


def hamming_scores(query: Codes, columns: Columns) -> Scores:
    """Minus the number of bits in which each code differs from the packed code `query` (bytes,): (n,)."""
    total = np.zeros(columns.shape[1], dtype=np.int32)
    for byte, column in zip(query, columns, strict=True):
        total += np.bitwise_count(column ^ byte)
    return -total.astype(np.float32)
