"""The sketch stage: who is drawn, with which role, and that a drawing depends on its photo and the seed alone."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from croquis.catalog.images import decode_image
from croquis.catalog.product_columns import PRODUCT, product_type
from croquis.catalog.table import Catalog, CatalogWriter
from stages import sketch
from tests.support.small_hed import stand_in

Rows = list[dict[str, Any]]


def run(root: Path, rows: Rows, fake_run: Any) -> Catalog:
    with CatalogWriter(root / "data/catalog", 11) as writer:
        writer.write_all(rows)
    fake_run(sketch)
    sketch.main(root)
    return Catalog.open(root / "data/sketches")


def flats(rows: Rows, splits: tuple[str, ...]) -> Rows:
    chosen = [row for row in rows if row["view"] == "front" and row["split"] in splits]
    changes = {"domain": "sketch", "role": "query", "view": None, "bbox": None}
    return [{**row, **changes, "image_id": row["image_id"] + "/flat"} for row in chosen]


@pytest.mark.slow
def test_train_and_val_photos_are_drawn_and_flats_ask(project: Any, fake_run: Any, catalogue_rows: Rows) -> None:
    own = flats(catalogue_rows, ("val", "test"))
    drawn = run(project(), catalogue_rows + own, fake_run)
    roles = Counter(zip(drawn.column("split"), drawn.column("role"), strict=True))
    assert roles == {("train", "train"): 18, ("val", "gallery"): 3, ("val", "query"): 3, ("test", "query"): 3}
    assert set(drawn.column("domain")) == {"sketch"}
    by_id = {row["image_id"]: row for row in drawn.rows()}
    several = [by_id[f"sketch{number}-of/00/0"]["image"] for number in ("", "-2", "-3")]
    assert len(set(several)) == 3
    assert by_id["11/0/flat"]["image"] == own[-1]["image"]
    first, photo = by_id["sketch-of/00/0"], catalogue_rows[0]
    assert {key: first[key] for key in ("item_id", "category", "view", "attributes")} == {
        key: photo[key] for key in ("item_id", "category", "view", "attributes")
    }
    with Image.open(io.BytesIO(first["image"])) as picture:
        pixels = np.asarray(picture.convert("L"))
    assert pixels.shape == (128, 128) == (first["height"], first["width"])
    assert 0.01 < (pixels < 128).mean() < 0.4
    assert first["bbox"] is None


@pytest.mark.slow
def test_drawings_of_a_table_with_columns_of_the_products_ask_too(
    project: Any, fake_run: Any, catalogue_rows: Rows
) -> None:
    own = flats(catalogue_rows, ("val", "test"))
    known = pa.scalar({"title": "A coat", "price": 20.0}, product_type({"title": "text", "price": "number"}))
    drawn = run(project(), [{**row, PRODUCT: known} for row in catalogue_rows + own], fake_run)
    assert {row["image_id"] for row in drawn.rows() if row["role"] == "query"} == {row["image_id"] for row in own}
    assert PRODUCT not in drawn.table.column_names


@pytest.mark.slow
def test_without_flats_a_photo_asks_only_where_another_can_answer(
    project: Any, fake_run: Any, catalogue_rows: Rows
) -> None:
    by_id = {row["image_id"]: row for row in catalogue_rows}
    by_id["11/1"]["role"] = "gallery"  # two gallery photos: the front one asks
    del by_id["10/1"]  # one shop photo, in the gallery: nothing else could answer
    drawn = run(project(), list(by_id.values()), fake_run)
    test = {row["item_id"]: row["image_id"] for row in drawn.rows() if row["split"] == "test"}
    assert test == {"item-09": "sketch-of/09/1", "item-11": "sketch-of/11/0"}
    val = sorted((row["item_id"], row["role"]) for row in drawn.rows() if row["split"] == "val")
    assert val == sorted((f"item-{n:02d}", role) for n in (6, 7, 8) for role in ("gallery", "query"))
    assert len(set(drawn.column("image_id"))) == len(drawn)


@pytest.mark.slow
def test_close_ups_are_not_drawn(project: Any, fake_run: Any, catalogue_rows: Rows) -> None:
    for row in catalogue_rows[:2]:
        row["view"] = "detail"
    catalogue_rows[3]["view"] = "additional"
    drawn = run(project(), catalogue_rows + flats(catalogue_rows, ("val", "test")), fake_run)
    train = {
        name for name, split in zip(drawn.column("image_id"), drawn.column("split"), strict=True) if split == "train"
    }
    assert not {"sketch-of/00/0", "sketch-of/00/1", "sketch-of/01/0"} & train
    assert "sketch-of/01/1" in train


@pytest.mark.slow
def test_drawings_depend_on_photo_and_seed_alone(project: Any, fake_run: Any, catalogue_rows: Rows) -> None:
    def pictures(rows: Rows, seed: int = 7) -> dict[str, bytes]:
        return {row["image_id"]: row["image"] for row in run(project(base__seed=seed), rows, fake_run).rows()}

    every = pictures(catalogue_rows)
    fewer = pictures([row for row in catalogue_rows if row["item_id"] != "item-00"])
    assert fewer == {name: image for name, image in every.items() if not name.endswith("-of/00/0")}
    assert all(image != every[name] for name, image in pictures(catalogue_rows, seed=8).items())


@pytest.mark.slow
def test_of_a_category_protocol_a_query_photo_is_drawn(project: Any, fake_run: Any, catalogue_rows: Rows) -> None:
    """Where val and test have no gallery of their own, train is searched, and any photo of theirs may ask."""
    for row in catalogue_rows:
        if row["split"] != "train":
            row["role"] = "query"
    drawn = run(project(), catalogue_rows, fake_run)
    asked = {row["item_id"] for row in drawn.rows() if row["role"] == "query"}
    assert asked == {f"item-{number:02d}" for number in range(6, 12)}


@pytest.mark.slow
def test_drawings_that_the_catalogue_brings_of_train_items_join_the_training(
    project: Any, fake_run: Any, catalogue_rows: Rows
) -> None:
    own = flats(catalogue_rows, ("train", "val", "test"))
    drawn = run(project(sketch__drawings_per_photo=1), catalogue_rows + own, fake_run)
    train = {row["image_id"] for row in drawn.rows() if (row["split"], row["role"]) == ("train", "train")}
    assert train == {f"sketch-of/{item:02d}/0" for item in range(6)} | {f"{item:02d}/0/flat" for item in range(6)}


def test_a_project_without_drawings_keeps_a_note_and_no_rows(
    project: Any, fake_run: Any, catalogue_rows: Rows, capsys: pytest.CaptureFixture[str]
) -> None:
    root = project(parts__sketch=False, parts__gan=False)
    with CatalogWriter(root / "data/catalog") as writer:
        writer.write_all(catalogue_rows)
    fake_run(sketch)
    sketch.main(root)
    assert [path.name for path in (root / "data/sketches").iterdir()] == ["off.json"]
    assert Catalog.open_if_any(root / "data/sketches") is None
    assert "parts.sketch is false" in capsys.readouterr().out


@pytest.mark.slow
def test_contact_sheets_and_counts_are_reported(
    project: Any, fake_run: Any, catalogue_rows: Rows, capsys: pytest.CaptureFixture[str]
) -> None:
    root = project(sketch__size=64)
    with CatalogWriter(root / "data/catalog") as writer:
        writer.write_all(catalogue_rows + flats(catalogue_rows, ("val", "test")))
    runs = fake_run(sketch)
    sketch.main(root)
    with Image.open(runs[0].artifacts / "photo_edges_sketch.png") as sheet:
        assert sheet.size == (64 * (1 + 2 + 3), 64 * 6)  # photo, two kinds of edges, three drawings; six train items
    with Image.open(runs[0].artifacts / "sketch_beside_query.png") as sheet:
        assert sheet.size == (64 * 3 * 3, 64)  # photo, drawing and flat of three val items
    assert runs[0].metrics["sketches/train/train"] == 18
    assert runs[0].params["edges"] == "canny"
    assert "sketches: " in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("beginning", ["canny", "xdog", "coarse", "silhouette"])
def test_every_beginning_gives_drawings(project: Any, fake_run: Any, catalogue_rows: Rows, beginning: str) -> None:
    weights = dict.fromkeys(("canny", "xdog", "coarse", "silhouette", "hed"), 0.0) | {beginning: 1.0}
    drawn = run(project(sketch__begin_with=weights, sketch__drawings_per_photo=1), catalogue_rows, fake_run)
    for data in drawn.images(drawn.select(split="train").tolist()):
        assert 0.002 < (decode_image(data) < 200).mean() < 0.4


def test_a_box_is_widened_within_the_image() -> None:
    image = np.zeros((100, 80, 3), dtype=np.uint8)
    assert sketch.with_surroundings([10, 20, 60, 70], image) == [7, 17, 63, 73]
    assert sketch.with_surroundings([0, 0, 80, 100], image) == [0, 0, 80, 100]
    assert sketch.with_surroundings(None, image) is None


@pytest.mark.slow
def test_drawings_may_begin_with_what_a_net_finds(
    project: Any, fake_run: Any, catalogue_rows: Rows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = stand_in(monkeypatch, tmp_path)
    only = {"canny": 0.0, "xdog": 0.0, "coarse": 0.0, "silhouette": 0.0, "hed": 1.0}
    root = project(sketch__begin_with=only, sketch__hed_weights=path, sketch__size=64)
    drawn = run(root, catalogue_rows, fake_run)
    pictures = [decode_image(row["image"]) for row in drawn.rows()]
    assert len(pictures) > 18
    shares = [float((picture < 200).mean()) for picture in pictures]
    assert min(shares) > 0.01
    assert max(shares) < 0.4
