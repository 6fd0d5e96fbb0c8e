"""Packed codes and the scores of scans against loops over single bits and codewords."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from croquis.index.coding import ProductCoding, SignCoding, scan_tables

SHAPES = [(3, 16, 2), (7, 2, 3), (5, 4, 1), (8, 256, 4), (1, 8, 5), (9, 32, 2), (6, 64, 1), (3, 128, 3)]


def coding_of(parts: int, codewords: int, width: int) -> ProductCoding:
    random = np.random.default_rng(0)
    return ProductCoding(random.standard_normal((parts, codewords, width)).astype(np.float32))


@given(bits=st.integers(1, 70), count=st.integers(1, 12), seed=st.integers(0, 999))
@settings(max_examples=40, deadline=None)
def test_signs_are_packed_lowest_bit_first(bits: int, count: int, seed: int) -> None:
    values = np.random.default_rng(seed).standard_normal((count, bits)).astype(np.float32)
    values[0, 0] = 0.0  # counts as not above zero
    packed = SignCoding(bits).encode(values)
    assert packed.shape == (count, (bits + 7) // 8)
    for row in range(count):
        for bit in range(8 * packed.shape[1]):
            expected = bit < bits and values[row, bit] > 0
            assert (packed[row, bit // 8] >> bit % 8) & 1 == expected
    assert np.array_equal(SignCoding(bits).decode(packed), np.where(values > 0, 1.0, -1.0))


@pytest.mark.parametrize(("parts", "codewords", "width"), SHAPES)
def test_a_code_is_the_number_of_the_nearest_codeword_in_just_its_bits(parts: int, codewords: int, width: int) -> None:
    coding = coding_of(parts, codewords, width)
    vectors = np.random.default_rng(1).standard_normal((30, parts * width)).astype(np.float32)
    packed = coding.encode(vectors)
    assert 2**coding.bits == codewords
    assert packed.shape == (30, coding.code_bytes) == (30, -(-parts * coding.bits // 8))
    assert np.array_equal(coding.packed(coding.columns(packed)), packed)
    decoded = coding.decode(packed)
    for row in range(30):
        code = int.from_bytes(packed[row].tobytes(), "little")
        assert code < 2 ** (parts * coding.bits)
        for part, words in enumerate(coding.codebooks.astype(float)):
            piece = slice(part * width, (part + 1) * width)
            nearest = int(np.argmin([((vectors[row, piece] - word) ** 2).sum() for word in words]))
            assert code >> coding.bits * part & codewords - 1 == nearest
            assert np.array_equal(decoded[row, piece], coding.codebooks[part, nearest])


def test_of_equally_near_codewords_the_first_counts() -> None:
    coding = ProductCoding(np.array([[[1.0, 0.0], [-1.0, 0.0], [1.0, 0.0], [5.0, 5.0]]], dtype=np.float32))
    assert coding.encode(np.array([[0, 3], [2, 0]], dtype=np.float32)).tolist() == [[0], [0]]


@pytest.mark.parametrize(("parts", "codewords", "width"), SHAPES)
def test_looked_up_distances_are_those_of_the_decoded_vectors(parts: int, codewords: int, width: int) -> None:
    coding = coding_of(parts, codewords, width)
    vectors, query = np.random.default_rng(1).standard_normal((2, 25, parts * width)).astype(np.float32)
    packed = coding.encode(vectors)
    scores = coding.score(query[0], "asymmetric")(coding.columns(packed))
    for score, vector in zip(scores, coding.decode(packed), strict=True):
        expected = sum((float(q) - float(v)) ** 2 for q, v in zip(query[0], vector, strict=True))
        assert score == pytest.approx(-expected, rel=1e-6, abs=1e-6)


def test_one_table_per_byte_and_not_per_part() -> None:
    tables = np.random.default_rng(0).standard_normal((5, 16))
    (merged,) = scan_tables(tables[None], 4)
    assert merged.shape == (3, 256)
    assert merged[1, 0x7C] == pytest.approx(tables[2, 0xC] + tables[3, 0x7])
    assert merged[2, 0x03] == pytest.approx(tables[4, 3])


@pytest.mark.parametrize("bits", [1, 8, 12, 24, 48, 65])
def test_scores_of_bits(bits: int) -> None:
    random, coding = np.random.default_rng(bits), SignCoding(bits)
    stored, query = random.standard_normal((40, bits)), random.standard_normal(bits).astype(np.float32)
    columns = coding.columns(coding.encode(stored.astype(np.float32)))
    different = [sum((a > 0) != (b > 0) for a, b in zip(row, query, strict=True)) for row in stored]
    assert coding.score(query, "symmetric")(columns).tolist() == [-float(d) for d in different]
    products = [sum(float(q) * (1 if a > 0 else -1) for a, q in zip(row, query, strict=True)) for row in stored]
    np.testing.assert_allclose(coding.score(query, "asymmetric")(columns), products, rtol=1e-5, atol=1e-6)
