"""A small catalogue, and a stage run that keeps what is reported instead of sending it anywhere."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image, ImageDraw

from croquis.catalog.table import Catalog, CatalogWriter
from croquis.files import write_json
from croquis.params.loader import read_yaml
from stages import validate


class FakeRun:
    """Takes the place of `croquis.tracking.stage_run.StageRun`."""

    def __init__(self, artifacts: Path, params: Mapping[str, Any]) -> None:
        self.artifacts, self.params = artifacts, params
        self.metrics: dict[str, float] = {}
        self.volatiles: dict[str, float] = {}
        shutil.rmtree(artifacts, ignore_errors=True)
        artifacts.mkdir(parents=True)

    def metric(self, name: str, value: float, step: int = 0) -> None:
        assert step == 0
        self.metrics[name] = value

    def volatile(self, name: str, value: float, step: int = 0) -> None:
        assert step == 0
        self.volatiles[name] = value


@pytest.fixture
def fake_run(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], list[FakeRun]]:
    """Replaces `stage_run` in a stage's module; returns the list that its runs are added to."""

    def install(module: Any) -> list[FakeRun]:
        runs: list[FakeRun] = []

        @contextmanager
        def stage_run(stage: str, *, params: Mapping[str, Any], root: Path) -> Iterator[FakeRun]:
            runs.append(FakeRun(root / "reports/runs" / stage / "artifacts", params))
            yield runs[-1]

        monkeypatch.setattr(module, "stage_run", stage_run)
        return runs

    return install


def draw_garment(seed: int, size: int = 48) -> bytes:
    """A PNG of a garment-like shape whose place, colour and marks depend on `seed` in a way that a hash can see."""
    chance = np.random.default_rng(seed)
    image = Image.new("RGB", (size, size), "white")
    canvas = ImageDraw.Draw(image)
    canvas.rectangle((8, 6, 38, 44), fill=tuple(chance.integers(0, 200, 3).tolist()))
    for _ in range(12):
        x, y, width, height = chance.integers(0, 36, 4).tolist()
        canvas.ellipse((x, y, x + 4 + width // 3, y + 4 + height // 3), fill=tuple(chance.integers(0, 256, 3).tolist()))
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def build_rows(items: int = 12) -> list[dict[str, Any]]:
    """Per item two shop photos and a consumer photo; half of the items train, then val, then test."""
    rows = []
    for item in range(items):
        split = "train" if item < items // 2 else "val" if item < items * 3 // 4 else "test"
        for photo, (domain, view) in enumerate([("shop", "front"), ("shop", "back"), ("consumer", None)]):
            role = "train" if split == "train" else "gallery" if photo < 1 else "query"
            rows.append(
                {
                    "image_id": f"{item:02d}/{photo}",
                    "item_id": f"item-{item:02d}",
                    "domain": domain,
                    "split": split,
                    "role": role,
                    "category": "coat" if item % 3 else "dress",
                    "view": view,
                    "attributes": ["sleeve:long"] if item % 2 else [],
                    "bbox": [4, 4, 44, 46],
                    "image": draw_garment(100 * item + photo),
                }
            )
    return rows


@pytest.fixture
def catalogue_rows() -> list[dict[str, Any]]:
    return build_rows()


@pytest.fixture
def make_rows() -> Callable[[int], list[dict[str, Any]]]:
    """A catalogue of so many items."""
    return build_rows


@pytest.fixture
def project(tmp_path: Path) -> Callable[..., Path]:
    """A folder with a params.yaml; keyword arguments `block__key=value` change it."""

    def make(**changes: Any) -> Path:
        values = read_yaml("params.yaml")
        for name, value in changes.items():
            *blocks, key = name.split("__")
            target = values
            for block in blocks:
                target = target[block]
            target[key] = value
        write_json(tmp_path / "params.yaml", values)
        return tmp_path

    return make


class Outcome(NamedTuple):
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
