"""Differences between bundles, states of dvc.lock and environments, in words."""

from __future__ import annotations

from typing import Any

import pytest

from croquis.bundle import Bundle
from croquis.catalog.table import Catalog
from croquis.registry.rebuild.bundle_differences import bundle_differences, environment_differences, lock_differences
from tests.support.catalogues import blob_catalogue as world
from tests.support.registry.evaluated_project import SEES_COLOURS, SEES_LITTLE, write_method, write_params


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bundle]:
    found = {}
    for name, encoder in (("first", SEES_LITTLE), ("same", SEES_LITTLE), ("other", SEES_COLOURS)):
        root = tmp_path_factory.mktemp(name)
        world.write_catalogue(root)
        write_params(root, ["siamese"])
        found[name] = write_method(root, Catalog.open(root / "data/catalog"), "siamese", encoder)
    return found


def test_equal_bundles_do_not_differ(bundles: dict[str, Bundle]) -> None:
    assert bundle_differences(bundles["first"], bundles["same"]) == []


def test_files_and_manifest_keys_that_differ_are_named(bundles: dict[str, Bundle]) -> None:
    lines = bundle_differences(bundles["first"], bundles["other"])
    expected, found = (bundles[name].manifest.files["index.faiss"] for name in ("first", "other"))
    assert (
        f"index.faiss: {expected.sha256[:12]} -> {found.sha256[:12]}, {expected.bytes} -> {found.bytes} bytes" in lines
    )
    assert "manifest encoder.params.grid: 1 -> 4" in lines
    assert not any(line.startswith(("manifest encoder.kind", "manifest encoder: ")) for line in lines)
    assert not any(line.startswith("gallery.parquet") for line in lines)


def entry(dep: str = "a", out: str = "b") -> dict[str, Any]:
    return {"cmd": "run", "deps": [{"path": "in", "md5": dep}], "outs": [{"path": "models/net", "md5": out}]}


def test_the_stage_that_made_something_else_is_named_and_from_what() -> None:
    before = {"stages": {"train": entry(), "index": entry(), "ingest": entry(), "evaluate": entry()}}
    after = {"stages": {"train": entry(out="c"), "index": entry("x", "y"), "ingest": entry("x"), "register": entry()}}
    assert lock_differences(before, before) == []
    assert lock_differences(before, after) == [
        "train made another models/net from the same inputs",
        "index made another models/net from other inputs",
        "ingest had other inputs, and made the same",
    ]


def test_other_packages_are_named() -> None:
    assert environment_differences({"torch": "2.8", "numpy": "2.1"}, {"torch": "2.9", "numpy": "2.1", "new": "1"}) == [
        "new absent -> 1",
        "torch 2.8 -> 2.9",
    ]
