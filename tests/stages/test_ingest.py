"""The ingest stage: a source becomes data/raw, and nothing is left of an ingest that broke off."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from croquis.catalog.table import Catalog
from croquis.formats.errors import SourceError
from stages import ingest


@pytest.fixture
def root(project: Any, catalogue_rows: list[dict[str, Any]], tmp_path: Path) -> Path:
    """A project whose source is a folder of the fixture's pictures."""
    with (tmp_path / "table.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["path", "item_id", "domain", "split", "role", "category"])
        for row in catalogue_rows:
            path = tmp_path / "images" / f"{row['image_id']}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(row["image"])
            writer.writerow(
                [f"{row['image_id']}.png", *(row[k] for k in ("item_id", "domain", "split", "role", "category"))]
            )
    return project(
        ingest__source="folder",
        ingest__folder__table=str(tmp_path / "table.csv"),
        ingest__folder__images=str(tmp_path / "images"),
        ingest__shard_rows=10,
    )


def test_source_becomes_the_raw_catalogue(
    root: Path, fake_run: Any, catalogue_rows: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    runs = fake_run(ingest)
    ingest.main(root)
    raw = Catalog.open(root / "data/raw")
    assert [row["image"] for row in raw.rows()] == [row["image"] for row in catalogue_rows]
    assert raw.column("role").tolist() == [row["role"] for row in catalogue_rows]
    assert len(list((root / "data/raw").glob("*.parquet"))) == 4
    assert runs[0].metrics["images"] == 36
    assert runs[0].metrics["items"] == 12
    assert runs[0].metrics["images/test/shop/gallery"] == 3
    assert "folder: 36 images, 12 items, 2 categories" in capsys.readouterr().out


def test_a_source_that_breaks_off_leaves_no_half(root: Path, fake_run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_run(ingest)
    ingest.main(root)
    before = {path.name: path.read_bytes() for path in (root / "data/raw").iterdir()}
    good = ingest.source_rows

    def breaking(*arguments: Any) -> Iterator[dict[str, Any]]:
        for number, row in enumerate(good(*arguments)):
            if number == 25:
                raise SourceError("the disk is gone")
            yield {**row, "category": "other"}

    monkeypatch.setattr(ingest, "source_rows", breaking)
    with pytest.raises(SourceError, match="the disk is gone"):
        ingest.main(root)
    assert {path.name: path.read_bytes() for path in (root / "data/raw").iterdir()} == before
    assert sorted(path.name for path in (root / "data").iterdir()) == ["code", "raw"]


def test_images_are_read_as_they_are_written(root: Path, fake_run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Never more rows alive than a shard and one."""
    fake_run(ingest)
    waiting: list[int] = []
    written = ingest.CatalogWriter.write

    def watch(self: Any, row: Any) -> None:
        written(self, row)
        waiting.append(len(self._pending))

    monkeypatch.setattr(ingest.CatalogWriter, "write", watch)
    ingest.main(root)
    assert len(waiting) == 36
    assert max(waiting) == 9
