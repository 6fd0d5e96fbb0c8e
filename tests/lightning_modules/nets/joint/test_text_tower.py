"""Text towers of open_clip: the exported graph and tokenizer against open_clip's own, and a bundle of a random CLIP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch.nn import functional as F

from croquis.bundle import Bundle, BundleError, write_bundle
from croquis.bundle.gallery_file import GALLERY_SCHEMA
from croquis.catalog.images import prepare_image, to_batch
from croquis.files import read_json
from croquis.index.build import build_index
from croquis.nets.encoder import describe_encoder, load_encoder, open_text
from croquis.nets.text_encoder import TextEncoder
from croquis.search.local_retriever import LocalRetriever
from lightning_modules.embedder.assembly import export
from lightning_modules.nets.joint import text_tower
from lightning_modules.nets.joint.openclip_net import OpenClipNet
from lightning_modules.nets.joint.text_tower import export_tower, tower_tokenizer
from lightning_modules.nets.retrieval_net import average_pool_net, max_pool_net
from lightning_modules.nets.weights import WeightsError
from tests.support import tiny_retriever as tiny
from tests.support.tiny_clip import (
    CLIP,
    DIM,
    SIGLIP,
    SIZE,
    backbone_of,
    known_to_open_clip,
    save_siglip_tokenizer,
    saved_weights,
)

pytestmark = pytest.mark.slow

STRINGS = [
    "red dress",
    "Navy Blue Tshirts",
    "t-shirt",
    "a 2-pack of men's socks",
    "",
    "   ",
    "!!!",
    "...",
    "'s",
    "Levi's® 501™",
    "it's we've I'm you'll they'd",
    "don\u2019t \u201cquote\u201d me \u2018so\u2019",
    "été à la plage",
    "ÉTÉ",
    "e\u0301te\u0301",
    "Größe XL",
    "straße",
    "İstanbul",
    "ΟΔΟΣ φόρεμα",
    "日本語のドレス",
    "кроссовки",
    "👗 dress",
    "👨‍👩‍👧 family",
    "100% cotton, 20€",
    "a/b\\c_d",
    "tab\tand\nline",
    "ＦＵＬＬ width",
    "ﬁne ﬂoral ﬀ",
    "—dash–",
    "ｶﾀｶﾅ",
    "x" * 300,
    "dress " * 120,
    "3.14159",
    "½ price",
    "\u00a0nbsp\u3000wide",
    "a\u0001b",
    "naïve café",
    "ÆØÅ æøå",
    "a&b",
    "<3 love",
    "#tag @name",
    "नमस्ते",
    "ไทย",
    "עברית",
    "\u200bzero\u200bwidth",
    "Ⅷ roman",
    "²³",
    "ǅ",
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    known_to_open_clip(tmp_path)
    pytest.importorskip("tokenizers", reason="pip install 'croquis[text]'")
    return tmp_path


def exported(folder: Path, name: str, **pooling: Any) -> Path:
    """An encoder with its tower, of random weights beside which a tokenizer lies."""
    weights = saved_weights(folder / "weights" / f"{name}.pt", name)
    save_siglip_tokenizer(weights.parent)
    net, target = average_pool_net(backbone_of(name, str(weights), **pooling), SIZE), folder / "nets"
    target.mkdir()
    export(net, SIZE, target)
    difference = export_tower(net, target)
    assert difference is None or difference < 1e-4
    return target


def words_of(target: Path) -> TextEncoder:
    found = open_text(describe_encoder(target), target)
    assert found is not None
    return found


def test_the_tokens_are_those_of_open_clip(folder: Path) -> None:
    open_clip = known_to_open_clip(folder)
    words, reference = words_of(exported(folder, CLIP)), open_clip.get_tokenizer(CLIP)
    for text in STRINGS:
        assert words.tokens([text]).tolist() == reference([text]).tolist(), text
    assert len(STRINGS) > 40


@pytest.mark.parametrize("name", [CLIP, SIGLIP])
def test_the_graph_computes_the_vectors_of_open_clip(folder: Path, name: str) -> None:
    open_clip = known_to_open_clip(folder)
    target = exported(folder, name)
    whole = open_clip.create_model(name, pretrained=str(folder / "weights" / f"{name}.pt")).eval()
    words = words_of(target)
    texts = ["red dress", "", "Navy tshirt with stripes", "red " * 40, "nobody knows it"]
    with torch.no_grad():
        expected = F.normalize(whole.encode_text(torch.from_numpy(words.tokens(texts))), dim=1).numpy()
    np.testing.assert_allclose(words.encode(texts), expected, atol=1e-5)
    np.testing.assert_allclose(words.encode(texts[2:3]), expected[2:3], atol=1e-5)
    assert np.abs(expected[0] - expected[2]).max() > 1e-3
    assert {path.name for path in target.iterdir()} == {"encoder.json", "encoder.onnx", "text.onnx", "tokenizer.json"}
    assert (target / "text.onnx").stat().st_size < 6_000_000  # without the weights of the other tower


@pytest.mark.parametrize("pad", ["</s>", {"content": "<unk>", "special": True}])
def test_a_stored_tokenizer_is_cleaned_and_filled_as_open_clip_does(folder: Path, pad: Any) -> None:
    from open_clip.tokenizer import get_clean_fn

    weights = saved_weights(folder / "weights" / "siglip.pt", SIGLIP)
    save_siglip_tokenizer(weights.parent, pad)
    features = average_pool_net(backbone_of(SIGLIP, str(weights)), SIZE).backbone.features
    assert isinstance(features, OpenClipNet)
    tokenizer, clean = tower_tokenizer(features), get_clean_fn("canonicalize")
    known = read_json(weights.parent / "tokenizer.json")["model"]["vocab"]
    fill = known[pad if isinstance(pad, str) else pad["content"]]
    for text in [*STRINGS, "Red_dress, with 'STRIPES'!", "don't"]:
        numbers = [*[known.get(word, 0) for word in clean(text).split()][:9], 1]
        assert tokenizer.encode(text).ids == [*numbers, *[fill] * 10][:10], text
    assert tokenizer.encode("don't").ids[0] == known["dont"]


def test_what_a_tokenizer_lacks_is_told_in_one_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = saved_weights(folder / "weights" / "siglip.pt", SIGLIP)

    def refused(words: str, given: str = str(weights)) -> None:
        features = average_pool_net(backbone_of(SIGLIP, "none"), SIZE).backbone.features
        assert isinstance(features, OpenClipNet)
        features.weights = given
        with pytest.raises(WeightsError, match=words):
            tower_tokenizer(features)

    refused(r"tokenizer\.json does not exist: put tokenizer\.json and tokenizer_config\.json of nobody/nothing there")
    save_siglip_tokenizer(weights.parent, "<pad>")
    refused(r"has no token '<pad>', the pad_token of tokenizer_config\.json")
    (weights.parent / "tokenizer.json").write_text("[]")
    refused("are no tokenizer with a pad_token")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    refused("tokenizer.json of nobody/nothing cannot be fetched .* or name weights by a path", "none")
    refused("tokenizer.json of some/body cannot be fetched", "hub:some/body")
    monkeypatch.setattr(text_tower, "has_tokenizers", lambda: False)
    refused(r"tokenizers is not installed: pip install 'croquis\[text\]'")


@pytest.mark.parametrize(
    ("pooling", "why"),
    [({"histogram": 0.5}, "a colour histogram stands beside it"), ({"cells": 2}, "it is pooled in cells")],
)
def test_outside_the_joint_space_there_is_no_tower(
    folder: Path, pooling: dict[str, Any], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    target = exported(folder, CLIP, **pooling)
    assert f"openclip/tiny-clip: without its text tower, as {why}" in capsys.readouterr().out
    assert not (target / "text.onnx").exists()
    assert open_text(describe_encoder(target), target) is None


def test_behind_a_layer_and_of_other_nets_there_is_no_tower(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export_tower(max_pool_net(backbone_of(CLIP), 8, False, SIZE), folder) is None
    assert "without its text tower, as a layer of its own stands behind it" in capsys.readouterr().out
    small = backbone_of(CLIP).model_copy(update={"name": "small"})
    assert export_tower(average_pool_net(small, SIZE), folder) is None
    assert capsys.readouterr().out == ""


def test_words_retrieve_the_photos_that_the_random_net_puts_near_them(folder: Path) -> None:
    target = exported(folder, CLIP)
    encoder, rows = load_encoder(target), tiny.gallery_rows()
    pictures = [prepare_image(tiny.picture_of(row["image_id"]), SIZE) for row in rows]
    vectors = encoder.encode(to_batch(pictures))
    bundle = write_bundle(
        folder / "bundle",
        method="pretrained",
        encoder_folder=target,
        generator_folder=None,
        classifier_folder=None,
        index=build_index(vectors, metric="cosine"),
        gallery_table=pa.Table.from_pylist(rows, schema=GALLERY_SCHEMA),
        rerank=tiny.RERANK,
        image_size=SIZE,
        words={"tokenizer": "unicode", "weight": 0.5, "tower_weight": 1.0},
    )
    found = LocalRetriever.load(bundle.folder)
    assert vectors.shape == (36, DIM)
    for text in ("red dress", "a coat", "x"):
        cosines = vectors @ words_of(target).encode([text])[0]
        hits = found.search(text=text, k=36)
        assert hits[0].image_id == rows[int(np.argmax(cosines))]["image_id"]
        expected = {row["image_id"]: float(cosine) for row, cosine in zip(rows, cosines, strict=True)}
        assert [expected[hit.image_id] for hit in hits] == pytest.approx(sorted(cosines, reverse=True), abs=1e-6)
        few = found.search(text=text, k=36, filters={"category": "coat"})
        assert [hit.image_id for hit in few] == [hit.image_id for hit in hits if hit.category == "coat"]
    content = (bundle.folder / "text.onnx").read_bytes()
    (bundle.folder / "text.onnx").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(BundleError, match=r"text\.onnx was changed"):
        Bundle.load(bundle.folder)
