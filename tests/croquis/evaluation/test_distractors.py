"""Photos of one split in the gallery of another: they are searched, they answer nothing, and no item moves."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from croquis.catalog.table import Catalog, CatalogError, CatalogWriter
from croquis.evaluation.evaluate_bundle import EvaluationSettings, evaluate_split
from croquis.evaluation.protocol import ProtocolError, open_gallery
from croquis.search.local_retriever import LocalRetriever
from tests.support.catalogues import blob_catalogue as world

SETTINGS = EvaluationSettings(depth=50, resamples=50, chunk=7, seed=3, edges="canny", edge_size=32)


def write(folder: Path, lent: bool) -> Catalog:
    """The world's photos; with `lent`, val gallery photos are distractors of test."""
    with CatalogWriter(folder, 16) as writer:
        for row in world.rows():
            if row["domain"] != "sketch":
                also = "test" if lent and (row["split"], row["role"]) == ("val", "gallery") else None
                writer.write(row | {"also_gallery_of": also})
    return Catalog.open(folder)


def galleries(catalog: Catalog, split: str) -> set[str]:
    return {row["image_id"] for row in catalog.rows() if (row["split"], row["role"]) == (split, "gallery")}


def test_a_gallery_holds_its_own_photos_and_those_lent_to_it(tmp_path: Path) -> None:
    alone, lent = write(tmp_path / "alone", False), write(tmp_path / "lent", True)
    assert set(open_gallery(alone, "test").image_ids) == galleries(alone, "test")
    assert set(open_gallery(lent, "test").image_ids) == galleries(lent, "test") | galleries(lent, "val")
    assert len(open_gallery(lent, "test")) == len(galleries(lent, "test")) + len(galleries(lent, "val"))
    assert set(open_gallery(lent, "val").image_ids) == galleries(lent, "val")


def test_a_split_without_photos_of_its_own_has_no_gallery(tmp_path: Path) -> None:
    with CatalogWriter(tmp_path / "catalog") as writer:
        for row in world.rows():
            if row["split"] == "val" and row["domain"] != "sketch":
                writer.write(row | {"also_gallery_of": "test" if row["role"] == "gallery" else None})
    with pytest.raises(ProtocolError, match="split 'test'"):
        open_gallery(Catalog.open(tmp_path / "catalog"), "test")


def test_evaluation_searches_the_distractors_and_counts_no_answer_among_them(tmp_path: Path) -> None:
    """Each first right answer stands behind exactly those distractors that beat it, as counted photo by photo."""
    catalog = write(tmp_path / "data/catalog", True)
    world.write_histogram_bundle(tmp_path, catalog)
    retriever = LocalRetriever.load(tmp_path / "models/bundles/histogram")
    wide = evaluate_split(retriever, catalog, None, "test", SETTINGS).run("consumer->shop", "encoder")
    narrow_catalog = write(tmp_path / "narrow", False)
    narrow = evaluate_split(retriever, narrow_catalog, None, "test", SETTINGS).run("consumer->shop", "encoder")
    assert wide.n_relevant.tolist() == narrow.n_relevant.tolist()
    lent = [row for row in catalog.rows() if row["also_gallery_of"] == "test"]
    listed = {row["image_id"]: row for row in catalog.rows()}
    distractors = world.vectors_of(lent)
    later = 0
    for query, old, new in zip(wide.queries.image_ids, narrow.ranks, wide.ranks, strict=True):
        (asked,) = world.vectors_of([listed[query]])
        right = [r for r in listed.values() if r["item_id"] == listed[query]["item_id"] and r["role"] == "gallery"]
        best = max(float(asked @ vector) for vector in world.vectors_of(right))
        assert new == old + sum(float(asked @ vector) > best for vector in distractors)
        later += int(new > old)
    assert later > 0


def test_shards_from_before_the_added_columns_are_read_as_null(tmp_path: Path) -> None:
    catalog = write(tmp_path / "catalog", True)
    shards = sorted((tmp_path / "catalog").glob("*.parquet"))
    for shard in shards[1:]:
        pq.write_table(pq.read_table(shard).drop_columns(["landmarks", "also_gallery_of"]), shard)
    old = Catalog.open(tmp_path / "catalog")
    assert old.table.column_names == catalog.table.column_names
    assert old.column("also_gallery_of")[:16].tolist() == catalog.column("also_gallery_of")[:16].tolist()
    assert set(old.column("also_gallery_of")[16:]) == {None}
    pq.write_table(pq.read_table(shards[0]).drop_columns(["bbox"]), shards[0])
    with pytest.raises(CatalogError, match=r"lacks the columns \['bbox'\]"):
        Catalog.open(tmp_path / "catalog")
