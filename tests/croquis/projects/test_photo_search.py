"""A search of a folder without labels and training: what is told, what it finds, and how it is changed afterwards."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from croquis.bundle import Bundle
from croquis.cli import main
from croquis.projects.folder_guess import guess_folder

COLOURS = {"red": (200, 30, 30), "green": (30, 170, 60), "blue": (40, 60, 200)}


def photo(path: Path, colour: str, seed: int) -> None:
    rng = np.random.default_rng([seed, *COLOURS[colour]])
    pixels = np.clip(np.array(COLOURS[colour]) + rng.normal(0, 40, (24, 24, 3)), 0, 255).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).resize((96, 96), Image.Resampling.NEAREST).save(path)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for number, colour in enumerate(COLOURS):
        for seed in range(2):
            photo(tmp_path / "photos" / f"{colour}-{seed + 1}.png", colour, seed + 10 * number)
    return tmp_path / "photos"


@pytest.fixture
def shop(photos: Path, tmp_path: Path) -> Path:
    assert main(["index", str(photos), "--to", str(tmp_path / "shop"), "--encoder", "histogram"]) == 0
    return tmp_path / "shop"


def names(bundle: Path) -> list[str]:
    found: list[str] = Bundle.load(bundle).items.table["image_id"].to_pylist()
    return found


def test_a_photo_finds_itself_and_then_its_own_colour(
    shop: Path, photos: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    capsys.readouterr()
    page = tmp_path / "page.html"
    assert main(["search", str(shop), str(photos / "red-1.png"), "--k", "3", "--html", str(page)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["rank", "score", "item", "category", "image"]
    assert [line.split()[-1] for line in lines[1:3]] == ["red-1.png", "red-2.png"]
    assert len(lines) == 5
    assert page.read_text().count("data:image/jpeg") == 4


def test_broken_files_and_near_copies_are_told(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (photos / "broken.jpg").write_text("no picture")
    Image.open(photos / "red-1.png").convert("RGB").save(photos / "again.jpg", quality=95, subsampling=0)
    assert main(["index", str(photos), "--to", str(tmp_path / "shop"), "--encoder", "histogram"]) == 0
    said = capsys.readouterr().out
    assert "1 cannot be read and left out:" in said
    assert "broken.jpg: the file is none of JPEG" in said
    assert "again.jpg and red-1.png" in said
    assert len(names(tmp_path / "shop")) == 7


def test_photos_are_added_replaced_and_removed(shop: Path, tmp_path: Path):
    before = names(shop)
    held = Bundle.load(shop).index.vectors(np.arange(6)).copy()
    photo(tmp_path / "more/yellow.png", "red", 99)
    photo(tmp_path / "more/red-1.png", "blue", 98)
    assert main(["add", str(shop), str(tmp_path / "more")]) == 0
    assert names(shop) == sorted([*before, "yellow.png"])
    after = Bundle.load(shop)
    vectors = after.index.vectors(np.arange(7))
    changed = [name for name, a in zip(names(shop), vectors, strict=True) if not (held == a).all(axis=1).any()]
    assert changed == ["red-1.png", "yellow.png"]
    assert main(["remove", str(shop), "green", "yellow.png"]) == 0
    assert names(shop) == ["blue-1.png", "blue-2.png", "red-1.png", "red-2.png"]


def test_what_is_not_there_is_not_removed(shop: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["remove", str(shop), "purple"]) == 1
    assert "has no product and no photo 'purple'" in capsys.readouterr().err
    assert main(["remove", str(shop), "red", "green", "blue"]) == 1
    assert "would be empty" in capsys.readouterr().err
    assert len(names(shop)) == 6


def test_a_table_comes_on_standard_input(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    text = "photo,sku,category\n" + "".join(f"{path.name},{path.stem[:3]},plain\n" for path in sorted(photos.iterdir()))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    target = tmp_path / "shop"
    asked = ["index", "-", "--photos", str(photos), "--to", str(target), "--encoder", "histogram"]
    assert main(asked) == 0
    table = Bundle.load(target).items.table
    assert set(table["item_id"].to_pylist()) == {"red", "gre", "blu"}
    assert set(table["category"].to_pylist()) == {"plain"}


def test_the_nets_of_another_bundle_index_too(shop: Path, photos: Path, tmp_path: Path):
    assert main(["index", str(photos), "--to", str(tmp_path / "second"), "--encoder", str(shop)]) == 0
    first, second = (json.loads((each / "manifest.json").read_text()) for each in (shop, tmp_path / "second"))
    assert first == second


@pytest.mark.parametrize(
    ("place", "told"), [("absent", "does not exist: name a folder of photos"), ("empty", "holds no picture")]
)
def test_a_place_without_photos_is_refused(place: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "empty").mkdir()
    assert main(["index", str(tmp_path / place), "--to", str(tmp_path / "shop")]) == 1
    assert told in capsys.readouterr().err
    assert not (tmp_path / "shop").exists()


def test_a_folder_of_something_else_is_not_replaced(photos: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["index", str(photos), "--to", str(photos)]) == 1
    assert "is there and is no bundle" in capsys.readouterr().err


def test_folders_of_few_photos_are_products_and_splits_are_told_by_name(tmp_path: Path):
    for split in ("train", "test"):
        for number in range(3):
            for view in range(2):
                photo(tmp_path / split / "dress" / f"d{split}{number}" / f"{view}.png", "red", view)
    table = guess_folder(tmp_path)
    assert table.columns == ["path", "item_id", "category", "split"]
    assert {row["item_id"] for row in table.rows if row["split"] == "test"} == {f"dress, dtest{n}" for n in range(3)}
