"""Packed codes and the scores of scans against loops over single bits and codewords."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from croquis.index import codes

SHAPES = [(3, 16, 2), (7, 2, 3), (5, 4, 1), (8, 256, 4), (1, 8, 5), (9, 32, 2), (6, 64, 1), (3, 128, 3)]


def random_codebooks(parts: int, codewords: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((parts, codewords, width)).astype(np.float32)


@given(bits=st.integers(1, 70), count=st.integers(1, 12), seed=st.integers(0, 999))
@settings(max_examples=40, deadline=None)
def test_signs_are_packed_lowest_bit_first(bits: int, count: int, seed: int) -> None:
    values = np.random.default_rng(seed).standard_normal((count, bits)).astype(np.float32)
    values[0, 0] = 0.0  # counts as not above zero
    packed = codes.pack_signs(values)
    assert packed.shape == (count, (bits + 7) // 8)
    for row in range(count):
        for bit in range(8 * packed.shape[1]):
            expected = bit < bits and values[row, bit] > 0
            assert (packed[row, bit // 8] >> bit % 8) & 1 == expected
    assert np.array_equal(codes.unpack_signs(packed, bits), np.where(values > 0, 1.0, -1.0))


@pytest.mark.parametrize(("parts", "codewords", "width"), SHAPES)
def test_codes_take_just_their_bits(parts: int, codewords: int, width: int) -> None:
    bits = codes.code_bits(random_codebooks(parts, codewords, width))
    assert 2**bits == codewords
    chosen = np.random.default_rng(1).integers(0, codewords, (20, parts)).astype(np.int32)
    packed = codes.pack_codes(chosen, bits)
    assert packed.shape == (20, -(-parts * bits // 8))
    assert np.array_equal(codes.unpack_codes(packed, parts, bits), chosen)
    as_number = [int.from_bytes(row.tobytes(), "little") for row in packed]
    assert as_number == [sum(int(c) << bits * m for m, c in enumerate(row)) for row in chosen]


@pytest.mark.parametrize(("parts", "codewords", "width"), SHAPES)
def test_the_nearest_codeword_is_the_one_a_loop_finds(parts: int, codewords: int, width: int) -> None:
    books = random_codebooks(parts, codewords, width)
    vectors = np.random.default_rng(1).standard_normal((30, parts * width)).astype(np.float32)
    found = codes.nearest_codewords(vectors, books)
    decoded = codes.decode(found, books)
    for row in range(30):
        for part in range(parts):
            piece = vectors[row, part * width : (part + 1) * width].astype(float)
            distances = [((piece - word) ** 2).sum() for word in books[part].astype(float)]
            assert found[row, part] == int(np.argmin(distances))
            assert np.array_equal(decoded[row, part * width : (part + 1) * width], books[part, found[row, part]])


def test_of_equally_near_codewords_the_first_counts() -> None:
    books = np.array([[[1.0, 0.0], [-1.0, 0.0], [1.0, 0.0], [5.0, 5.0]]], dtype=np.float32)
    assert codes.nearest_codewords(np.array([[0, 3], [2, 0]], dtype=np.float32), books).tolist() == [[0], [0]]


@pytest.mark.parametrize(("parts", "codewords", "width"), SHAPES)
def test_looked_up_distances_are_those_of_the_decoded_vectors(parts: int, codewords: int, width: int) -> None:
    books = random_codebooks(parts, codewords, width)
    bits = codes.code_bits(books)
    chosen = np.random.default_rng(1).integers(0, codewords, (25, parts)).astype(np.int32)
    query = np.random.default_rng(2).standard_normal(parts * width).astype(np.float32)
    columns = codes.scan_columns(codes.pack_codes(chosen, bits), parts, bits)
    scores = codes.table_scores(codes.scan_tables(codes.distance_tables(query, books), bits), columns)
    for row in range(25):
        pieces = [books[part, chosen[row, part]] for part in range(parts)]
        expected = sum((float(q) - float(v)) ** 2 for q, v in zip(query, np.concatenate(pieces), strict=True))
        assert scores[row] == pytest.approx(-expected, rel=1e-6, abs=1e-6)


def test_one_table_per_byte_and_not_per_part() -> None:
    tables = np.random.default_rng(0).standard_normal((5, 16))
    merged = codes.scan_tables(tables, 4)
    assert merged.shape == (3, 256)
    assert merged[1, 0x7C] == pytest.approx(tables[2, 0xC] + tables[3, 0x7])
    assert merged[2, 0x03] == pytest.approx(tables[4, 3])


@pytest.mark.parametrize("bits", [1, 8, 12, 24, 48, 65])
def test_scores_of_bits(bits: int) -> None:
    random = np.random.default_rng(bits)
    stored, query = random.standard_normal((40, bits)), random.standard_normal(bits).astype(np.float32)
    packed = codes.pack_signs(stored.astype(np.float32))
    columns = codes.scan_columns(packed, bits, 1)
    different = [sum((a > 0) != (b > 0) for a, b in zip(row, query, strict=True)) for row in stored]
    assert codes.hamming_scores(codes.pack_signs(query[None])[0], columns).tolist() == [-float(d) for d in different]
    products = [sum(float(q) * (1 if a > 0 else -1) for a, q in zip(row, query, strict=True)) for row in stored]
    scores = codes.table_scores(codes.scan_tables(codes.sign_tables(query), 1), columns)
    np.testing.assert_allclose(scores, products, rtol=1e-5, atol=1e-6)
