"""The folder source on tables with other columns, words and splits than ours."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from croquis.formats.errors import SourceError
from croquis.params.loader import ParamsError, parse_params, read_yaml
from tests.support.sources.folder_table import read_folder

SHOP = ["id,gender,articleType,baseColour,phase", "7,Women,Dress,Navy Blue,training", "8,Men|Boys,Shirt,,evaluation"]
NAMES = {
    "path": "images/{id}.png",
    "item_id": "style-{id}",
    "category": "articleType",
    "attributes": ["gender", "baseColour"],
    "split": "phase",
}
WORDS = {"training": "train", "evaluation": "test"}


@pytest.fixture
def folder(tmp_path: Path, make_image: Any) -> Path:
    for number in range(200):
        make_image(tmp_path / f"images/{number}.png", shade=number)
    return tmp_path


def read(folder: Path, lines: list[str], **settings: Any) -> list[dict[str, Any]]:
    (folder / "table.csv").write_text("\n".join(lines) + "\n")
    return read_folder(folder / "table.csv", folder, **settings)


def many(count: int, split: str = "") -> list[str]:
    """A table of so many items with a photo each."""
    return ["path,item_id,split", *(f"images/{number}.png,{number},{split}" for number in range(count))]


def test_a_table_with_other_names_patterns_and_words(folder: Path) -> None:
    first, second = read(folder, SHOP, columns=NAMES, splits=WORDS)
    assert first == {
        "image_id": "images/7.png",
        "item_id": "style-7",
        "domain": "shop",
        "split": "train",
        "role": "train",
        "category": "Dress",
        "view": None,
        "attributes": ["gender:women", "baseColour:navy blue"],
        "unknown_attributes": None,
        "bbox": None,
        "image": (folder / "images/7.png").read_bytes(),
    }
    assert second["attributes"] == ["gender:men", "gender:boys"]
    assert (second["split"], second["role"]) == ("test", "gallery")


def test_words_of_ours_still_count_beside_the_translated(folder: Path) -> None:
    lines = ["path,item_id,domain,split", "images/1.png,1,street,val", "images/2.png,1,shop,dev"]
    first, second = read(folder, lines, domains={"street": "consumer"}, splits={"dev": "val"})
    assert (first["domain"], first["role"]) == ("consumer", "query")
    assert (second["split"], second["role"]) == ("val", "gallery")


def test_one_column_may_be_several_of_ours_and_null_leaves_one_out(folder: Path) -> None:
    lines = ["path,class,split", "images/1.png,0,train", "images/2.png,0,val"]
    found = read(folder, lines, columns={"item_id": "class", "category": "class", "split": None}, test_share=0.49)
    assert {(row["item_id"], row["category"]) for row in found} == {("0", "0")}
    assert len({row["split"] for row in found}) == 1


def test_a_column_with_braces_in_its_name_is_a_column(folder: Path) -> None:
    lines = ["{path},item_id", "images/1.png,a"]
    assert read(folder, lines, columns={"path": "{path}"})[0]["image_id"] == "images/1.png"


def test_queries_are_all_that_is_not_train(folder: Path) -> None:
    lines = ["path,split", "images/1.png,train", "images/2.png,val", "images/3.png,test", "images/4.png,test"]
    found = read(folder, lines, columns={"item_id": "path"}, roles="queries")
    assert [(row["item_id"], row["role"]) for row in found] == [
        ("images/1.png", "train"),
        ("images/2.png", "query"),
        ("images/3.png", "query"),
        ("images/4.png", "query"),
    ]


def test_a_split_that_no_row_names_is_taken_out_of_train(folder: Path) -> None:
    lines = [*many(150, "train"), "images/190.png,190,test", "images/191.png,191,test"]
    found = {row["item_id"]: row for row in read(folder, lines, val_share=0.3, test_share=0.3)}
    counts = Counter(row["split"] for row in found.values())
    assert counts["test"] == 2
    assert 25 < counts["val"] < 65
    assert counts["train"] == 150 - counts["val"]
    assert all((row["role"] == "train") == (row["split"] == "train") for row in found.values())
    untouched = read(folder, [*lines, "images/192.png,192,val"], val_share=0.3, test_share=0.3)
    assert Counter(row["split"] for row in untouched) == {"train": 150, "test": 2, "val": 1}


def test_a_stated_train_role_gives_way_where_the_row_moves_to_val(folder: Path) -> None:
    lines = ["path,item_id,split,role", *(f"images/{n}.png,{n},train,train" for n in range(60))]
    found = read(folder, lines, val_share=0.3, test_share=0.3)
    assert {(row["split"], row["role"]) for row in found} == {
        ("train", "train"),
        ("val", "gallery"),
        ("test", "gallery"),
    }


def test_a_smaller_share_is_part_of_a_larger_one_and_moves_no_item(folder: Path) -> None:
    lines = many(200)
    splits = {row["item_id"]: row["split"] for row in read(folder, lines, val_share=0.2, test_share=0.2)}
    half = {row["item_id"]: row["split"] for row in read(folder, lines, share=0.5, val_share=0.2, test_share=0.2)}
    fifth = {row["item_id"] for row in read(folder, lines, share=0.2, val_share=0.2, test_share=0.2)}
    assert 75 < len(half) < 125
    assert 22 < len(fifth) < 60
    assert fifth < set(half)
    assert half.items() <= splits.items()
    assert len(set(half.values())) == 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"columns": NAMES | {"category": "articletype"}},
            r"columns\.category names the column 'articletype', .*'artic",
        ),
        ({"columns": NAMES | {"path": "images/{idd}.png"}}, r"columns\.path names the column 'idd', .*mean id"),
        ({"columns": NAMES | {"attributes": ["gender", "size"]}}, r"columns\.attributes names the column 'size'"),
        (
            {"columns": {"path": "images/{id}.png"}},
            r"lacks the column\(s\) \['item_id'\].*name yours in ingest\.folder",
        ),
        (
            {"columns": NAMES, "splits": {"training": "train"}},
            r"row 3, column split: 'evaluation'.*ingest\.folder\.splits",
        ),
        ({"columns": NAMES | {"path": "{id}.png"}, "splits": WORDS}, r"row 2, column path: the file .*7\.png does not"),
        ({"columns": NAMES | {"item_id": "{baseColour}"}, "splits": WORDS}, r"row 3, column item_id: empty"),
    ],
)
def test_faults_of_the_mapping_name_it(folder: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SourceError, match=message):
        read(folder, SHOP, **settings)


def test_a_misspelt_column_can_be_left_out(folder: Path) -> None:
    lines = ["path,item_id,catagory", "images/1.png,a,hat"]
    with pytest.raises(SourceError, match=r"'catagory' looks like 'category'.*category: null leaves it out"):
        read(folder, lines)
    assert read(folder, lines, columns={"category": None})[0]["category"] == "unknown"
    assert read(folder, lines, columns={"category": "catagory"})[0]["category"] == "hat"


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"picture": "image"}, "ingest.folder.columns.picture"),
        ({"category": ["a", "b"]}, "category cannot be the list ['a', 'b']"),
        ({"attributes": []}, "attributes cannot be the list []"),
        ({"path": None}, "path cannot be null"),
    ],
)
def test_params_refuse_a_mapping_that_cannot_be(columns: dict[str, Any], told: str) -> None:
    values = read_yaml("params.yaml")
    values["ingest"]["folder"]["columns"] = columns
    with pytest.raises(ParamsError) as error:
        parse_params(values, methods=True)
    assert told in str(error.value)
