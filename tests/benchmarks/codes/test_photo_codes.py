"""Baselines below learned codes of real photos: those for which the photos are too few are left out."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks.codes import photo_codes
from benchmarks.codes.baselines import BASELINES
from benchmarks.codes.feature_codes import SHOP, Features
from croquis.evaluation.protocol import PROTOCOLS, open_gallery, open_queries
from tests.support.catalogues import blob_catalogue


def test_a_baseline_with_more_codewords_than_photos_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """16 codewords, and 4 photos with labels."""
    catalog, protocol = blob_catalogue.write_catalogue(tmp_path), PROTOCOLS["cifar10_a"]
    gallery, queries = open_gallery(catalog, "test", protocol), open_queries(catalog, "test", SHOP)
    rng = np.random.default_rng(0)
    known, asked = (rng.normal(size=(len(rows.rows), 8)).astype(np.float32) for rows in (gallery, queries))
    features = Features(gallery, queries, known, asked, np.tile(known, (3, 1)), known[:4], ["map@all"])
    monkeypatch.setattr(photo_codes, "features_of", lambda _: features)
    cell: Any = SimpleNamespace(name="pretrained@4", params=SimpleNamespace(base=SimpleNamespace(seed=7)))
    found = photo_codes.below_codes(cell)
    assert found["baselines"].keys() == BASELINES.keys()
    assert found["baselines_labelled"].keys() == {"lsh", "itq"}
