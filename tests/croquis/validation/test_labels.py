"""Distributions of categories and attributes, by hand."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from croquis.catalog.table import Catalog, CatalogWriter
from croquis.validation.image_columns import image_columns, label_problem
from croquis.validation.labels import attribute_frame, attribute_table, split_frame
from croquis.validation.measure import Measured


def frame(**splits: list[str]) -> pd.DataFrame:
    """One item per entry, which is its category."""
    rows = [(f"{split}-{n}", split, name) for split, names in splits.items() for n, name in enumerate(names)]
    return pd.DataFrame(rows, columns=["item_id", "split", "category"])


def drift(rows: pd.DataFrame) -> dict[str, dict[str, float]]:
    return split_frame(rows).set_index("split").to_dict(orient="index")


def test_distance_is_the_total_variation() -> None:
    found = drift(frame(train=["a", "a", "b", "b"], val=["a", "b"], test=["a", "a", "a", "c"]))
    assert found["val"]["distance"] == 0.0
    assert found["test"]["distance"] == pytest.approx(0.5)
    # Pooled shares of test and train are a 5/8, b 2/8, c 1/8, and 1/4 + 1/4 is the sum of the inverse counts.
    spread = sum(math.sqrt(p * (1 - p) * 0.5) for p in (5 / 8, 2 / 8, 1 / 8))
    assert found["test"]["chance"] == pytest.approx(math.sqrt(2 / math.pi) * spread / 2)
    assert found["test"]["drift"] == pytest.approx(max(0.0, 0.5 - found["test"]["chance"]))


def test_disjoint_categories_are_at_distance_one() -> None:
    found = drift(frame(train=["a"] * 50, val=["b"] * 50, test=["a"] * 50))
    assert found["val"]["distance"] == 1.0
    assert found["val"]["drift"] > 0.9
    assert found["test"] == {"distance": 0.0, "chance": 0.0, "drift": 0.0}


def test_chance_is_what_splits_by_lot_show() -> None:
    """The formula against the mean over many drawn splits of 400 and 60 items."""
    chance = np.random.default_rng(0)
    shares = np.array([0.4, 0.3, 0.15, 0.1, 0.05])
    drawn = []
    for _ in range(300):
        train, test = chance.multinomial(400, shares) / 400, chance.multinomial(60, shares) / 60
        drawn.append(np.abs(train - test).sum() / 2)
    names = [f"c{n}" for n in range(5)]
    rows = frame(
        train=[name for name, share in zip(names, shares, strict=True) for _ in range(round(400 * share))],
        val=["c0"],
        test=[name for name, share in zip(names, shares, strict=True) for _ in range(round(60 * share))],
    )
    assert drift(rows)["test"]["chance"] == pytest.approx(np.mean(drawn), rel=0.05)


def test_photos_of_one_item_count_once() -> None:
    rows = frame(train=["a", "b"], val=["a"], test=["a", "b"])
    assert drift(pd.concat([rows, rows.iloc[[0, 0, 0]]], ignore_index=True)) == drift(rows)


def write(folder: Path, rows: list[dict[str, Any]], attributes: list[list[str | None]]) -> Catalog:
    with CatalogWriter(folder, 2) as writer:
        writer.write_all(row | {"attributes": labels} for row, labels in zip(rows, attributes, strict=False))
    return Catalog.open(folder)


def test_shares_of_items_and_shift(tmp_path: Path) -> None:
    rows = [
        {"image_id": str(n), "item_id": str(n // 2), "domain": "shop", "category": "a", "image": b"", "role": "train"}
        | {"split": "train" if n < 8 else "test"}
        for n in range(12)
    ]
    catalog = write(tmp_path, rows, [["x"], [], ["x", "y"], ["x"], [], [], [], [], ["y"], ["y"], ["y"], []])
    table = attribute_table(catalog)
    assert list(zip(table["row"], table["attribute"], strict=True))[:3] == [(0, "x"), (2, "x"), (2, "y")]
    items = pd.DataFrame({name: catalog.column(name) for name in ("item_id", "split")})
    found = attribute_frame(items, table).set_index("attribute")
    assert found.loc["x", ["train", "val", "test"]].tolist() == [0.5, 0.0, 0.0]
    assert found.loc["y", ["train", "val", "test"]].tolist() == [0.25, 0.0, 1.0]
    error = math.sqrt(0.5 * 0.5 * (1 / 4 + 1 / 2))  # y: 3 of 6 items pooled
    assert found.loc["y", "shift"] == pytest.approx(max(0.0, 0.75 - 3 * error))
    measured = [Measured("")] * len(catalog)
    assert image_columns(catalog, measured)["item_labels"].tolist() == [1, 1, 2, 2, 0, 0, 0, 0, 1, 1, 1, 1]


@pytest.mark.slow
def test_a_shift_beyond_chance_is_counted(tmp_path: Path) -> None:
    rows = [
        {"image_id": str(n), "item_id": str(n), "domain": "shop", "category": "a", "image": b"", "role": "train"}
        | {"split": "train" if n < 200 else "val"}
        for n in range(300)
    ]
    catalog = write(tmp_path, rows, [["x"] if n < 200 else [] for n in range(300)])
    items = pd.DataFrame({name: catalog.column(name) for name in ("item_id", "split")})
    pooled = 200 / 300
    expected = 1 - 3 * math.sqrt(pooled * (1 - pooled) * (1 / 200 + 1 / 100))
    assert attribute_frame(items, attribute_table(catalog))["shift"].tolist() == [pytest.approx(expected)]


def test_catalogues_without_attributes_or_rows(tmp_path: Path, catalogue_rows: list[dict[str, Any]]) -> None:
    catalog = write(tmp_path, catalogue_rows, [[] for _ in catalogue_rows])
    table = attribute_table(catalog)
    items = pd.DataFrame({name: catalog.column(name) for name in ("item_id", "split")})
    assert attribute_frame(items, table).columns.tolist() == ["attribute", "train", "val", "test", "shift"]
    assert len(attribute_frame(items, table)) == 0
    empty = pd.DataFrame({"item_id": [], "split": [], "category": []})
    assert split_frame(empty)["drift"].tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("held", "unknown", "problem"),
    [
        (["a", "b"], ["c"], None),
        (["a", "b", "a", "b", "c"], [], "label 'b' more than once"),
        ([" "], [], "a blank label"),
        (["b", None, "b"], [], "a blank label"),
        ([], ["a", "a"], "label 'a' more than once"),
        (["a", "b", "c"], ["b", "a"], "label 'b' both held and unknown"),
    ],
)
def test_bad_labels_are_named(held: list[str | None], unknown: list[str | None], problem: str | None) -> None:
    assert label_problem(held, unknown) == problem
