"""The rules of the suite `images` for pictures that come one by one, decided without Great Expectations' machinery.

The rules are those of `croquis.validation.rules.IMAGE_RULES`, thresholds and reasons included; only who works out the
expectations differs, because a validation run of Great Expectations takes longer than a batch of events may.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import great_expectations.expectations as gxe
import numpy as np
import pandas as pd
import pyarrow as pa

from croquis.catalog.table import METADATA_COLUMNS, SCHEMA, Catalog
from croquis.params.data_blocks import Validate
from croquis.validation.image_frame import image_frame
from croquis.validation.labels import attribute_table
from croquis.validation.measure import measure
from croquis.validation.quarantine import reasons
from croquis.validation.rule_kinds import Rule
from croquis.validation.rules import IMAGE_RULES, check_disabled
from croquis.validation.suite import RuleOutcome


def image_reasons(rows: Sequence[Mapping[str, Any]], settings: Validate) -> dict[int, list[str]]:
    """Number of a row -> why the stage `validate` would put it into quarantine for what it is in itself.

    Args:
        rows: catalogue rows with their `image`, at least one; relations between rows other than equal ids are not looked at.
    """
    check_disabled(settings)
    schema = pa.schema([SCHEMA.field(name) for name in METADATA_COLUMNS])
    table = pa.Table.from_pylist([{name: row.get(name) for name in METADATA_COLUMNS} for row in rows], schema=schema)
    catalog = Catalog(Path(), table, np.array([0, len(rows)], dtype=np.int64), ())
    measured = [measure(row["image"], settings.max_megapixels) for row in rows]
    frame = image_frame(catalog, measured, attribute_table(catalog), attribute_table(catalog, "unknown_attributes"))
    return reasons(
        [outcome(rule, frame, settings) for rule in IMAGE_RULES if rule.name not in settings.disabled], frame
    )


def outcome(rule: Rule, frame: pd.DataFrame, settings: Validate) -> RuleOutcome:
    """How a rule fares on a frame, as `croquis.validation.suite.Suites.run` gives it.

    Raises:
        NotImplementedError: when the rule expects something that is not known here.
    """
    rows = tuple(int(row) for row in frame.index[_broken(rule.expect(settings), frame[rule.column])])
    return RuleOutcome(rule, not rows, rows)


def _broken(expected: Any, values: pd.Series) -> pd.Series:
    """Which values break an expectation; but for the one that wants nulls, nulls break none."""
    if isinstance(expected, gxe.ExpectColumnValuesToBeNull):
        return values.notna()
    if isinstance(expected, gxe.ExpectColumnValuesToBeUnique):
        return values.notna() & values.duplicated(keep=False)
    if isinstance(expected, gxe.ExpectColumnValuesToBeInSet):
        return values.notna() & ~values.isin(expected.value_set)
    if isinstance(expected, gxe.ExpectColumnValueLengthsToBeBetween):
        return _outside(values.str.len(), expected)
    if isinstance(expected, gxe.ExpectColumnValuesToBeBetween):
        return _outside(values, expected)
    raise NotImplementedError(
        f"{type(expected).__name__} is not worked out here: add it to croquis/validation/without_gx.py"
    )


def _outside(values: pd.Series, expected: Any) -> pd.Series:
    numbers = values.astype(float)
    low = -np.inf if expected.min_value is None else float(expected.min_value)
    high = np.inf if expected.max_value is None else float(expected.max_value)
    return (numbers < low) | (numbers > high)
