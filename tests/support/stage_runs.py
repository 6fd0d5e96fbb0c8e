"""Stage runs that keep what is reported, and what the validate stage leaves behind."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from croquis.catalog.table import Catalog, CatalogWriter
from croquis.files import read_json, write_json
from croquis.params.loader import read_yaml
from croquis.plugins import METHODS
from croquis.tracking.stage_code import CODE


class FakeRun:
    """Takes the place of `croquis.tracking.stage_run.StageRun`."""

    def __init__(self, artifacts: Path, params: Mapping[str, Any]) -> None:
        self.artifacts, self.params = artifacts, params
        self.metrics: dict[str, float] = {}
        self.volatiles: dict[str, float] = {}
        shutil.rmtree(artifacts, ignore_errors=True)
        artifacts.mkdir(parents=True)

    def metric(self, name: str, value: float) -> None:
        self.metrics[name] = value

    def volatile(self, name: str, value: float) -> None:
        self.volatiles[name] = value


class Outcome(NamedTuple):
    """What the stage left behind: its folder, its report, and the reasons of the rows that it took out, by image_id."""

    root: Path
    report: dict[str, Any]
    reasons: dict[str, str]

    def catalogue(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in sorted((self.root / "data/catalog").iterdir())}

    def rule(self, name: str) -> dict[str, Any]:
        return next(rule for rule in self.report["rules"] if rule["rule"] == name)


def install_fake_runs(module: Any, patch: pytest.MonkeyPatch) -> list[FakeRun]:
    """Replaces `stage_run` in a stage's module; returns the list that its runs are added to."""
    runs: list[FakeRun] = []

    @contextmanager
    def stage_run(stage: str, *, params: Mapping[str, Any], root: Path) -> Iterator[FakeRun]:
        runs.append(FakeRun(root / "reports/runs" / stage / "artifacts", params))
        yield runs[-1]

    patch.setattr(module, "stage_run", stage_run)
    return runs


def write_project(root: Path, **changes: Any) -> Path:
    """A params.yaml in the folder `root`, which keyword arguments `block__key=value` change, and what `code` writes of the
    methods."""
    values = read_yaml("params.yaml")
    for name, value in changes.items():
        *blocks, key = name.split("__")
        target = values
        for block in blocks:
            target = target[block]
        target[key] = value
    write_json(root / "params.yaml", values)
    write_method_facts(root)
    return root


def write_method_facts(root: Path) -> None:
    """What the stage `code` writes of the methods."""
    facts = {name: {"learns": True, "learns_from_drawings": name == "joint"} for name in METHODS.built_in}
    write_json(root / CODE / "methods.json", facts)


def run_validate(root: Path, rows: list[dict[str, Any]], patch: pytest.MonkeyPatch, **changes: Any) -> Outcome:
    """Runs the validate stage on rows; keyword arguments `block__key=value` change params.yaml."""
    from stages import validate  # here: most tests have no use for what it imports

    write_project(root, **{"validate__max_quarantine_share": 1.0, "validate__max_megapixels": 1, **changes})
    with CatalogWriter(root / "data/raw", 7) as writer:
        writer.write_all(rows)
    install_fake_runs(validate, patch)
    validate.main(root)
    bad = Catalog.open(root / "data/quarantine")
    reasons = dict(zip(bad.column("image_id"), bad.column("reason"), strict=True))
    return Outcome(root, read_json(root / "reports/validation.json"), reasons)
