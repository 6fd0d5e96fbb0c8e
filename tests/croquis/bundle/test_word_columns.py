"""Columns of text: what rows hold, in any order and more than once."""

import numpy as np
import pyarrow as pa
import pytest

from croquis.bundle.word_columns import Texts

NAMES = ["shirt", "", "Kleid für 🎃", "x" * 300, "shirt"]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
@pytest.mark.parametrize("cut", [0, 2])
def test_texts_are_those_of_the_rows(kind: pa.DataType, cut: int):
    column = pa.array(NAMES, kind).slice(cut)
    rows = np.array([len(column) - 1, 0, 1, 0])
    assert Texts(column).of(rows) == [NAMES[cut + row] for row in rows]
    assert Texts(column).of(rows[:0]) == []


def test_a_column_of_no_text_at_all():
    assert Texts(pa.array(["", ""], pa.string())).of(np.array([1, 0])) == ["", ""]
    assert Texts(pa.array([], pa.string())).of(np.array([], dtype=np.int64)) == []
