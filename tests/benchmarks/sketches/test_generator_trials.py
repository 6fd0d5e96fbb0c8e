"""Trials of the generator: a figure of each painting against the photo that its drawing shows, and their table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.common.cells import furnish
from benchmarks.common.studies import load_studies
from benchmarks.sketches.generator_trials import colours_of, figures, train, trials_table
from croquis.arrays import Uint8Image
from croquis.files import read_json
from lightning_modules.sketch_gan.gan_module import SketchPairs
from tests.support.benchmark_cells import rows_of


def test_a_painting_is_compared_with_the_photo_that_its_drawing_shows() -> None:
    photos = torch.randint(0, 200, (3, 3, 8, 8), dtype=torch.uint8)[[0, 1, 1, 2]]
    pairs = SketchPairs(photos.clone(), photos)  # a drawing that is its photo
    seen: list[Sequence[Uint8Image]] = []
    judge: Any = SimpleNamespace(figures=lambda made: seen.append(made) or {"retrieval": 1.0})
    same = figures(pairs, judge, lambda batch: batch)
    assert same["drawings"] == 4
    assert same["l1"] == 0.0
    assert np.array_equal(np.stack(seen[0]), photos.permute(0, 2, 3, 1).numpy())
    brighter = figures(pairs, judge, lambda batch: batch + np.float32(51 / 255))
    assert brighter["l1"] == pytest.approx(51 / 127.5)
    two = figures(
        pairs, judge, lambda batch: np.stack([batch, batch + np.float32(51 / 255)], 1).reshape(-1, *batch.shape[1:])
    )
    assert two["l1"] == pytest.approx(51 / 127.5 / 2)
    assert (two["drawings"], len(seen[-1])) == (4, 8)


def test_a_drawing_is_painted_in_the_colour_of_its_own_garment() -> None:
    words = {"red": "#ff0000", "navy": "#000080"}
    colours = colours_of([["sleeve:long", "colour:navy"], [], ["colour:red", "colour:navy"]] * 20, words)
    assert colours[:3] == [(0, 0, 128), None, (255, 0, 0)]
    images = torch.zeros((60, 3, 8, 8), dtype=torch.uint8)
    seen: list[Sequence[Uint8Image]] = []
    judge: Any = SimpleNamespace(figures=lambda made: seen.append(made) or {})
    figures(SketchPairs(images, images), judge, lambda batch: batch[:, 3:6], colours)
    painted = [tuple(photo[0, 0].tolist()) for photo in seen[0]]
    assert painted == [colour or (128, 128, 128) for colour in colours]


def test_generators_of_one_catalogue_share_a_classifier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained: list[Path] = []

    def train_classifier(root: Path) -> None:
        trained.append(root)
        (root / "models/attributes").mkdir(parents=True)
        rate = read_json(root / "params.yaml")["train_classifier"]["rate"]
        (root / "models/attributes/net").write_text(f"{rate} of {(root / 'data').resolve().parent.name}")

    monkeypatch.setattr("benchmarks.sketches.generator_trials.train_classifier.main", train_classifier)
    monkeypatch.setattr("benchmarks.sketches.generator_trials.train_gan.main", lambda _: None)
    (tmp_path / "catalogue/data").mkdir(parents=True)
    given = [("first", 0.1, 4), ("second", 0.1, 8), ("other", 0.2, 4)]
    for name, rate, epochs in given:
        values = {"base": {"seed": 7}, "train_classifier": {"rate": rate}, "train_gan": {"epochs": epochs}}
        cell: Any = SimpleNamespace(folder=tmp_path / name)
        furnish(cell.folder, values, tmp_path / "catalogue")
        train(cell)
    assert len(trained) == 2
    nets = [(tmp_path / name / "models/attributes/net").read_text() for name, _, _ in given]
    assert nets == ["0.1 of catalogue", "0.1 of catalogue", "0.2 of catalogue"]


def test_the_table_sets_each_row_against_the_first_by_seed() -> None:
    def cell(seed: int, retrieval: float) -> dict[str, object]:
        val = {"retrieval": retrieval, "l1": 0.2, "frechet": 5.0, "drawings": 90}
        return {"seed": seed, "commit": "abc", "val": val}

    cells = {f"constant rate/{seed}": cell(seed, 0.1 + seed / 100) for seed in (7, 8, 9)}
    cells |= {f"jitter/{seed}": cell(seed, 0.3 + seed / 100) for seed in (7, 8, 9)}
    coloured = {"retrieval": 0.9, "l1": 0.1, "frechet": 2.0, "drawings": 90}
    cells["takes a colour/7"] = cell(7, 0.2) | {"coloured": coloured}
    found = trials_table({"cells": cells}, load_studies()["generator-rendered"])
    assert found.startswith("90 drawings of val; code abc.")
    rows = rows_of(found)
    assert list(rows) == ["constant rate", "jitter", "takes a colour", "takes a colour, given the word"]
    assert rows["takes a colour, given the word"] == ["0.900", "0.100", "2.000", "+0.730", "1"]
    assert rows["constant rate"][3:] == ["", "3"]
    assert rows["jitter"][0].startswith("0.380 ± ")
    assert rows["jitter"][3] == "+0.200 ± 0.000 *"
