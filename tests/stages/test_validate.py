"""The validate stage: what it writes and what stops it; test_corruption.py plants every fault."""

from __future__ import annotations

import csv
import hashlib
import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from croquis.catalog.table import Catalog
from croquis.validation.quarantine import ValidationError
from croquis.validation.rules import ALL_RULES, SUITES, RuleError

Rows = list[dict[str, Any]]


@pytest.mark.slow
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


@pytest.mark.slow
def test_both_rows_of_an_id_go(run_stage: Any, catalogue_rows: Rows) -> None:
    catalogue_rows[1]["image_id"] = catalogue_rows[0]["image_id"]
    root, _, _ = run_stage(catalogue_rows)
    quarantine = Catalog.open(root / "data/quarantine")
    assert quarantine.column("reason").tolist() == ["image_id_unique: 00/0"] * 2


@pytest.mark.slow
def test_queries_lose_their_gallery_with_a_broken_file(run_stage: Any, catalogue_rows: Rows) -> None:
    gallery = next(row for row in catalogue_rows if row["role"] == "gallery")
    gallery["image"] = b"broken"
    _, _, reasons = run_stage(catalogue_rows)
    item = gallery["item_id"]
    orphans = {row["image_id"] for row in catalogue_rows if row["item_id"] == item} - {gallery["image_id"]}
    assert {name for name, reason in reasons.items() if reason.startswith("query_has_gallery")} == orphans
    assert reasons[gallery["image_id"]].startswith("decodable")
    assert len(reasons) == 3


@pytest.mark.slow
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
    shared = next(rule for rule in report["rules"] if rule["rule"] == "one_photo_two_labels")
    assert shared["flagged"] == 0


def mirrored(photo: bytes, side: int = 96) -> bytes:
    """The photo's mirror image, enlarged and encoded as JPEG."""
    with Image.open(io.BytesIO(photo)) as image:
        copy = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).resize((side, side))
    stream = io.BytesIO()
    copy.save(stream, "JPEG", quality=80)
    return stream.getvalue()


@pytest.mark.slow
def test_near_copies_leave_the_earlier_split(run_stage: Any, catalogue_rows: Rows) -> None:
    catalogue_rows[33] |= {"image": mirrored(catalogue_rows[0]["image"])}
    _, _, reasons = run_stage(catalogue_rows)
    assert list(reasons) == ["00/0"]
    assert reasons["00/0"].startswith("near_copy_in_later_split: looks like 11/0 (split test), ")
    assert reasons["00/0"].endswith("apart, mirrored")


@pytest.mark.slow
def test_near_copies_under_two_items_are_tolerated_up_to_a_share(
    run_stage: Any, catalogue_rows: Rows, capsys: pytest.CaptureFixture[str]
) -> None:
    catalogue_rows[4] |= {"image": mirrored(catalogue_rows[0]["image"])}
    root, report, reasons = run_stage(catalogue_rows, validate__max_near_duplicate_share=0.06)
    assert reasons == {}
    rule = next(rule for rule in report["rules"] if rule["rule"] == "near_copy_two_labels")
    assert rule["passed"]
    assert {entry["image_id"] for entry in rule["examples"]} == {"00/0", "01/1"}
    assert "(tolerated) near_copy_two_labels: 2" in capsys.readouterr().out
    with (root / "reports/data_docs/flagged.csv").open(newline="") as stream:
        flagged = list(csv.DictReader(stream))
    assert [(row["rule"], row["name"]) for row in flagged] == [(rule["rule"], "00/0"), (rule["rule"], "01/1")]
    with pytest.raises(ValidationError, match=r"near_copy_two_labels .*2 image_id\(s\): 00/0: looks like 01/1"):
        run_stage(catalogue_rows, validate__max_near_duplicate_share=0.05)


@pytest.mark.slow
def test_an_item_in_two_splits_stops_the_stage(run_stage: Any, catalogue_rows: Rows, tmp_path: Path) -> None:
    catalogue_rows[2] |= {"split": "test", "role": "query"}
    with pytest.raises(ValidationError, match=r"item_in_one_split .*item item-00 is in test and train"):
        run_stage(catalogue_rows)
    assert not (tmp_path / "data/catalog").exists()
    assert (tmp_path / "reports/validation.json").is_file()


@pytest.mark.slow
def test_a_missing_split_stops_the_stage(run_stage: Any, catalogue_rows: Rows) -> None:
    with pytest.raises(ValidationError, match=r"(?s)splits_present.*queries_present"):
        run_stage([row for row in catalogue_rows if row["split"] != "val"])


@pytest.mark.slow
def test_too_many_bad_rows_stop_the_stage(run_stage: Any, catalogue_rows: Rows, tmp_path: Path) -> None:
    for row in catalogue_rows[:3]:
        row["image"] = b"broken"
    catalogue_rows[4]["bbox"] = [0, 0, 0, 0]
    expected = r"4 of 36 images \(11\.1%\).* allows 10\.0%: decodable 3, box_inside 1"
    with pytest.raises(ValidationError, match=expected):
        run_stage(catalogue_rows, validate__max_quarantine_share=0.1)
    assert len(Catalog.open(tmp_path / "data/quarantine")) == 4
    assert not (tmp_path / "data/catalog").exists()


def test_a_rule_that_does_not_exist_cannot_be_switched_off(run_stage: Any, catalogue_rows: Rows) -> None:
    with pytest.raises(RuleError, match=r"validate\.disabled names 'near_dup', which is no rule; rules are image_id"):
        run_stage(catalogue_rows, validate__disabled=["near_dup"])


@pytest.mark.slow
def test_the_same_input_gives_the_same_files(run_stage: Any, catalogue_rows: Rows) -> None:
    catalogue_rows[3]["image"] = b"broken"

    def files(root: Path) -> dict[str, bytes]:
        folders = ("data/catalog", "data/quarantine", "reports")
        return {str(path): path.read_bytes() for name in folders for path in (root / name).rglob("*") if path.is_file()}

    first = files(run_stage(catalogue_rows)[0])
    assert files(run_stage(catalogue_rows)[0]) == first
    assert any(path.endswith("data_docs/index.html") for path in first)


@pytest.mark.slow
def test_the_first_page_of_the_data_docs_shows_verdict_pictures_and_copies(
    run_stage: Any, catalogue_rows: Rows
) -> None:
    catalogue_rows[2]["image"] = b"broken"
    catalogue_rows[3]["bbox"] = [0, 0, 500, 500]
    catalogue_rows[4] |= {"image": mirrored(catalogue_rows[0]["image"])}
    root, report, _ = run_stage(catalogue_rows, validate__max_near_duplicate_share=0.06)
    page = (root / "reports/data_docs/index.html").read_text()
    counts = f"{report['accepted']} of 36 images accepted, {report['quarantined']} set aside"
    assert f"The catalogue is used: {counts}" in page
    assert page.count('<div class="pair">') == 1, "both pictures flag the same pair"
    assert "<b>00/0</b>" in page.partition('<div class="pair">')[2]
    assert page.count('src="data:image/jpeg;base64,') == 3, "the box, and the pair; the broken file has no picture"
    assert page.count("no picture") == 1
    assert "<code>validate.max_near_duplicate_share</code>" in page
    assert (
        page.index("<h2>Set aside") < page.index("<h2>Near copies") < page.index("<h2>Drift") < page.index("<h2>Rules")
    )


@pytest.mark.slow
def test_the_first_page_leaves_out_what_is_empty(run_stage: Any, catalogue_rows: Rows) -> None:
    root, _, _ = run_stage(catalogue_rows)
    page = (root / "reports/data_docs/index.html").read_text()
    assert "36 of 36 images accepted, 0 set aside; no rule flagged an image" in page
    assert "<h2>Set aside" not in page
    assert "<h2>Near copies" not in page
    assert "rules that flagged nothing</summary>" in page


@pytest.mark.slow
def test_one_rule_is_no_plural(run_stage: Any, catalogue_rows: Rows) -> None:
    catalogue_rows[3]["image"] = b"broken"
    root, _, _ = run_stage(catalogue_rows)
    page = (root / "reports/data_docs/index.html").read_text()
    assert "35 of 36 images accepted, 1 set aside; 1 rule flagged images" in page


@pytest.mark.slow
def test_the_first_page_says_what_stops_the_stage(run_stage: Any, catalogue_rows: Rows, tmp_path: Path) -> None:
    catalogue_rows[2] |= {"split": "test", "role": "query"}
    with pytest.raises(ValidationError):
        run_stage(catalogue_rows)
    page = (tmp_path / "reports/data_docs/index.html").read_text()
    assert '<p class="verdict bad">The catalogue cannot be used: item_in_one_split.' in page


@pytest.mark.slow
def test_data_docs_need_no_network(run_stage: Any, catalogue_rows: Rows) -> None:
    catalogue_rows[3]["image"] = b"broken <script>"
    root, _, _ = run_stage(catalogue_rows)
    pages = {path.name: path.read_text() for path in (root / "reports/data_docs").iterdir()}
    suites = {f"{name}{kind}.html" for name in SUITES for kind in ("", ".rules")}
    assert set(pages) == {"index.html", "flagged.csv"} | suites
    for page in pages.values():
        assert "http" not in page
        assert "<script" not in page
        assert "<link" not in page
    assert all(rule.name in pages["index.html"] for rule in ALL_RULES if rule.relevance != "category")
    assert 'href="relations.html"' in pages["index.html"]
    assert "the file is none of" in pages["images.html"]
    assert 'href="images.rules.html"' in pages["images.html"]
    assert "<code>validate.min_side</code> (24) pixels" in pages["images.rules.html"]
