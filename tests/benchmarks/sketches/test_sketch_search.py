"""The benchmarks of sketch search: what is read and learned of a set, and tables that come from reports alone."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from benchmarks.common.real_sets import real_set
from benchmarks.common.studies import load_studies
from benchmarks.sketches.sketch_paths import losses_table, paths_table, without_colours
from benchmarks.sketches.sketch_search import sketch_table
from tests.support.benchmark_cells import HEAD, measured, rows_of

STUDIES = load_studies()


def found(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 0.1, "high": value + 0.1, "chance": 0.01}


def test_one_kind_of_a_set_is_kept(tmp_path: Path) -> None:
    for name in ("shoes/train/edge/1.png", "shoes/train/sketch/1.png", "chairs/test/edge/2.png"):
        (tmp_path / "sketch_qmul" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "sketch_qmul" / name).touch()
    for part, kinds in (({}, {"shoes", "chairs"}), ({"kind": "shoes"}, {"shoes"})):
        block = real_set("sketch_qmul", tmp_path, tmp_path / "work", **part)["ingest"]["folder"]
        with Path(block["table"]).open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
        assert {row["category"] for row in rows} == kinds
        assert rows[-1]["item_id"] == "shoes-train-1"


def cell(direct: float, edges: float, seed: int, seconds: float | None = 10.0) -> dict[str, object]:
    own = measured(direct, seed, pair="sketch->shop", train_seconds=seconds)
    other = measured(edges, seed)["splits"]
    return own | {"paths": {"direct": own["splits"], "edges": other}}


def test_the_table_of_a_set_has_every_path_and_what_was_published() -> None:
    cells = {f"joint/{seed}": cell(0.3 + seed / 100, 0.4, seed) for seed in (1, 2, 3)}
    cells |= {"zero-shot/1": cell(0.2, 0.4, 1, None)}
    rows = rows_of(sketch_table({"settings": HEAD, "cells": cells}, STUDIES["sketch-shoes"]))
    assert rows["straight, joint"][0].startswith("0.320 ± ")
    assert rows["straight, joint"][3:] == ["10, 10, 10", "3"]
    assert rows["straight, zero-shot"][0] == "0.200 (0.100 to 0.300)"
    assert rows["edge map against edge maps"][0] == "0.400 (0.300 to 0.500)"
    assert rows["zero-shot, as the data's README has it"][:2] == ["0.10", "0.48"]
    assert rows["chance"][:2] == ["0.010", "0.010"]


def test_on_photo_sets_joint_is_set_against_siamese_by_seed() -> None:
    cells = {f"joint/{seed}": cell(0.3 + seed / 100, 0.4, seed) for seed in (1, 2, 3)}
    cells |= {f"siamese/{seed}": cell(0.1 + seed / 100, 0.4, seed) for seed in (1, 2, 3)}
    rows = rows_of(sketch_table({"settings": HEAD, "cells": cells}, STUDIES["sketch-inshop_luma"]))
    assert rows["straight, joint"][2] == "+0.200 ± 0.000 *"
    assert rows["straight, siamese"][2] == ""
    assert not any("README" in row for row in rows)


def test_the_tables_of_the_rendered_catalogue() -> None:
    def path(value: float, gain: float) -> dict[str, object]:
        metrics = {name: found(value) for name in ("hit@1", "hit@10", "map@r")}
        return {"queries": 9, **metrics, "gain": {"value": gain, "low": gain - 0.1, "high": gain + 0.1}}

    method = {"gan": path(0.02, -0.05), "direct": path(0.1, 0.0), "edges": path(0.5, 0.4)}
    other = {"gan": path(0.2, 0.1), "direct": path(0.4, 0.3), "edges": path(0.5, 0.4)}
    splits = {split: {"joint": other, "siamese": method} for split in ("val", "test")}  # a report's keys are sorted
    losses = {name: {"front photos": found(0.8), "drawings": found(0.3)} for name in ("joint", "siamese")}
    about = {"seed": 7, "commit": "abc", "methods": ["siamese", "joint"]}
    report = {"cells": {"paths/7": {**about, "splits": splits, "losses": losses}}}
    rows = rows_of(paths_table(report, STUDIES["sketch-rendered"]))
    assert list(rows) == [
        "sketch -> GAN -> encoder, siamese",
        "sketch straight into the encoder, siamese",
        "edge map against edge maps",
        "sketch -> GAN -> encoder, joint",
        "sketch straight into the encoder, joint",
        "chance",
    ]
    assert rows["sketch straight into the encoder, siamese"][4] == ""
    assert rows["sketch straight into the encoder, joint"][4] == "**+0.300 (+0.200 to +0.400)**"
    assert rows["sketch -> GAN -> encoder, joint"][4] == "+0.100 (+0.000 to +0.200)"
    assert rows_of(losses_table(report, STUDIES["sketch-rendered"]))["front photos"] == ["0.800 (0.700 to 0.900)"] * 2


def test_a_photo_loses_its_colours_and_keeps_its_mean() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (5, 4, 3), dtype=np.uint8)
    (grey,) = without_colours([photo])
    assert (grey[:, :, 0] == grey[:, :, 1]).all()
    np.testing.assert_allclose(grey[:, :, 2], photo.mean(axis=2), atol=0.51)
