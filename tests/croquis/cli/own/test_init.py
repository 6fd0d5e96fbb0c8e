"""The command `init`: what it says and writes, that it replaces nothing unasked, that its project ends with a champion."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from croquis.cli import main
from croquis.cli.own.init import described
from croquis.params import load_params
from croquis.projects.planning import plan_project
from croquis.projects.profiles import has_weights
from croquis.projects.project_files import CODE_DEPS
from tests.support.pipeline.small_project import environment, module

ROOT = Path.cwd()
OURS = {"PYTHONPATH": str(ROOT)}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """30 products with three photos each."""
    return bags(tmp_path, 30)


def bags(tmp_path: Path, items: int) -> Path:
    """Three photos of each, of colour fields that only the product decides on."""
    for item in range(items):
        fields = np.random.default_rng(item).integers(0, 256, (4, 4, 3))
        for view in range(3):
            noise = np.random.default_rng([item, view]).normal(0, 12, (4, 4, 3))
            pixels = np.clip(fields + noise, 0, 255).astype(np.uint8)
            folder = tmp_path / "bags" / f"bag {item:02d}"
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).resize((64, 64), Image.Resampling.BICUBIC).save(folder / f"{view}.png")
    return tmp_path / "bags"


@pytest.mark.slow
def test_it_says_what_it_guessed_and_writes_a_project(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    target = tmp_path / "search"
    assert main(["init", str(photos), "--to", str(target)]) == 0
    said = capsys.readouterr().out
    for words in (
        "90 photos, 30 products, 1 categories, shop",
        "item_id: the photos of a folder are one product",
        "chosen by shop->shop/hit@1",
        "without sketch, gan, codes, attributes",
        "(an estimate)",
        f"cd {target} && croquis repro",
    ):
        assert words in said
    assert load_params(target / "params.yaml").ingest.folder.images == str(photos)  # type: ignore[attr-defined]
    pipeline = (target / "dvc.yaml").read_text()
    assert CODE_DEPS not in pipeline
    assert "always_changed: true" in pipeline
    assert (target / "data/source/catalogue.csv").read_text().splitlines()[1] == "bag 00/0.png,bag 00"


@pytest.mark.parametrize(("share", "told"), [(0.004, "under 1%"), (0.012, "1%"), (0.25, "25%")])
def test_it_says_how_many_queries_have_no_right_answer(photos: Path, share: float, told: str):
    plan = plan_project(photos, None, "quick")
    plan = replace(plan, shape=replace(plan.shape, unanswered=share))
    assert f"  {told} of the query photos have no right answer" in described(plan)
    assert "no right answer" not in described(replace(plan, shape=replace(plan.shape, unanswered=0.0)))


@pytest.mark.slow
def test_a_project_is_replaced_on_yes_and_a_folder_of_something_else_never(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    target = tmp_path / "search"
    assert main(["init", str(photos), "--to", str(target)]) == 0
    (target / "params.yaml").write_text("mine")
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    assert main(["init", str(photos), "--to", str(target)]) == 130
    assert (target / "params.yaml").read_text() == "mine"
    assert main(["init", str(photos), "--to", str(target), "--yes"]) == 0
    assert load_params(target / "params.yaml").base.protocol == "instance"
    assert main(["init", str(photos), "--to", str(photos), "--yes"]) == 1
    assert "holds files and is no project" in capsys.readouterr().err


@pytest.mark.slow
def test_the_quick_profile_ends_with_a_champion_of_ten_products_and_says_how_sure_its_figure_is(
    tmp_path: Path, programs: Path
):
    target = tmp_path / "search"
    assert main(["init", str(bags(tmp_path, 10)), "--to", str(target)]) == 0
    command = [sys.executable, "-W", "ignore", "-m", "croquis", "repro"]
    done = subprocess.run(
        command, cwd=target, env=environment(programs) | OURS, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    report = json.loads((target / "reports/registration.json").read_text())
    assert report["outcome"] == "first champion"
    assert {reason["rule"]: reason["passed"] for reason in report["reasons"]}["chance"]
    assert set(report["values"]) == set(load_params(target / "params.yaml").retrievers)
    assert ("pretrained" in report["values"]) == has_weights()
    assert report["values"]["histogram"] > 0.5
    bundle = json.loads((target / f"models/bundles/{report['method']}/manifest.json").read_text())
    assert bundle["generator"] is None
    assert bundle["classifier"] is None
    assert f"{report['method']} has hit@1 " in done.stdout
    assert "with 95% confidence it is " in done.stdout


@pytest.mark.slow
def test_a_folder_without_table_and_labels_ends_with_a_champion_by_altered_copies(
    tmp_path: Path, programs: Path, capsys: pytest.CaptureFixture[str]
):
    """By `dvc repro`, which `croquis repro` starts (test above)."""
    photos, target = bags(tmp_path, 30), tmp_path / "search"
    for folder in sorted(photos.iterdir()):
        (folder / "0.png").rename(photos / f"{folder.name.replace(' ', '')}x.png")
        for left in folder.iterdir():
            left.unlink()
        folder.rmdir()
    assert main(["init", str(photos), "--to", str(target)]) == 0
    module(target, "dvc", "repro", "--quiet", programs=programs, variables=OURS)
    report = json.loads((target / "reports/registration.json").read_text())
    said = capsys.readouterr().out
    assert "30 photos, 30 products, 1 categories, shop\n" in said
    assert "a right answer: the photo that an altered copy was made of" in said
    assert "the figures say how surely a photo is found again" in said
    assert report["outcome"] == "first champion"
    assert report["selected_by"] == "val consumer->shop/hit@1"
    shop = target / "shop.bundle"
    made = ["index", str(target / "data/catalog"), "--to", str(shop), "--encoder"]
    assert main([*made, str(target / f"models/bundles/{report['method']}")]) == 0
    assert json.loads((shop / "manifest.json").read_text())["items"]["rows"] == 30  # no altered copy is sold
