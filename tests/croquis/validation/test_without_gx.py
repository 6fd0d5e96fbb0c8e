"""The rules for pictures that come one by one: the verdicts of the stage, without the machinery of its run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from croquis.catalog.table import Catalog, CatalogWriter
from croquis.params import load_params
from croquis.validation.image_columns import image_columns
from croquis.validation.measure import measure
from croquis.validation.quarantine import reasons
from croquis.validation.rules import IMAGE_RULES
from croquis.validation.without_gx import image_reasons
from tests.support.catalogues.garment_catalogue import build_rows
from tests.support.catalogues.planted_faults import FAULTS


@pytest.mark.slow
def test_every_row_has_the_reasons_that_the_stage_gives(tmp_path: Path) -> None:
    from croquis.validation.suite import open_suites  # here: Great Expectations takes seconds to import

    settings = load_params().validate_.model_copy(update={"max_side": 2000})
    sound = build_rows(4)
    rows = [*sound, *(row for number, fault in enumerate(FAULTS) for row in fault.plant(sound, number))]
    with CatalogWriter(tmp_path / "raw") as writer:
        writer.write_all(rows)
    measured = [measure(row["image"], settings.max_megapixels) for row in rows]
    frame = pd.DataFrame(image_columns(Catalog.open(tmp_path / "raw"), measured))
    with open_suites(tmp_path / "docs") as suites:
        expected = reasons(suites.run("images", IMAGE_RULES, frame, settings), frame)
    assert len({found.split(":")[0] for texts in expected.values() for found in texts}) > 15  # many rules are broken
    assert image_reasons(rows, settings) == expected


def test_a_rule_that_is_switched_off_gives_no_reason() -> None:
    settings = load_params().validate_
    row = {**build_rows(4)[0], "domain": "street"}
    assert image_reasons([row], settings) == {0: ["domain_known: street"]}
    assert image_reasons([row], settings.model_copy(update={"disabled": ["domain_known"]})) == {}


@pytest.mark.slow
def test_a_server_that_takes_events_loads_neither_great_expectations_nor_pandas() -> None:
    script = "import sys, croquis.serving.app, croquis.events.handler; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "croquis.validation.rules" in loaded
    assert not {"great_expectations", "pandas"} & loaded
