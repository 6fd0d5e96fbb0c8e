"""Columns of numbers as programs and spreadsheets write them to text."""

from __future__ import annotations

import pytest

from croquis.formats.tables.plain_numbers import as_numbers_are_written


@pytest.mark.parametrize(
    ("column", "separator", "expected"),
    [
        (["1001.0", "", "7.0"], ",", ["1001", "", "7"]),
        (["1001.0", "7.5"], ",", ["1001.0", "7.5"]),
        (["1.0", "x"], ",", ["1.0", "x"]),
        (["9,50", "10", ""], ";", ["9.50", "10", ""]),
        (["9,50", "10"], ",", ["9,50", "10"]),
        (["1,234", "10"], ";", ["1,234", "10"]),
        (["1,234", "1,5"], ";", ["1.234", "1.5"]),
        (["007,5", "1,5"], ";", ["007,5", "1,5"]),
        (["9,50", "on request"], ";", ["9,50", "on request"]),
        (["", ""], ";", ["", ""]),
    ],
)
def test_a_column_is_rewritten_where_all_of_its_cells_are_numbers(
    column: list[str], separator: str, expected: list[str]
):
    rows = as_numbers_are_written([(number, ["a", cell]) for number, cell in enumerate(column)], separator)
    assert [cells for _, cells in rows] == [["a", cell] for cell in expected]
    assert [number for number, _ in rows] == list(range(len(column)))
