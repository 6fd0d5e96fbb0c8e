"""The registry of rules is consistent and documented, and a rule that cannot be evaluated is an error, not a pass."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pandas as pd
import pytest

from croquis.params import load_params
from croquis.params.data_blocks import Validate
from croquis.validation.rule_kinds import Severity
from croquis.validation.rules import ALL_RULES, CATALOGUE_RULES, IMAGE_RULES, table

DOCUMENTED = Path("docs/data.md")
ROW = re.compile(r"^\| `(\w+)` \| (quarantine|fail) \| (.+?) \|$", re.MULTILINE)


def test_names_are_unique_and_severities_known() -> None:
    assert len({rule.name for rule in ALL_RULES}) == len(ALL_RULES)
    assert {rule.severity for rule in ALL_RULES} == set(get_args(Severity)) == {"quarantine", "fail"}


def test_every_threshold_is_named_by_the_rule_that_uses_it() -> None:
    """But for the share of the stage itself, what is measured with, and the switch."""
    elsewhere = {"max_quarantine_share", "near_duplicate_bits", "near_duplicate_difference", "disabled"}
    named = {name for rule in ALL_RULES for name in re.findall(r"`validate\.(\w+)`", rule.checks)}
    assert named == set(Validate.model_fields) - elsewhere


def test_the_table_in_the_docs_is_the_code() -> None:
    assert len(ROW.findall(table())) == len(ALL_RULES)
    section = DOCUMENTED.read_text(encoding="utf-8").split("## Validation")[1].split("\n## ")[0]
    assert ROW.findall(section) == [(rule.name, rule.severity, rule.checks) for rule in ALL_RULES]


def test_events_can_be_held_against_every_rule_for_images() -> None:
    assert all(rule.broken for rule in IMAGE_RULES)
    assert all((rule.broken is None) == bool(rule.expectation) for rule in ALL_RULES)


def test_a_rule_without_its_column_is_an_error(tmp_path: Path) -> None:
    from croquis.validation.suite import open_suites  # here: Great Expectations takes seconds to import

    settings = load_params().validate_
    with (
        pytest.raises(RuntimeError, match="rule splits_present could not be evaluated"),
        open_suites(tmp_path / "docs") as suites,
    ):
        suites.run("catalogue", CATALOGUE_RULES[:1], pd.DataFrame({"other": [1]}), settings)
