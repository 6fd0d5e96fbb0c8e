"""In-shop: the official files with their quirks, written here; and the real stand-in where it is present."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from croquis.formats.errors import SourceError
from croquis.sources import deepfashion_inshop
from croquis.sources.deepfashion_inshop import DeepfashionInshop, rows
from tests.support.sources.inshop_files import photo_names, write_inshop
from tests.support.sources.official_root import official_root

LUMA = Path("../shared/data/inshop_luma")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Twelve train items of four photos, one of a single photo, two test items; every annotation file."""
    return write_inshop(tmp_path, train_items=13, test_items=2, size=256)


def read(root: Path, val_share: float = 0.3, seed: int = 7, high_resolution: bool = False) -> list[dict[str, Any]]:
    return list(rows(DeepfashionInshop(root=str(root), val_share=val_share, high_resolution=high_resolution), seed))


def test_official_test_split_is_untouched(root: Path) -> None:
    test = [row for row in read(root) if row["split"] == "test"]
    assert {row["item_id"] for row in test} == {"id_00000014", "id_00000015"}
    assert [row["role"] for row in test[:4]] == ["gallery", "query", "query", "gallery"]
    assert {row["category"] for row in test[:4]} == {"Pants"}
    assert [row["view"] for row in test[:4]] == ["front", "side", "back", "additional"]


def test_rows_carry_the_file_untouched(root: Path) -> None:
    found = read(root)
    assert len(found) == 13 * 4 + 1 + 4
    assert all(row["image"] == (root / row["image_id"]).read_bytes() for row in found)
    assert {row["domain"] for row in found} == {"shop"}
    assert found[0]["bbox"] == [65, 45, 233, 252]


def test_val_is_carved_from_train_by_item(root: Path) -> None:
    found = read(root)
    splits = defaultdict(set)
    roles = defaultdict(Counter)
    for row in found:
        splits[row["item_id"]].add(row["split"])
        roles[row["item_id"], row["split"]][row["role"]] += 1
    assert all(len(held) == 1 for held in splits.values())
    assert {"train", "val", "test"} == {split for held in splits.values() for split in held}
    for (item, split), counts in roles.items():
        if split == "val" and item != "id_00000013":
            assert counts == {"gallery": 2, "query": 2}
        if split == "train":
            assert set(counts) == {"train"}


def test_front_views_of_val_are_gallery_and_a_lone_photo_is_a_distractor(root: Path) -> None:
    found = read(root, val_share=0.49, seed=2)
    val = [row for row in found if row["split"] == "val"]
    assert all(row["role"] == "gallery" for row in val if row["view"] == "front")
    lone = {seed: next(r for r in read(root, 0.49, seed) if r["item_id"] == "id_00000013") for seed in range(8)}
    assert {row["role"] for row in lone.values() if row["split"] == "val"} == {"gallery"}
    assert {row["split"] for row in lone.values()} == {"train", "val"}


def test_same_seed_same_split_and_another_seed_another(root: Path) -> None:
    def val(seed: int) -> set[str]:
        return {row["item_id"] for row in read(root, seed=seed) if row["split"] == "val"}

    assert val(7) == val(7)
    assert len({frozenset(val(seed)) for seed in range(6)}) > 1


def test_attributes_colours_and_descriptions(root: Path) -> None:
    labels = {row["image_id"]: row["attributes"] for row in read(root)}
    assert labels[photo_names(1, 4)[2]] == ["long sleeve", "faux  leather", "colour:dark  navy"]
    assert labels[photo_names(2, 4)[0]] == ["a-line", "long sleeve", "colour:rust"]
    assert labels[photo_names(3, 4)[0]] == ["long sleeve"]


def test_attributes_in_the_folder_of_release_2(root: Path) -> None:
    before = [row["attributes"] for row in read(root)]
    for name in ("list_attr_cloth.txt", "list_attr_items.txt", "list_color_cloth.txt"):
        (root / "Anno" / name).unlink()
    write_inshop(root, train_items=13, test_items=2, size=256, release="2.0")
    assert not (root / "Anno/list_attr_items.txt").exists()
    assert [row["attributes"] for row in read(root)] == before


def test_without_optional_files(root: Path) -> None:
    for path in list((root / "Anno").iterdir()):
        path.unlink()
    found = read(root)
    assert {row["bbox"] for row in found} == {None} == {row["landmarks"] for row in found}
    assert all(row["attributes"] == [] for row in found)
    name = photo_names(5, 1)[0]
    (root / "Anno/attributes.csv").write_text(f"image_name,color,pattern,name,style\n{name},Black,Solid|Striped,Zed,\n")
    labels = {row["image_id"]: row["attributes"] for row in read(root)}
    assert labels[name] == ["colour:black", "pattern:solid", "pattern:striped"]


def test_landmarks_are_kept_as_x_y_visibility(root: Path) -> None:
    """Six points of an upper-body, four of a lower-body, eight of a full-body garment."""
    found = {row["image_id"]: row["landmarks"] for row in read(root)}
    full, upper, lower = (
        found[name] for name in (photo_names(1, 1) + photo_names(2, 1) + photo_names(14, 1, "MEN/Pants"))
    )
    assert [len(points) // 3 for points in (full, upper, lower)] == [8, 6, 4]
    assert lower == [60, 40, 0, 80, 65, 1, 100, 90, 0, 0, 0, 2]


def test_boxes_and_landmarks_follow_the_large_photos(root: Path, make_image: Any) -> None:
    for path in root.glob("img/**/*.jpg"):
        make_image(root / "img_highres" / path.relative_to(root / "img"), size=(750, 1101))
    row = read(root, high_resolution=True)[0]
    scale = 1101 / 256
    left = (1101 - 750) / 2
    expected = [round(65 * scale - left), round(45 * scale), round(233 * scale - left), round(252 * scale)]
    assert row["bbox"] == [max(expected[0], 0), expected[1], min(expected[2], 750), expected[3]]
    points = [(round(x * scale - left), round(y * scale)) for x, y in ((60, 40), (80, 65), (100, 90))]
    assert row["landmarks"][:9] == [*points[0], 0, *points[1], 1, *points[2], 0]
    assert row["landmarks"][-3:] == [0, 0, 2]
    assert row["image"] == (root / row["image_id"].replace("img/", "img_highres/", 1)).read_bytes()


def test_large_photos_that_are_missing(root: Path) -> None:
    with pytest.raises(SourceError, match=r"img_highres does not exist; unpack"):
        read(root, high_resolution=True)


def test_photos_below_Img(root: Path) -> None:  # noqa: N802 (the archive spells it so)
    (root / "Img").mkdir()
    (root / "img").rename(root / "Img/img")
    assert len(read(root)) == 57


PARTITION = "Eval/list_eval_partition.txt"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        (PARTITION, "57\n", "58\n", r"line 1 states 58 rows, the file holds 57"),
        (PARTITION, "57\n", "image_name\n", r"line 1 must state the number of rows"),
        (PARTITION, "train", "dev", r"line 3 has the status 'dev'"),
        (PARTITION, "img/WOMEN/Dresses", "img/Dresses", r"line 3 holds a path that is not img/GENDER/CATEGORY"),
        (PARTITION, "id_00000001 train", "train", r"line 3 has 2 columns, expected 3"),
        (PARTITION, "01_2_side.jpg", "01_1_front.jpg", r"01_1_front.jpg is listed more than once"),
        ("Anno/list_bbox_inshop.txt", "  065  ", "  O65  ", r"line 3 holds 'O65' where a whole number"),
        ("Anno/list_bbox_inshop.txt", "  065  ", "  ", r"line 3 has 6 columns, expected 7"),
        (PARTITION, "id_00000001/01_1", "id_00000011/01_1", r"line 3 has the item id_00000001, but the photo lies in"),
        ("Anno/list_landmarks_inshop.txt", "jpg 3 1 ", "jpg 1 1 ", r"line 3 has 27 columns, expected 21 \(6 landmarks"),
        ("Anno/list_landmarks_inshop.txt", "jpg 3 1 ", "jpg 4 1 ", r"line 3 has a clothes type other than 1, 2, 3"),
        ("Anno/list_landmarks_inshop.txt", "jpg 3 1 0 ", "jpg 3 1 3 ", r"line 3 holds a visibility other than"),
        ("Anno/list_item_inshop.txt", "id_00000004", "id_00000099", r"item id_00000004 .* is not listed"),
        ("Anno/list_attr_items.txt", "id_00000001  -1 1", "id_00000001  -1", r"line 3 has 3 columns, expected 4"),
        ("Anno/list_attr_items.txt", "id_00000001  -1 1", "id_00000001  -1 2", r"line 3 holds a value other than"),
        ("Anno/list_attr_cloth.txt", "3\n", "4\n", r"line 1 states 4 rows, the file holds 3"),
        ("Anno/list_description_inshop.json", '"item"', '"id"', r"is not a JSON list of objects"),
    ],
)
def test_faulty_files_are_named(root: Path, file: str, old: str, new: str, message: str) -> None:
    path = root / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(SourceError, match=message) as caught:
        read(root)
    assert path.name in str(caught.value)


def test_missing_files_are_named(root: Path) -> None:
    (root / photo_names(3, 1)[0]).unlink()
    with pytest.raises(SourceError, match=r"id_00000003/01_1_front.jpg does not exist"):
        read(root)
    (root / "Anno/list_attr_cloth.txt").unlink()
    with pytest.raises(SourceError, match=r"only one of list_attr_cloth.txt and list_attr_items.txt"):
        read(root)
    (root / PARTITION).unlink()
    with pytest.raises(SourceError, match=r"list_eval_partition.txt does not exist"):
        read(root)


OURS = {
    "train photos": 49,
    "query photos": 4,
    "gallery photos": 4,
    "train items": 13,
    "test items": 2,
    "listed items": 15,
    "attributes": 3,
}


def test_official_counts_are_asserted(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deepfashion_inshop, "OFFICIAL_IMAGES", 57)
    with pytest.raises(SourceError, match=r"7 problem") as caught:
        read(root)
    assert "train photos: 49, the official release has 25882" in str(caught.value)
    assert "attributes: 3, the official release has 463" in str(caught.value)
    monkeypatch.setattr(deepfashion_inshop, "OFFICIAL_COUNTS", OURS)
    assert len(read(root)) == 57
    monkeypatch.setattr(deepfashion_inshop, "OFFICIAL_COUNTS", OURS | {"test items": 3})
    with pytest.raises(SourceError, match=r"1 problem.*\n  test items: 2, the official release has 3"):
        read(root)


@pytest.mark.realdata
@pytest.mark.skipif(not LUMA.is_dir(), reason="the real photos are not here")
def test_luma_stand_in() -> None:
    found = read(LUMA, val_share=0.2)
    assert len(found) == 673
    roles = Counter((row["split"], row["role"]) for row in found)
    assert roles["test", "query"] == 125
    assert roles["test", "gallery"] == 200
    assert len({row["item_id"] for row in found}) == 147
    val = {row["item_id"] for row in found if row["split"] == "val"}
    assert 6 <= len(val) <= 25
    assert not val & {row["item_id"] for row in found if row["split"] == "train"}
    first = found[0]
    assert first["view"] == "front"
    assert {"colour:black", "gender:men", "material:wool", "pattern:color-blocked"} <= set(first["attributes"])
    assert {row["view"] for row in found} == {"front", "back", "side", "full", "additional"}
    with Image.open(LUMA / first["image_id"]) as photo:
        assert photo.size == (256, 256)


@pytest.mark.realdata
@pytest.mark.skipif(official_root("inshop") is None, reason="$CROQUIS_DEEPFASHION/inshop is not there")
def test_the_official_release() -> None:
    """The source itself asserts the official counts; here what it makes of them."""
    splits: dict[str, Counter[str]] = defaultdict(Counter)
    items = defaultdict(set)
    for row in rows(DeepfashionInshop(root=str(official_root("inshop")), val_share=0.2, high_resolution=False), 7):
        splits[row["split"]][row["role"]] += 1
        items[row["split"]].add(row["item_id"])
    assert splits["test"] == {"query": 14_218, "gallery": 12_612}
    assert splits["train"].total() + splits["val"].total() == 25_882
    assert len(items["test"]) == 3_985
    assert len(items["train"] | items["val"]) == 3_997
    assert not items["train"] & items["val"]
