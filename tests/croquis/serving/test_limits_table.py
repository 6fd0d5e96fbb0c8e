"""The limits that docs/security.md names are those of the code."""

from __future__ import annotations

import importlib
import re
from functools import reduce

import pytest

from tests.support.environment import REPOSITORY

ROW = re.compile(r"^\| (.+?) \| (.+?) \| `([\w.]+):([\w.]+)` \| (.*?)\|$", re.MULTILINE)
LIMITS = (
    (REPOSITORY / "docs/security.md").read_text(encoding="utf-8").partition("\n## Limits\n")[2].partition("\n## ")[0]
)
TABLE = ROW.findall(LIMITS)
HALF = {"half of them": None}  # what `ConnectionLimits.per_address` means by None


def test_the_table_has_the_limits_that_have_options() -> None:
    assert len(TABLE) == LIMITS.count("\n| ") - 1  # the head
    assert {option.strip() for *_, option in TABLE} >= {"`--connections`", "`--max-pixels`", "`--queue`", "`--rate`"}


@pytest.mark.parametrize(("limit", "default", "module", "name"), [row[:4] for row in TABLE], ids=[r[3] for r in TABLE])
def test_a_default_is_the_code_s(limit: str, default: str, module: str, name: str) -> None:
    value = reduce(getattr, name.split("."), importlib.import_module(f"croquis.{module}"))
    assert (HALF[default] if default in HALF else float(default.replace(",", ""))) == value, limit
