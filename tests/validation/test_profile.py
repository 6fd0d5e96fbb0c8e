"""Category drift by hand."""

from __future__ import annotations

import pandas as pd
import pytest

from validation.profile import category_drift


def frame(**splits: list[str]) -> pd.DataFrame:
    return pd.DataFrame(
        [(split, name) for split, names in splits.items() for name in names], columns=["split", "category"]
    )


def test_drift_is_the_total_variation_distance() -> None:
    drift = category_drift(frame(train=["a", "a", "b", "b"], val=["a", "b"], test=["a", "a", "a", "c"]))
    assert drift == {"val": 0.0, "test": pytest.approx(0.5)}


def test_disjoint_categories_drift_by_one() -> None:
    assert category_drift(frame(train=["a"], val=["b"], test=["a"])) == {"val": 1.0, "test": 0.0}
