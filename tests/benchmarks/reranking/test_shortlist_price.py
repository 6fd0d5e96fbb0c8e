"""The price of the shortlist: what is drawn, and what depths come to."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.common.studies import load_studies
from benchmarks.reranking import shortlist_price
from benchmarks.reranking.shortlist_price import draw, measure, price_table
from tests.support.benchmark_cells import rows_of


def test_photos_lie_around_the_direction_of_their_item():
    gallery, items, queries, asked = draw(0.2, 1)
    assert np.linalg.norm(gallery, axis=1) == pytest.approx(np.ones(800))
    cosines = queries @ gallery.T
    same = items == asked[:, None]
    assert cosines[same].mean() > cosines[~same].mean() + 0.3
    assert np.array_equal(gallery, draw(0.2, 1)[0])


@pytest.mark.slow
def test_depths_are_measured_and_the_whole_gallery_gains_more_than_a_short_list(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shortlist_price, "SEEDS", (1,))
    monkeypatch.setattr(shortlist_price, "DEPTHS", (50, "all"))
    monkeypatch.setattr(shortlist_price, "ITEMS", 40)
    found = measure("easy")
    assert found["map"]["plain"] < found["map"]["50"] < found["map"]["all"]
    assert found["queries"] == 10
    table = rows_of(price_table({"cells": {"easy": found}}, load_studies()["shortlist-price"]))
    assert table["easy"] == [f"{found['map'][key]:.3f}" for key in ("plain", "50", "all")]
