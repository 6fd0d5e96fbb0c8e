"""Ours against the official recipes: what the rows are, and how the table holds them against the first of their method."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.common.studies import Options, load_studies, study_values
from benchmarks.leaderboards.official import variants
from croquis.params.loader import parse_params
from tests.support.benchmark_cells import HEAD, measured, rows_of

STUDIES = load_studies()
STUDY = STUDIES["official"]
OPTIONS = Options(None, 1.0, {}, Path(), None, Path(), Path())


@pytest.mark.parametrize("row", STUDY.all_rows)
def test_every_row_has_the_same_budget(row: str):
    params = parse_params(study_values(STUDY, row, 1, OPTIONS), methods=True)
    own = params.method(STUDY.method_of(row))
    batch = own.batch_size if hasattr(own, "batch_size") else own.items_per_batch * own.images_per_item
    assert (batch, own.fit.epochs, own.fit.learning_rate, own.fit.patience) == (64, 16, 0.001, 16)
    assert (params.base.image_size, params.train_embedder.backbone.width) == (32, 16)
    official = row.endswith(" official")
    assert (own.fit.optimiser, own.fit.schedule) == (("adam", "constant") if official else ("adamw", "cosine")) or (
        row == "spq first upload"
    )
    if official:
        assert not own.centre
        assert getattr(getattr(own, "views", None), "recipe", "kornia") == "kornia"


def test_the_centre_studies_change_nothing_but_centre():
    for name in ("centre-rendered", "centre-c2s_grocery"):
        rows = STUDIES[name].all_rows
        assert {row.method for row in rows.values()} == {"sgh", "dhd", "gpq", "spq"}
        for row in rows.values():
            assert {key for block in row.params.values() for key in block} == {"centre"}


def test_a_row_is_held_against_the_first_of_its_method():
    values = {"spq official": 0.3, "spq ours": 0.4, "dhd official": 0.5, "dhd ours": 0.45}
    cells = {
        f"{row}/{seed}": measured(value + 0.01 * seed * (row == "spq ours"), seed)
        for row, value in values.items()
        for seed in (1, 2)
    }
    rows = rows_of(variants({"cells": cells, "settings": HEAD}, STUDY))
    assert list(rows) == ["spq official", "spq ours", "dhd official", "dhd ours"]
    assert rows["spq official"][1] == ""
    assert rows["spq ours"][1].startswith("+0.115")
    assert rows["dhd ours"][3].startswith("-0.050")
    assert rows["dhd ours"][-1] == "2"
