"""DeepFashion2: files as released, written here; and the real set where it is present."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest

from croquis.formats.errors import SourceError, SourceWarning
from croquis.sources.deepfashion2 import Deepfashion2, rows
from tests.support.sources.deepfashion2_files import write_deepfashion2, write_lists
from tests.support.sources.official_root import official_root

pytestmark = pytest.mark.filterwarnings("ignore:.*are left out:croquis.formats.errors.SourceWarning")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Twelve pairs of train, three of validation."""
    return write_deepfashion2(tmp_path, train_pairs=12, test_pairs=3)


def read(root: Path, val_share: float = 0.3, seed: int = 7) -> list[dict[str, Any]]:
    return list(rows(Deepfashion2(root=str(root), val_share=val_share), seed))


def test_a_row_is_a_garment_with_its_box(root: Path) -> None:
    found = {row["image_id"]: row for row in read(root)}
    both = [found["train/000002/1"], found["train/000002/2"]]
    assert [row["bbox"] for row in both] == [[4, 2, 42, 44], [6, 24, 40, 46]]
    assert [row["category"] for row in both] == ["short sleeve top", "trousers"]
    assert all(row["image"] == (root / "train/image/000002.jpg").read_bytes() for row in both)
    assert both[0]["domain"] == "consumer"
    assert found["train/000003/1"]["domain"] == "shop"
    assert [found[f"train/00000{n}/1"]["view"] for n in (3, 4, 5)] == ["front", "side_or_back", "not_worn"]


def test_visibility_of_landmarks_is_that_of_the_catalogue(root: Path) -> None:
    assert read(root)[0]["landmarks"] == [6, 4, 0, 40, 4, 1, 0, 0, 2]


def test_one_pair_and_one_style_above_0_is_one_item(root: Path) -> None:
    items = {row["image_id"]: row["item_id"] for row in read(root)}
    assert items["train/000001/1"] == items["train/000002/1"] == items["train/000003/1"]
    assert items["train/000004/1"] not in (items["train/000003/1"], items["train/000009/1"])
    assert items["train/000006/1"] != items["train/000001/1"]
    assert items["validation/000001/1"] not in (items[f"train/00000{n}/1"] for n in (1, 2, 3, 4))


def test_style_0_matches_nothing(root: Path) -> None:
    counts = Counter(row["item_id"] for row in read(root))
    for row in read(root):
        if row["category"] != "short sleeve top":
            assert row["item_id"] == row["image_id"]
            assert counts[row["item_id"]] == 1


def test_the_official_validation_set_is_test(root: Path) -> None:
    cells = Counter((row["domain"], row["role"], row["category"]) for row in read(root) if row["split"] == "test")
    assert cells == {
        ("consumer", "query", "short sleeve top"): 6,
        ("shop", "gallery", "short sleeve top"): 6,
        ("shop", "gallery", "vest dress"): 3,
    }
    assert {row["split"] for row in read(root) if row["image_id"].startswith("validation")} == {"test"}


def test_val_is_carved_from_train_by_pair(root: Path) -> None:
    splits, images = defaultdict(set), defaultdict(set)
    for row in read(root):
        splits[row["item_id"]].add(row["split"])
        images[row["image"]].add(row["split"])
    assert all(len(held) == 1 for held in [*splits.values(), *images.values()])
    val = [row for row in read(root) if row["split"] == "val"]
    pairs = {(int(row["image_id"].split("/")[1]) - 1) // 5 for row in val}
    assert 0 < len(pairs) < 12
    assert Counter(row["role"] for row in val) == {"query": 2 * len(pairs), "gallery": 3 * len(pairs)}
    offered = {row["item_id"] for row in val if row["role"] == "gallery"}
    assert all(row["item_id"] in offered for row in val if row["role"] == "query")


def test_garments_that_neither_ask_nor_answer_are_told_of(root: Path) -> None:
    with pytest.warns(SourceWarning, match=r"(\d+) of 90 garments of DeepFashion2 are left out") as told:
        found = read(root)
    assert len(found) + int(str(told[0].message).split()[0]) == 90
    assert all(row["split"] == "train" for row in found if row["category"] == "trousers")


def test_the_official_lists_say_who_asks_and_answers(root: Path) -> None:
    without = read(root)
    write_lists(root)
    assert read(root) == without
    write_lists(root, skipped=1)
    gone = {row["image_id"] for row in without} - {row["image_id"] for row in read(root)}
    assert gone == {"validation/000015/1"}


def test_the_lists_must_fit_the_annotations(root: Path) -> None:
    write_lists(root)
    listed = json.loads((root / "val_gallery.json").read_text())
    listed[0]["bbox"][0] += 1
    (root / "val_gallery.json").write_text(json.dumps(listed))
    with pytest.raises(SourceError, match=r"image 3, box \[5, 2, 42, 44\], pair 1, style 1 .* is no shop garment"):
        read(root)
    (root / "val_gallery.json").write_text('[{"style": 1}]')
    with pytest.raises(SourceError, match=r"val_gallery.json is not a list of garments as released"):
        read(root)
    (root / "val_gallery.json").unlink()
    with pytest.raises(SourceError, match=r"no val_gallery.json; unpack both"):
        read(root)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"shop"', '"market"', r"000003.json is not an annotation as released: KeyError\('market'\)"),
        ('"pair_id"', '"pair"', r"KeyError\('pair_id'\)"),
        ('"style"', '"styles"', r"KeyError\('style'\)"),
        ("[4, 2, 42, 44]", "[4, 2, 42]", r"bounding_box \[4, 2, 42\] has not four numbers"),
        ("0, 0, 0]", "0, 0, 7]", r"KeyError\(7\)"),
        ("0, 0, 0]", "0, 0]", r"zip\(\) argument 3 is shorter"),
        ("}", "", r"000003.json is not JSON"),
    ],
)
def test_faulty_files_are_named(root: Path, old: str, new: str, message: str) -> None:
    path = root / "train/annos/000003.json"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(SourceError, match=message):
        read(root)


def test_missing_files_are_named(root: Path) -> None:
    (root / "validation/image/000004.jpg").unlink()
    with pytest.raises(SourceError, match=r"validation/image/000004.jpg does not exist"):
        read(root)
    (root / "validation").rename(root / "val")
    with pytest.raises(SourceError, match=r"validation/annos does not exist"):
        read(root)


@pytest.mark.realdata
@pytest.mark.skipif(official_root("deepfashion2") is None, reason="$CROQUIS_DEEPFASHION/deepfashion2 is not there")
def test_the_official_release() -> None:
    """No count of the released files is known for certain; what must hold of any of them is."""
    items: dict[str, set[str]] = defaultdict(set)
    offered: dict[str, set[str]] = defaultdict(set)
    asked: dict[str, set[str]] = defaultdict(set)
    for row in rows(Deepfashion2(root=str(official_root("deepfashion2")), val_share=0.1), seed=7):
        items[row["split"]].add(row["item_id"])
        chosen = {"query": asked, "gallery": offered}.get(row["role"])
        if chosen is not None:
            chosen[row["split"]].add(row["item_id"])
    assert sum(map(len, items.values())) == len(set.union(*items.values()))
    assert all(asked[split] <= offered[split] for split in ("val", "test"))
