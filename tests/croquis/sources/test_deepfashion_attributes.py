"""Category and Attribute Prediction: official files with their quirks, written here; the real ones where present."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from croquis.formats.deepfashion.annotation_lines import AnnotationLine
from croquis.formats.deepfashion.label_tables import parse_labels, read_labels
from croquis.formats.errors import SourceError, SourceWarning
from croquis.sources import deepfashion_attributes
from croquis.sources.deepfashion_attributes import DeepfashionAttributes, rows
from tests.support.sources.attributes_files import image_name, write_attributes
from tests.support.sources.official_root import official_root

pytestmark = pytest.mark.filterwarnings("ignore:.*has no attribute type:croquis.formats.errors.SourceWarning")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Twelve images of train, four of val, four of test, coarse."""
    return write_attributes(tmp_path, train=12, val=4, test=4)


def read(root: Path, annotations: str = "coarse", merge_dresses: bool = True) -> list[dict[str, Any]]:
    block = DeepfashionAttributes(root=str(root), annotations=annotations, merge_dresses=merge_dresses)
    return list(rows(block, seed=7))


def test_every_image_is_an_item_and_val_and_test_ask(root: Path) -> None:
    found = read(root)
    assert [row["image_id"] for row in found] == [image_name(number) for number in range(1, 21)]
    assert all(row["item_id"] == row["image_id"] for row in found)
    cells = Counter((row["split"], row["role"], row["domain"]) for row in found)
    assert cells == {("train", "train", "shop"): 12, ("val", "query", "shop"): 4, ("test", "query", "shop"): 4}
    assert all(row["image"] == (root / row["image_id"]).read_bytes() for row in found)


def test_categories_count_from_1_and_dresses_can_be_merged(root: Path) -> None:
    names = ["Blouse", "Jeans", "Dress", "Sundress", "Anorak"]
    assert [row["category"] for row in read(root, merge_dresses=False)] == names * 4
    assert [row["category"] for row in read(root)] == ["Blouse", "Jeans", "Dress", "Dress", "Anorak"] * 4


def test_attributes_are_named_by_group(root: Path) -> None:
    labels = {row["image_id"]: row["attributes"] for row in read(root)}
    assert labels[image_name(1)] == ["shape:a-line"]
    assert labels[image_name(6)] == [
        "shape:a-line",
        "texture:abstract print",
        "fabric:acid wash denim",
        "fabric:faux shearling",
    ]
    assert labels[image_name(4)] == ["texture:abstract print", "part:zip"]


def test_the_row_without_a_type_is_told_of_and_taken_as_style(root: Path) -> None:
    with pytest.warns(SourceWarning, match=r"list_attr_cloth.txt, line 7 has no attribute type .* taken as style"):
        labels = {row["image_id"]: row["attributes"] for row in read(root)}
    assert labels[image_name(5)] == ["shape:a-line", "style:90s style?"]


def test_boxes_and_landmarks(root: Path) -> None:
    found = read(root)
    assert found[0]["bbox"] == [4, 5, 32, 43]
    assert [len(row["landmarks"]) // 3 for row in found[:3]] == [4, 8, 6]
    assert found[0]["landmarks"] == [5, 0, 0, 5, 5, 1, 5, 10, 0, 5, 14, 0]


def test_the_older_name_of_the_folder_and_tables_that_may_be_missing(root: Path) -> None:
    (root / "Anno_coarse").rename(root / "Anno")
    for name in ("list_bbox.txt", "list_landmarks.txt"):
        (root / "Anno" / name).unlink()
    row = read(root)[0]
    assert (row["bbox"], row["landmarks"]) == (None, None)
    (root / "Anno").rename(root / "Annotations")
    with pytest.raises(SourceError, match=r"no Anno_coarse or Anno; unpack the coarse annotations"):
        read(root)


def test_fine_annotations_are_matched_row_by_row(tmp_path: Path) -> None:
    root = write_attributes(tmp_path, train=12, val=4, test=4, annotations="fine")
    found = {row["image_id"]: row for row in read(root, "fine")}
    assert Counter((row["split"], row["role"]) for row in found.values()) == {
        ("train", "train"): 12,
        ("val", "query"): 4,
        ("test", "query"): 4,
    }
    assert found[image_name(16)]["attributes"] == ["floral", "long_sleeve", "conventional"]
    assert found[image_name(17)]["attributes"] == ["floral"]
    assert found[image_name(17)]["category"] == "Jeans"
    assert found[image_name(17)]["bbox"] == [3, 4, 33, 44]


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        (
            "val.txt",
            image_name(13),
            image_name(3),
            r"val.txt has 1 problem.*\n.*img_00000003.jpg is listed more than once",
        ),
        ("val.txt", image_name(13), image_name(14), r"img_00000014.jpg is listed more than once"),
        ("val_cate.txt", "5\n", "", r"val_cate.txt has 3 rows for 4 images"),
        ("test_cate.txt", "4\n", "6\n", r"has the category 6, the list knows 1 to 5"),
        ("test_attr.txt", "1 0 0 0", "1 0 0", r"test_attr.txt, line 1 has 3 columns, expected 4"),
        ("test_attr.txt", "1 0 0 0", "1 0 0 2", r"test_attr.txt, line 1 holds a value other than"),
        ("train_bbox.txt", "3 4 33 44", "3 4 33", r"train_bbox.txt, line 1 has 3 columns, expected 4"),
    ],
)
def test_faulty_fine_files_are_named(tmp_path: Path, file: str, old: str, new: str, message: str) -> None:
    root = write_attributes(tmp_path, train=12, val=4, test=4, annotations="fine")
    path = root / "Anno_fine" / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(SourceError, match=message):
        read(root, "fine")


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("Eval/list_eval_partition.txt", "train", "trian", r"line 3 has the status 'trian'"),
        ("Eval/list_eval_partition.txt", image_name(2), image_name(1), r"img_00000001.jpg is listed more than once"),
        ("Anno_coarse/list_category_img.txt", image_name(2), image_name(99), r"img_00000002.jpg .* has no category"),
        ("Anno_coarse/list_category_img.txt", "jpg   02", "jpg   09", r"has the category 9, the list knows 1 to 5"),
        ("Anno_coarse/list_attr_img.txt", image_name(2), image_name(99), r"img_00000002.jpg .* has no attributes"),
        ("Anno_coarse/list_attr_img.txt", "1 -1 -1", "1 -1", r"line 3 has 6 columns, expected 7"),
        ("Anno_coarse/list_attr_img.txt", "1 -1 -1", "1 -11 -1", r"line 3 holds a value other than 1, -1 and 0"),
        ("Anno_coarse/list_attr_img.txt", "20\n", "21\n", r"line 1 states 21 rows, the file holds 20"),
        ("Anno_coarse/list_landmarks.txt", "jpg 2  1", "jpg 1  1", r"line 3 has 15 columns, expected 21"),
    ],
)
def test_faulty_files_are_named(root: Path, file: str, old: str, new: str, message: str) -> None:
    path = root / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(SourceError, match=message):
        read(root)


def test_missing_files_are_named(root: Path) -> None:
    (root / image_name(7)).unlink()
    with pytest.raises(SourceError, match=r"img_00000007.jpg does not exist"):
        read(root)
    (root / "Anno_coarse/list_attr_img.txt").unlink()
    with pytest.raises(SourceError, match=r"list_attr_img.txt does not exist"):
        read(root)


def test_official_counts_are_asserted(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deepfashion_attributes, "OFFICIAL_IMAGES", 20)
    with pytest.raises(SourceError, match=r"5 problem") as caught:
        read(root)
    assert "train photos: 12, the official release has 209222" in str(caught.value)
    assert "attributes: 6, the official release has 1000" in str(caught.value)
    ours = {"train photos": 12, "val photos": 4, "test photos": 4, "categories": 5, "attributes": 6}
    monkeypatch.setattr(deepfashion_attributes, "OFFICIAL_COUNTS", ours)
    assert len(read(root)) == 20


def test_what_is_unknown_is_kept_apart_from_what_is_absent(root: Path, tmp_path: Path) -> None:
    table = tmp_path / "labels.txt"
    table.write_text("4\nname labels\na 1 0 -1 0\nb -1 -1 1 1\nc 0 0 0 1\nd -1 0 -1 0\n")
    found = read_labels(table, ["x", "y", "z", "x"])
    assert found.has == {"a": ["x"], "b": ["z", "x"], "c": ["x"], "d": []}
    assert found.unknown == {"a": ["y"], "c": ["y", "z"], "d": ["y", "x"]}, "x stands in two columns"
    first = next(row for row in read(root) if row["image_id"] == image_name(4))["unknown_attributes"]
    others = [row["unknown_attributes"] for row in read(root)]
    assert len(first) == 1
    assert others.count(first) == len(others) // 4
    assert others.count(None) == len(others) - len(others) // 4


LINE = AnnotationLine(Path("table.txt"), 3, "a.jpg ...")


@pytest.mark.parametrize("text", ["2", "--1", "1-", "-", "10", "1.0", "+1", "1,0", "1 - 1"])
def test_a_malformed_value_is_refused(text: str) -> None:
    with pytest.raises(SourceError, match=r"line 3 holds a value other than 1, -1 and 0"):
        parse_labels(LINE, text, count=1)


def test_labels_agree_with_a_loop_over_the_words() -> None:
    chance = np.random.default_rng(3)
    for _ in range(200):
        values = chance.integers(-1, 2, int(chance.integers(1, 40))).tolist()
        text = "".join(" " * int(chance.integers(1, 4)) + str(value) for value in values) + " " * int(
            chance.integers(3)
        )
        found = parse_labels(LINE, text, len(values))
        assert found.dtype == np.int8
        assert found.tolist() == values


@pytest.mark.slow
def test_a_wide_table_is_streamed(tmp_path: Path) -> None:
    """1,000 rows of 1,000 values are 8 MB as int64 and 3 MB as text; reading them must take far less."""
    chance = np.random.default_rng(5)
    labels = np.where(chance.random((1000, 1000)) < 0.003, 1, -1)
    path = tmp_path / "list_attr_img.txt"
    lines = (f"img/{number:08d}.jpg   {' '.join(map(str, row))} \n" for number, row in enumerate(labels.tolist()))
    with path.open("w") as stream:
        stream.write("1000\nimage_name attribute_labels\n")
        stream.writelines(lines)
    names = [f"attribute {place}" for place in range(1000)]
    tracemalloc.start()
    found = read_labels(path, names)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.has["img/00000000.jpg"] == [names[place] for place in np.flatnonzero(labels[0] == 1)]
    assert sum(map(len, found.has.values())) == (labels == 1).sum()
    assert found.unknown == {}
    assert peak < 1_200_000


@pytest.mark.realdata
@pytest.mark.skipif(official_root("attributes") is None, reason="$CROQUIS_DEEPFASHION/attributes is not there")
def test_the_official_release() -> None:
    block = DeepfashionAttributes(root=str(official_root("attributes")), annotations="coarse", merge_dresses=True)
    splits = Counter(row["split"] for row in rows(block, seed=7))
    assert splits == {"train": 209_222, "val": 40_000, "test": 40_000}
