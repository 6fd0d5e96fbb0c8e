"""The registry of rules is consistent, and a rule that cannot be evaluated is an error, not a pass."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pandas as pd
import pytest

from params import load_params
from validation.rules import IMAGE_RULES, RELATION_RULES, Severity
from validation.suite import open_suites


def test_names_are_unique_and_severities_known() -> None:
    rules = IMAGE_RULES + RELATION_RULES
    assert len({rule.name for rule in rules}) == len(rules)
    assert {rule.severity for rule in rules} == set(get_args(Severity))
    assert all(rule.why for rule in rules)


def test_a_rule_without_its_column_is_an_error(tmp_path: Path) -> None:
    settings = load_params().validate_
    with (
        pytest.raises(RuntimeError, match="rule image_id_present could not be evaluated"),
        open_suites(tmp_path / "docs") as suites,
    ):
        suites.run("images", IMAGE_RULES[:1], pd.DataFrame({"other": [1]}), settings)
