"""The order in which files are handed to the workers (tests/support/file_order.py)."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

from tests.support.file_order import LONGEST, TESTS, sort_items


def test_long_files_come_first_then_slow_ones_and_each_stays_whole() -> None:
    def item(path: str, name: str, slow: bool = False) -> SimpleNamespace:
        return SimpleNamespace(path=TESTS / path, name=name, get_closest_marker=lambda _: slow or None)

    items = [
        item("a/test_quick.py", "one"),
        item("b/test_mixed.py", "two"),
        item("b/test_mixed.py", "three", slow=True),
        item(LONGEST[1], "four", slow=True),
        item(LONGEST[0], "five"),
        item("c/test_quick.py", "six"),
    ]
    sort_items(items)  # type: ignore[arg-type]
    assert [each.name for each in items] == ["five", "four", "two", "three", "one", "six"]


def test_the_long_files_exist_and_make_hands_them_out_in_this_order() -> None:
    assert [name for name in LONGEST if not (TESTS / name).is_file()] == []
    assert "--dist loadfile --no-loadscope-reorder" in Path("Makefile").read_text()
