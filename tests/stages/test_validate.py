"""The validate stage: every kind of fault gets its own reason, the rest is accepted, nothing is lost."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from retrieval.catalog import Catalog, CatalogWriter
from stages import validate
from validation.verdict import ValidationError

Rows = list[dict[str, Any]]
Outcome = tuple[Path, dict[str, Any], dict[str, str]]


def png(width: int, height: int) -> bytes:
    stream = io.BytesIO()
    Image.effect_noise((width, height), 60).convert("RGB").save(stream, "PNG")
    return stream.getvalue()


def bomb() -> bytes:
    """A small file whose header states 20,000 x 20,000 pixels."""
    stream = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture
def run_stage(project: Any, fake_run: Any) -> Callable[..., Outcome]:
    def run(rows: Rows, **changes: Any) -> Outcome:
        root = project(**{"validate__max_quarantine_share": 1.0, "validate__max_megapixels": 1, **changes})
        with CatalogWriter(root / "data/raw", 7) as writer:
            writer.write_all(rows)
        fake_run(validate)
        validate.main(root)
        bad = Catalog.open(root / "data/quarantine")
        reasons = dict(zip(bad.column("image_id"), bad.column("reason"), strict=True))
        return root, json.loads((root / "reports/validation.json").read_text()), reasons

    return run


def test_a_sound_catalogue_passes_whole(run_stage: Any, catalogue_rows: Rows) -> None:
    root, report, reasons = run_stage(catalogue_rows)
    accepted = list(Catalog.open(root / "data/catalog").rows())
    assert reasons == {}
    assert (report["ingested"], report["accepted"], report["quarantined"]) == (36, 36, 0)
    assert [row["image"] for row in accepted] == [row["image"] for row in catalogue_rows]
    first = accepted[0]
    assert (first["width"], first["height"]) == (48, 48)
    assert first["sha256"] == hashlib.sha256(first["image"]).hexdigest()
    assert len(bytes.fromhex(first["phash"])) == 8
    assert all(rule["passed"] for rule in report["rules"])


FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "not a picture": ({"image": b"<html>404</html>"}, "decodable: the file is none of"),
    "empty file": ({"image": b""}, "decodable: the image is empty"),
    "cut off": ({"image": png(40, 40)[:-900]}, "decodable: the image is truncated"),
    "too many pixels": ({"image": png(1200, 1000)}, "megapixels: 1200 x 1000 pixels"),
    "bomb": ({"image": bomb()}, "megapixels: "),
    "too small": ({"image": png(20, 60), "bbox": None}, "short_side: 20"),
    "too long": ({"image": png(30, 2100), "bbox": None}, "long_side: 2100"),
    "box outside": ({"bbox": [4, 4, 49, 40]}, "box_inside: [4, 4, 49, 40] in an image of 48 x 48"),
    "box inside out": ({"bbox": [30, 4, 20, 40]}, "box_inside: [30, 4, 20, 40]"),
    "box of three": ({"bbox": [1, 2, 3]}, "box_inside: [1, 2, 3]"),
    "negative box": ({"bbox": [-1, 0, 3, 3]}, "box_inside: [-1, 0, 3, 3]"),
    "no id": ({"image_id": ""}, "image_id_present: "),
    "no item": ({"item_id": ""}, "item_id_present: "),
    "no category": ({"category": ""}, "category_present: "),
    "domain": ({"domain": "street"}, "domain_known: street"),
    "split": ({"split": "tset"}, "split_known: tset"),
    "role": ({"role": "probe"}, "role_known: probe"),
    "train role in test": ({"role": "train"}, "role_fits_split: train in split test"),
}


def test_each_fault_has_its_own_reason_and_nothing_else_is_flagged(run_stage: Any, make_rows: Any) -> None:
    rows = make_rows(4 * len(FAULTS))
    asking = [row for row in rows if row["split"] != "train" and row["domain"] == "consumer"]
    planted = {}
    for row, (change, reason) in zip(asking, FAULTS.values(), strict=False):
        row |= {"role": "query", **change}
        planted[row["image_id"]] = reason.replace("split test", f"split {row['split']}")
    root, report, reasons = run_stage(rows, validate__max_side=2000)
    assert set(reasons) == set(planted)
    for image_id, reason in planted.items():
        assert reasons[image_id].startswith(reason)
        assert "; " not in reasons[image_id]
    kept = Catalog.open(root / "data/catalog").column("image_id").tolist()
    assert kept == [row["image_id"] for row in rows if row["image_id"] not in planted]
    assert sum(report["reasons"].values()) == len(FAULTS) == report["quarantined"]


def test_both_rows_of_an_id_go(run_stage: Any, catalogue_rows: Rows) -> None:
    catalogue_rows[1]["image_id"] = catalogue_rows[0]["image_id"]
    root, _, _ = run_stage(catalogue_rows)
    quarantine = Catalog.open(root / "data/quarantine")
    assert quarantine.column("reason").tolist() == ["image_id_unique: 00/0"] * 2


def test_queries_lose_their_gallery_with_a_broken_file(run_stage: Any, catalogue_rows: Rows) -> None:
    gallery = next(row for row in catalogue_rows if row["role"] == "gallery")
    gallery["image"] = b"broken"
    _, _, reasons = run_stage(catalogue_rows)
    item = gallery["item_id"]
    orphans = {row["image_id"] for row in catalogue_rows if row["item_id"] == item} - {gallery["image_id"]}
    assert {name for name, reason in reasons.items() if reason.startswith("query_has_gallery")} == orphans
    assert reasons[gallery["image_id"]].startswith("decodable")
    assert len(reasons) == 3


def test_copies_leave_the_earlier_split(run_stage: Any, catalogue_rows: Rows) -> None:
    train, val, test = (
        next(row for row in catalogue_rows if row["split"] == split) for split in ("train", "val", "test")
    )
    train["image"] = test["image"]
    catalogue_rows[1]["image"] = val["image"]
    _, report, reasons = run_stage(catalogue_rows)
    assert reasons == {
        train["image_id"]: f"copy_in_later_split: same bytes as {test['image_id']} in test",
        catalogue_rows[1]["image_id"]: f"copy_in_later_split: same bytes as {val['image_id']} in val",
    }
    shared = next(rule for rule in report["rules"] if rule["rule"] == "photo_of_two_items")
    assert shared["images"] == 4


def test_twins_are_reported_and_stay(run_stage: Any, catalogue_rows: Rows) -> None:
    with Image.open(io.BytesIO(catalogue_rows[0]["image"])) as photo:
        mirrored = photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT).resize((96, 96))
    stream = io.BytesIO()
    mirrored.save(stream, "JPEG", quality=80)
    catalogue_rows[33] |= {"image": stream.getvalue()}
    _, report, reasons = run_stage(catalogue_rows, validate__near_duplicate_bits=4)
    assert reasons == {}
    by_name = {rule["rule"]: rule for rule in report["rules"]}
    for name in ("near_duplicate_items", "near_duplicate_splits"):
        assert {entry["image_id"] for entry in by_name[name]["examples"]} == {"00/0", "11/0"}


def test_an_item_in_two_splits_stops_the_stage(run_stage: Any, catalogue_rows: Rows, tmp_path: Path) -> None:
    catalogue_rows[2] |= {"split": "test", "role": "query"}
    with pytest.raises(ValidationError, match=r"item_in_one_split: .*item item-00 is in test and train"):
        run_stage(catalogue_rows)
    assert not (tmp_path / "data/catalog").exists()
    assert (tmp_path / "reports/validation.json").is_file()


def test_a_missing_split_stops_the_stage(run_stage: Any, catalogue_rows: Rows) -> None:
    with pytest.raises(ValidationError, match=r"(?s)splits_present.*queries_present"):
        run_stage([row for row in catalogue_rows if row["split"] != "val"])


def test_too_many_bad_rows_stop_the_stage(run_stage: Any, catalogue_rows: Rows, tmp_path: Path) -> None:
    for row in catalogue_rows[:3]:
        row["image"] = b"broken"
    catalogue_rows[4]["bbox"] = [0, 0, 0, 0]
    expected = r"4 of 36 images \(11\.1%\).* allows 10\.0%: decodable 3, box_inside 1"
    with pytest.raises(ValidationError, match=expected):
        run_stage(catalogue_rows, validate__max_quarantine_share=0.1)
    assert len(Catalog.open(tmp_path / "data/quarantine")) == 4
    assert not (tmp_path / "data/catalog").exists()


def test_the_same_input_gives_the_same_files(run_stage: Any, catalogue_rows: Rows) -> None:
    catalogue_rows[3]["image"] = b"broken"

    def files(root: Path) -> dict[str, bytes]:
        folders = ("data/catalog", "data/quarantine", "reports")
        return {str(path): path.read_bytes() for name in folders for path in (root / name).rglob("*") if path.is_file()}

    first = files(run_stage(catalogue_rows)[0])
    assert files(run_stage(catalogue_rows)[0]) == first
    assert any(path.endswith("data_docs/index.html") for path in first)


def test_data_docs_need_no_network(run_stage: Any, catalogue_rows: Rows) -> None:
    catalogue_rows[3]["image"] = b"broken <script>"
    root, _, _ = run_stage(catalogue_rows)
    pages = {path.name: path.read_text() for path in (root / "reports/data_docs").iterdir()}
    assert set(pages) == {"index.html", "images.html", "images.rules.html", "relations.html", "relations.rules.html"}
    for page in pages.values():
        assert "http" not in page
        assert "<script" not in page
        assert "<link" not in page
    assert "copy_in_later_split" in pages["index.html"]
    assert 'href="relations.html"' in pages["index.html"]
    assert "the file is none of" in pages["images.html"]
    assert 'href="images.rules.html"' in pages["images.html"]
