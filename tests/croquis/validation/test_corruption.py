"""Corruption: every kind of fault is planted into a sound catalogue; each is caught for its own reason, nothing else is
flagged, and the rest comes out as if the faults had never been there."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from croquis.catalog.table import Catalog, CatalogWriter
from croquis.files import read_json
from croquis.params.loader import read_yaml
from croquis.validation.quarantine import ValidationError
from croquis.validation.rules import ALL_RULES
from stages import evaluate, index, train_embedder, validate
from tests.support.catalogues.garment_catalogue import build_rows, draw_garment
from tests.support.catalogues.planted_faults import COPIED, FAULTS, Fault, Rows, file_of, garment, new_row
from tests.support.stage_runs import Outcome

ITEMS = 16


@pytest.fixture
def sound() -> Rows:
    return build_rows(ITEMS)


def planted(sound: Rows, faults: tuple[Fault, ...]) -> tuple[Rows, dict[str, Rows]]:
    """The sound rows with the faulty ones strewn in, and the faulty ones by the fault's name."""
    added = {fault.name: fault.plant(sound, number) for number, fault in enumerate(faults)}
    rows = list(sound)
    for place, row in enumerate(row for group in added.values() for row in group):
        rows.insert((place * 11) % len(rows), row)
    return rows, added


def rule_of(fault: Fault) -> str:
    return fault.reason.partition(":")[0]


def check_reason(reason: str, fault: Fault) -> None:
    assert reason.startswith(fault.reason)
    assert not re.search(r"; [a-z_]+: ", reason), "a second reason"


@pytest.mark.slow
def test_all_faults_at_once(run_stage: Callable[..., Outcome], sound: Rows) -> None:
    """One run with every fault: each planted row has its own reason and no other, and the catalogue is the clean one."""
    clean = run_stage(sound, validate__max_side=2000)
    assert clean.reasons == {}
    expected = clean.catalogue()
    rows, added = planted(sound, FAULTS)
    dirty = run_stage(rows, validate__max_side=2000)
    quarantine = Catalog.open(dirty.root / "data/quarantine")
    found = list(zip(quarantine.column("image_id"), quarantine.column("reason"), strict=True))
    for fault in FAULTS:
        for row in added[fault.name]:
            at = next(place for place, (name, _) in enumerate(found) if name == row["image_id"])
            check_reason(found.pop(at)[1], fault)
    assert found == [], "rows without a fault are in quarantine"
    assert dirty.catalogue() == expected
    assert dirty.report["accepted"] + dirty.report["quarantined"] == dirty.report["ingested"] == len(rows)


@pytest.mark.slow
@pytest.mark.usefixtures("no_data_docs")
@pytest.mark.parametrize("rule", sorted({rule_of(fault) for fault in FAULTS}))
def test_the_faults_of_each_rule_alone(run_stage: Callable[..., Outcome], sound: Rows, rule: str) -> None:
    faults = tuple(fault for fault in FAULTS if rule_of(fault) == rule)
    rows, added = planted(sound, faults)
    outcome = run_stage(rows, validate__max_side=2000)
    assert set(outcome.reasons) == {row["image_id"] for group in added.values() for row in group}
    for fault in faults:
        for row in added[fault.name]:
            check_reason(outcome.reasons[row["image_id"]], fault)
    assert [told["rule"] for told in outcome.report["rules"] if not told["passed"]] == [rule]
    kept = Catalog.open(outcome.root / "data/catalog")
    assert [row["image"] for row in kept.rows()] == [row["image"] for row in sound]


def item_in_two_splits(rows: Rows) -> None:
    rows.append(new_row(0, item_id=rows[0]["item_id"], split="test", role="gallery"))


def no_val(rows: Rows) -> None:
    rows[:] = [row for row in rows if row["split"] != "val"]


def no_queries_in_test(rows: Rows) -> None:
    rows[:] = [row for row in rows if (row["split"], row["role"]) != ("test", "query")]


def near_copies_under_two_items(rows: Rows) -> None:
    for number in range(8):
        rows.append(new_row(2 * number, image=file_of(garment(40_000 + number))))
        rows.append(new_row(2 * number + 1, image=file_of(garment(40_000 + number), "JPEG", **COPIED)))


def many_single_photos(rows: Rows) -> None:
    rows += [new_row(number, category=rows[number]["category"]) for number in range(30)]


def id_as_category(rows: Rows) -> None:
    for row in rows:
        row["category"] = row["item_id"]


def attribute_of_all(rows: Rows) -> None:
    for row in rows:
        row["attributes"] = ["made:yes", *row["attributes"]]


def attribute_of_test_only(rows: Rows) -> None:
    for row in rows:
        row["attributes"] = ["late:yes"] * (row["split"] == "test")


def other_attributes_in_test(rows: Rows) -> None:
    for row in rows:
        row["attributes"] = ["season:winter"] if row["split"] != "test" or row["item_id"] == "item-39" else []


def other_categories_in_test(rows: Rows) -> None:
    for row in rows:
        row["category"] = "scarf" if row["split"] == "test" else row["category"]


# What happens to the catalogue, the items it has, params that differ, and what the error must say.
WHOLE: dict[str, tuple[Callable[[Rows], None], int, dict[str, Any], str]] = {
    "item in two splits": (item_in_two_splits, ITEMS, {}, r"item_in_one_split .*item item-00 is in test and train"),
    "split missing": (no_val, ITEMS, {}, r"(?s)splits_present .*found no val.*queries_present .*found no val"),
    "queries missing": (no_queries_in_test, ITEMS, {}, r"queries_present .*found no test"),
    "near copies under two items": (
        near_copies_under_two_items,
        ITEMS,
        {},
        r"near_copy_two_labels .*16 image_id\(s\): ",
    ),
    "items of one photo": (many_single_photos, ITEMS, {}, r"single_image_items .*30 image_id\(s\): planted/0: 1; "),
    "ids as categories": (id_as_category, ITEMS, {"max_categories": 10}, r"category_count .*found 16"),
    "too few categories": (lambda _: None, ITEMS, {"min_categories": 3}, r"category_count .*found 2"),
    "attribute of all items": (
        attribute_of_all,
        ITEMS,
        {"max_constant_attribute_share": 0.4},
        r"attribute_tells .*1 attribute\(s\): made:yes: 1",
    ),
    "attribute of no training item": (
        attribute_of_test_only,
        ITEMS,
        {"max_prevalence_shift": 1.0},
        r"attribute_tells .*1 attribute\(s\): late:yes: 0",
    ),
    "attribute rare in test": (
        other_attributes_in_test,
        40,
        {"max_constant_attribute_share": 1.0},
        r"attribute_prevalence .*1 attribute\(s\): season:winter: 0\.[3-9]",
    ),
    "other categories in test": (other_categories_in_test, ITEMS, {}, r"category_drift .*1 split\(s\): test: 0\.[6-9]"),
}


@pytest.mark.slow
@pytest.mark.usefixtures("no_data_docs")
@pytest.mark.parametrize("kind", WHOLE)
def test_faults_of_the_whole_catalogue_stop_the_stage(
    run_stage: Callable[..., Outcome], tmp_path: Path, kind: str
) -> None:
    damage, items, settings, told = WHOLE[kind]
    rows = build_rows(items)
    damage(rows)
    with pytest.raises(ValidationError, match=told) as error:
        run_stage(rows, **{f"validate__{name}": value for name, value in settings.items()})
    lines = str(error.value).splitlines()[1:]
    assert [line.split()[0] for line in lines] == re.findall(r"[a-z]+_[a-z_]+(?= \.\*)", told)
    assert not (tmp_path / "data/catalog").exists()
    assert (tmp_path / "reports/data_docs/flagged.csv").is_file()


def test_every_rule_has_a_fault() -> None:
    """`colour_mode` cannot be planted, for no format that is read has a mode that is not; `two_categories` goes with the
    protocol (tests/croquis/validation/test_protocols.py)."""
    caught = {rule_of(fault) for fault in FAULTS} | {
        name for *_, told in WHOLE.values() for name in re.findall(r"[a-z]+_[a-z_]+(?= \.\*)", told)
    }
    assert caught == {rule.name for rule in ALL_RULES} - {"colour_mode", "two_categories"}
    assert len(FAULTS) >= 20


@pytest.mark.slow
@pytest.mark.usefixtures("no_data_docs")
def test_a_query_is_no_answer_to_itself(run_stage: Callable[..., Outcome], sound: Rows) -> None:
    """The only gallery photo of the item is the query's own file under another id."""
    same = draw_garment(70_000)
    sound += [
        new_row(0, split="test", role="gallery", item_id="pair", image=same),
        new_row(1, split="test", role="query", item_id="pair", image=same),
    ]
    outcome = run_stage(sound)
    assert outcome.reasons == {
        "planted/1": "query_has_gallery: item_id pair has no other shop photo in the gallery of test"
    }


@pytest.mark.slow
@pytest.mark.usefixtures("no_data_docs")
def test_rules_can_be_switched_off(run_stage: Callable[..., Outcome], sound: Rows) -> None:
    rows, _ = planted(sound, tuple(fault for fault in FAULTS if fault.name == "re-encoded test photo in train"))
    off = ["near_copy_in_later_split"]
    outcome = run_stage(rows, validate__disabled=off)
    assert outcome.reasons == {}
    assert outcome.report["disabled"] == off
    assert off[0] not in {rule["rule"] for rule in outcome.report["rules"]}


SMALL = {
    "base__image_size": 32,
    "base__threads": 1,
    "base__accelerator": "cpu",
    "train_embedder__backbone__width": 8,
    "image2vec__batch_size": 8,
    "evaluate__bootstrap": 20,
    "evaluate__projection": "pca",
    "evaluate__gallery_queries": 1,
}


@pytest.mark.slow
@pytest.mark.usefixtures("no_data_docs")
@pytest.mark.parametrize("method", ["histogram", "image2vec"])
def test_the_pipeline_goes_on_as_without_the_faulty_rows(project: Any, sound: Rows, method: str) -> None:
    """Rows of the catalogue itself are damaged; training and evaluation give what they give when those rows are left out
    by hand."""
    damage: dict[int, dict[str, Any]] = {
        1: {"image": b"broken"},
        9: {"bbox": [0, 0, 99, 99]},
        16: {"category": ""},
        len(sound) - 1: {"image": sound[-1]["image"][:400]},
    }
    rows = [row | damage.get(number, {}) for number, row in enumerate(sound)]
    without = [row for number, row in enumerate(sound) if number not in damage]
    fit = read_yaml("params.yaml")["image2vec"]["fit"] | {"epochs": 2}
    results, taken = [], []
    for listed in (rows, without):
        root = project(**SMALL, image2vec__fit=fit, validate__max_quarantine_share=0.2)
        with CatalogWriter(root / "data/raw", 7) as writer:
            writer.write_all(listed)
        validate.main(root)
        for stage in (train_embedder, index, evaluate):
            stage.main(method, root)
        results.append((root / f"reports/evaluation/{method}.json").read_bytes())
        taken.append(read_json(root / "reports/validation.json")["quarantined"])
    assert taken == [len(damage), 0]
    assert results[0] == results[1]
