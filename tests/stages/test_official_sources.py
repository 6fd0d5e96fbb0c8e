"""The official data sets, as the fixtures write them, through ingest and validate: what comes out is ready to train on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from croquis.catalog.table import Catalog
from croquis.evaluation.protocol import PROTOCOLS
from lightning_modules.data.retrieval_data import RetrievalData
from stages import ingest, validate
from tests.support.sources.attributes_files import write_attributes
from tests.support.sources.c2s_files import consumer_name, write_c2s
from tests.support.sources.deepfashion2_files import write_deepfashion2
from tests.support.sources.inshop_files import write_inshop

pytestmark = [
    pytest.mark.filterwarnings("ignore::croquis.formats.errors.SourceWarning"),
    pytest.mark.usefixtures("no_data_docs"),
]

SHOP = {"register__select_by": "shop->shop/hit@1"}
WRITERS: dict[str, tuple[Callable[[Path], Path], dict[str, Any], dict[str, Any]]] = {
    "deepfashion_inshop": (write_inshop, {"val_share": 0.3}, SHOP),
    "deepfashion_c2s": (write_c2s, {"gallery": "val+test"}, {}),
    "deepfashion_attributes": (write_attributes, {}, {"base__protocol": "category", **SHOP}),
    "deepfashion2": (write_deepfashion2, {"val_share": 0.3}, {}),
}


@pytest.fixture(params=sorted(WRITERS))
def source(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.slow
def test_a_small_release_passes_and_can_be_trained_on(
    source: str, project: Any, fake_run: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write, block, others = WRITERS[source]
    settings = {f"ingest__{source}__{key}": value for key, value in block.items()}
    settings[f"ingest__{source}__root"] = str(write(tmp_path / "release"))
    root = project(ingest__source=source, **settings, **others)
    fake_run(ingest)
    fake_run(validate)
    ingest.main(root)
    printed = capsys.readouterr().out
    validate.main(root)
    report = json.loads((root / "reports/validation.json").read_text())
    degenerate = [consumer_name(1, 3)] if source == "deepfashion_c2s" else []
    assert Catalog.open(root / "data/quarantine").column("image_id").tolist() == degenerate
    assert report["accepted"] + len(degenerate) == report["ingested"]
    catalog = Catalog.open(root / "data/catalog")
    protocol = PROTOCOLS[others.get("base__protocol", "instance")]
    data = RetrievalData.from_catalog(catalog, ["shop", "consumer"], 16, protocol=protocol)
    items = {split: set(catalog.column("item_id")[catalog.select(split=split)]) for split in ("train", "val", "test")}
    assert len(items["train"]) >= 8
    assert len(items["val"]) >= 4
    assert len(items["test"]) >= 4
    assert len(data.train) == len(catalog.select(split="train"))
    if source == "deepfashion_c2s":
        assert "gallery of test: 20 shop photos, 10 of them of val" in printed
        assert "gallery of val: 10 shop photos\n" in printed + "\n"
