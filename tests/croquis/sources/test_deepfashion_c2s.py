"""Consumer-to-shop: the official files with their quirks, written here; and the real release where it is present."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest

from croquis.catalog.table import Catalog, CatalogWriter
from croquis.evaluation.protocol import open_gallery
from croquis.formats.errors import SourceError
from croquis.sources import deepfashion_c2s
from croquis.sources.deepfashion_c2s import DeepfashionC2s, rows
from tests.support.sources.c2s_files import ATTRIBUTES, consumer_name, shop_name, write_c2s
from tests.support.sources.drawn_files import garment
from tests.support.sources.official_root import official_root

PARTITION = "Eval/list_eval_partition.txt"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Four train items, two of val, three of test."""
    return write_c2s(tmp_path / "c2s", train_items=4, val_items=2, test_items=3)


def read(root: Path, gallery: str = "test", high_resolution: bool = False) -> list[dict[str, Any]]:
    return list(rows(DeepfashionC2s(root=str(root), gallery=gallery, high_resolution=high_resolution), seed=7))


def test_every_photo_is_one_row_however_many_pairs_it_is_in(root: Path) -> None:
    found = read(root)
    assert len(found) == 9 * 5
    assert max(Counter(row["image_id"] for row in found).values()) == 1
    assert [row["image_id"] for row in found[:3]] == [consumer_name(1, 1), shop_name(1, 1), consumer_name(1, 2)]
    assert all(row["image"] == (root / row["image_id"]).read_bytes() for row in found)


def test_the_official_split_roles_and_domains(root: Path) -> None:
    cells = Counter((row["split"], row["domain"], row["role"]) for row in read(root))
    assert cells == {
        ("train", "consumer", "train"): 12,
        ("train", "shop", "train"): 8,
        ("val", "consumer", "query"): 6,
        ("val", "shop", "gallery"): 4,
        ("test", "consumer", "query"): 9,
        ("test", "shop", "gallery"): 6,
    }
    assert {row["category"] for row in read(root)} == {"Dress", "T_Shirt", "Summer_Wear"}


def test_attributes_are_named_in_english_by_group(root: Path) -> None:
    labels = {row["item_id"]: row["attributes"] for row in read(root)}
    assert labels["id_00000001"] == ["sleeve length:long sleeve", "pattern:solid color"]
    assert labels["id_00000002"] == ["sleeve length:short sleeve", "neckline:round neckline"]
    assert labels["id_00000003"] == []


def test_groups_may_state_their_numbers_or_count_from_0(root: Path) -> None:
    before = [row["attributes"] for row in read(root)]
    types, names = root / "Anno/list_attr_type.txt", root / "Anno/list_attr_cloth.txt"
    numbered = ["袖长 sleeve length 7", "领型 (领) neckline 5", "图案 pattern 6"]
    types.write_text("3\nchinese english\n" + "\n".join(numbered) + "\n", encoding="utf-8")
    moved = [line.rstrip()[:-1] + str({"1": 7, "2": 5, "3": 6}[line.rstrip()[-1]]) for line in ATTRIBUTES]
    names.write_text("4\nchinese english type\n" + "\n".join(moved) + "\n", encoding="utf-8")
    assert [row["attributes"] for row in read(root)] == before
    types.write_text("3\nchinese english\n袖长 sleeve length\n领型 neckline\n图案 pattern\n", encoding="utf-8")
    moved = [line.rstrip()[:-1] + str(int(line.rstrip()[-1]) - 1) for line in ATTRIBUTES]
    names.write_text("4\nchinese english type\n" + "\n".join(moved) + "\n", encoding="utf-8")
    assert [row["attributes"] for row in read(root)] == before


def test_boxes_and_landmarks_as_given_and_a_degenerate_box_is_left_to_validation(root: Path) -> None:
    found = {row["image_id"]: row for row in read(root)}
    assert found[shop_name(1, 1)]["bbox"] == [4, 5, 32, 46]
    assert found[shop_name(1, 1)]["landmarks"] == [9, 10, 0, 27, 10, 0, 9, 43, 1, 0, 0, 2]
    assert found[consumer_name(1, 3)]["bbox"] == [4, 5, 4, 46]


def test_boxes_and_landmarks_follow_the_large_photos(tmp_path: Path) -> None:
    root = write_c2s(tmp_path, train_items=1, val_items=1, test_items=1, long_side=300)
    for path in list(root.glob("img/**/*.jpg")):
        garment(root / "img_highres" / path.relative_to(root / "img"), item=1, size=(900, 1200))
    small = {row["image_id"]: row for row in read(root)}
    for row in read(root, high_resolution=True):
        assert row["bbox"] == [4 * edge for edge in small[row["image_id"]]["bbox"]]
        points = small[row["image_id"]]["landmarks"]
        assert row["landmarks"] == [value if n % 3 == 2 else 4 * value for n, value in enumerate(points)]
        assert row["image"] == (root / row["image_id"].replace("img/", "img_highres/", 1)).read_bytes()


def test_the_folder_that_the_archive_of_large_photos_calls_otherwise(root: Path) -> None:
    (root / "img").rename(root / "img_highres")
    (root / "img_highres/CLOTHING/Summer_Wear").rename(root / "img_highres/CLOTHING/Summer_Suit")
    found = read(root, high_resolution=True)
    assert len(found) == 45
    assert {row["category"] for row in found} == {"Dress", "T_Shirt", "Summer_Wear"}


def write_catalogue(folder: Path, found: list[dict[str, Any]]) -> Catalog:
    with CatalogWriter(folder) as writer:
        writer.write_all(found)
    return Catalog.open(folder)


def test_with_val_and_test_the_val_shop_photos_are_distractors_of_test(root: Path, tmp_path: Path) -> None:
    narrow = write_catalogue(tmp_path / "narrow", read(root, "test"))
    wide = write_catalogue(tmp_path / "wide", read(root, "val+test"))
    items = {split: set(wide.column("item_id")[wide.select(split=split)]) for split in ("train", "val", "test")}
    assert not items["val"] & items["test"]
    assert not items["train"] & (items["val"] | items["test"])
    assert sorted(open_gallery(narrow, "test").item_ids) == sorted(2 * list(items["test"]))
    assert sorted(open_gallery(wide, "test").item_ids) == sorted(2 * list(items["test"] | items["val"]))
    for catalog in (narrow, wide):
        assert sorted(open_gallery(catalog, "val").item_ids) == sorted(2 * list(items["val"]))


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        (PARTITION, "36\n", "37\n", r"line 1 states 37 rows, the file holds 36"),
        (PARTITION, "train", "dev", r"line 3 has the status 'dev'"),
        (PARTITION, " id_00000001 train", " train", r"line 3 has 3 columns, expected 4"),
        (PARTITION, " id_00000001 train", " id_00000002 train", r"line 3 has the item id_00000002, but the photo"),
        (PARTITION, " id_00000001 train", " id_00000001 test", r"line 4: .*shop_01.jpg is a shop photo of .* in train"),
        (PARTITION, "shop_01.jpg", "comsumer_01.jpg", r"comsumer_01.jpg is a shop photo .* as a consumer photo"),
        (PARTITION, "img/TOPS/T_Shirt", "img/T_Shirt", r"line 3 holds a path that is not img/KIND/CATEGORY"),
        ("Anno/list_bbox_consumer2shop.txt", "jpg 1 2", "jpg 1 1", r"comsumer_01.jpg has the source type 1, the pairs"),
        ("Anno/list_bbox_consumer2shop.txt", "004", "0.4", r"line 3 holds '0.4' where a whole number"),
        ("Anno/list_landmarks_consumer2shop.txt", "jpg 2 4", "jpg 1 4", r"line 3 has 15 columns, expected 21"),
        ("Anno/list_item_consumer2shop.txt", "id_00000004", "id_00000099", r"item id_00000004 .* is not listed"),
        ("Anno/list_attr_cloth.txt", " long sleeve 1", " 1", r"line 3 has no English name"),
        ("Anno/list_attr_cloth.txt", "long sleeve 1", "long sleeve 4", r"line 3 has the group 4, .* knows 1 to 3"),
        ("Anno/list_attr_cloth.txt", "long sleeve 1", "long sleeve", r"line 3 holds 'sleeve' where a whole number"),
        ("Anno/list_attr_items.txt", "1 -1 0 1", "1 -1 0", r"line 3 has 4 columns, expected 5"),
        ("Anno/list_attr_items.txt", "1 -1 0 1", "1 - 1 0", r"line 3 holds a value other than 1, -1 and 0"),
    ],
)
def test_faulty_files_are_named(root: Path, file: str, old: str, new: str, message: str) -> None:
    path = root / file
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(SourceError, match=message) as caught:
        read(root)
    assert path.name in str(caught.value)


def test_missing_files_are_named_and_optional_ones_may_be_missing(root: Path) -> None:
    (root / "Anno/list_attr_type.txt").unlink()
    with pytest.raises(SourceError, match=r"lacks list_attr_type.txt; unpack"):
        read(root)
    (root / "Anno/list_item_consumer2shop.txt").rename(root / "Anno/list_items_consumer2shop.txt")
    for name in ("attr_cloth", "attr_items", "bbox_consumer2shop", "landmarks_consumer2shop"):
        (root / f"Anno/list_{name}.txt").unlink()
    row = read(root)[0]
    assert (row["bbox"], row["landmarks"], row["attributes"]) == (None, None, [])
    (root / shop_name(3, 2)).unlink()
    with pytest.raises(SourceError, match=r"id_00000003/shop_02.jpg does not exist"):
        read(root)


def test_official_counts_are_asserted(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deepfashion_c2s, "OFFICIAL_PAIRS", 36)
    with pytest.raises(SourceError, match=r"3 problem") as caught:
        read(root)
    assert "photos with a box: 45, the official release has 239557" in str(caught.value)
    assert "listed items: 9, the official release has 33881" in str(caught.value)
    ours = {"photos with a box": 45, "listed items": 9, "attributes": 4}
    monkeypatch.setattr(deepfashion_c2s, "OFFICIAL_COUNTS", ours)
    assert len(read(root)) == 45


@pytest.mark.realdata
@pytest.mark.skipif(official_root("c2s") is None, reason="$CROQUIS_DEEPFASHION/c2s is not there")
def test_the_official_release() -> None:
    """195,540 pairs, 239,557 photos, 33,881 items: asserted by the source; here that splits share no item."""
    items: dict[str, set[str]] = defaultdict(set)
    found = 0
    for row in rows(DeepfashionC2s(root=str(official_root("c2s")), gallery="test", high_resolution=False), seed=7):
        items[row["split"]].add(row["item_id"])
        found += 1
    assert found <= 239_557
    assert len(items["train"] | items["val"] | items["test"]) <= 33_881
    assert sum(map(len, items.values())) == len(set.union(*items.values()))
