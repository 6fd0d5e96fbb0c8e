"""The rules of the suite `images` for pictures that come one by one, without pandas and Great Expectations: a validation run
takes longer than a batch of events may."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from croquis.catalog.table import METADATA_COLUMNS, SCHEMA, Catalog
from croquis.params.data_blocks import Validate
from croquis.validation.image_columns import image_columns
from croquis.validation.measure import measure
from croquis.validation.rules import IMAGE_RULES, check_disabled


def image_reasons(rows: Sequence[Mapping[str, Any]], settings: Validate) -> dict[int, list[str]]:
    """Number of a row -> why the stage `validate` would put it into quarantine for what it is in itself.

    Args:
        rows: catalogue rows with their `image`, at least one; relations between rows other than equal ids are not looked at.
    """
    check_disabled(settings)
    schema = pa.schema([SCHEMA.field(name) for name in METADATA_COLUMNS])
    table = pa.Table.from_pylist([{name: row.get(name) for name in METADATA_COLUMNS} for row in rows], schema=schema)
    catalog = Catalog(Path(), table, np.array([0, len(rows)], dtype=np.int64), ())
    columns = image_columns(catalog, [measure(row["image"], settings.max_megapixels) for row in rows])
    found: dict[int, list[str]] = {}
    for rule in IMAGE_RULES:
        if rule.broken and rule.name not in settings.disabled:
            values = columns[rule.column]
            for row in np.flatnonzero(rule.broken(values, settings)).tolist():
                found.setdefault(row, []).append(rule.reason(values[row]))
    return found
