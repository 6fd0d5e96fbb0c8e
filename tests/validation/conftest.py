"""The small catalogue and the stage fixtures of tests/stages, and one run of the validate stage."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from retrieval.catalog import Catalog, CatalogWriter
from stages import validate
from tests.stages.conftest import build_rows, catalogue_rows, fake_run, make_rows, project

__all__ = ["build_rows", "catalogue_rows", "fake_run", "make_rows", "project"]


@dataclass(frozen=True)
class Outcome:
    """What the stage left behind: its folder, its report, and the reasons of the rows that it took out, by image_id."""

    root: Path
    report: dict[str, Any]
    reasons: dict[str, str]

    def catalogue(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in sorted((self.root / "data/catalog").iterdir())}

    def rule(self, name: str) -> dict[str, Any]:
        return next(rule for rule in self.report["rules"] if rule["rule"] == name)


@pytest.fixture
def run_stage(project: Any, fake_run: Any) -> Callable[..., Outcome]:
    """Runs the validate stage on rows; keyword arguments `block__key=value` change params.yaml."""

    def run(rows: list[dict[str, Any]], **changes: Any) -> Outcome:
        root = project(**{"validate__max_quarantine_share": 1.0, "validate__max_megapixels": 1, **changes})
        with CatalogWriter(root / "data/raw", 7) as writer:
            writer.write_all(rows)
        fake_run(validate)
        validate.main(root)
        bad = Catalog.open(root / "data/quarantine")
        reasons = dict(zip(bad.column("image_id"), bad.column("reason"), strict=True))
        return Outcome(root, json.loads((root / "reports/validation.json").read_text()), reasons)

    return run
