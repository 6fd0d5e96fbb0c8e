"""The table of joint's tricks: each row against the first, by query with one seed and by seed with several."""

from __future__ import annotations

from benchmarks.common.studies import load_studies
from benchmarks.sketches.joint_tricks import tricks_table
from tests.support.benchmark_cells import HEAD, rows_of

STUDY = load_studies()["joint-tricks-rendered"]


def cell(value: float, seed: int) -> dict[str, object]:
    figures = {"value": value, "low": value - 0.1, "high": value + 0.1}
    metrics = dict.fromkeys(("hit@1", "hit@10", "map@r"), figures)
    asked = {"items": [f"item-{number}" for number in range(30)], "values": [value] * 30}
    who = {"queries": 30, "gallery": {"images": 60}, "metrics": metrics, "by_query": asked}
    return {"seed": seed, "commit": "abc", "train_seconds": 10.0, "val": {"drawings": who, "photos": who}}


def test_one_seed_is_paired_by_query() -> None:
    cells = {"base/7": cell(0.3, 7), "+ bridge/7": cell(0.4, 7)}
    text = tricks_table({"settings": HEAD, "cells": cells}, STUDY)
    assert text.startswith("30 drawings and 30 photos of val; 60 gallery images; code abc.")
    rows = rows_of(text)
    assert list(rows) == ["base", "+ bridge"]
    assert rows["base"][:1] + rows["base"][4:] == ["0.300 (0.200 to 0.400)", "", "", "10", "1"]
    assert rows["+ bridge"][4] == "**+0.100 (+0.100 to +0.100)**"


def test_several_seeds_are_paired_by_seed() -> None:
    cells = {f"base/{seed}": cell(0.3 + seed / 100, seed) for seed in (1, 2)}
    cells |= {f"+ grey/{seed}": cell(0.2 + seed / 100, seed) for seed in (1, 2)}
    rows = rows_of(tricks_table({"settings": HEAD, "cells": cells}, STUDY))
    assert rows["base"][0].startswith("0.315 ± ")
    assert rows["+ grey"][5] == "-0.100 ± 0.000 *"


def test_every_row_turns_on_one_thing_alone() -> None:
    changes = [row.params.get("joint", {}) for row in STUDY.all_rows.values()]
    assert changes[0] == {}
    assert sorted(key for change in changes[1:] for key in change) == ["bridge", "category_weight", "grey", "jigsaw"]
