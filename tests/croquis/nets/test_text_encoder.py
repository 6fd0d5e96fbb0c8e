"""The text tower of an encoder, against what its tiny graph computes by hand, and what is refused."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from croquis.files import read_json, write_array, write_json
from croquis.nets.encoder import describe_encoder, load_encoder, open_text
from croquis.nets.linear_map import LinearMap
from croquis.nets.session import ModelError
from croquis.nets.text_encoder import TextEncoder
from tests.support import tiny_retriever as tiny
from tests.support.tiny_tower import LENGTH, add_tower, save_text_graph, text_by_hand, tokenizer_json

TEXTS = ["crimson", "Azure  emerald", "a dress of no colour at all", "", "crimson crimson azure x y z azure azure"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return add_tower(tiny.save_encoder(tmp_path / "nets"))


def opened(folder: Path) -> TextEncoder:
    found = open_text(describe_encoder(folder), folder)
    assert found is not None
    return found


def needs_tokenizers() -> None:
    pytest.importorskip("tokenizers", reason="pip install 'croquis[text]'")


def test_texts_become_the_vectors_of_the_graph(folder: Path) -> None:
    needs_tokenizers()
    words = opened(folder)
    found = words.encode(TEXTS)
    np.testing.assert_allclose(found, [text_by_hand(text) for text in TEXTS], atol=1e-6)
    assert (found.dtype, words.dim, words.encode([]).shape) == (np.float32, 48, (0, 48))
    assert words.tokens(["crimson"]).tolist() == [[2, 0, 0, 0, 0, 0]]
    np.testing.assert_allclose(words.encode(TEXTS[1:2]), found[1:2], atol=1e-6)


def test_behind_a_map_photos_keep_their_order_for_a_text(folder: Path) -> None:
    needs_tokenizers()
    rng = np.random.default_rng(3)
    texts, photos = opened(folder).encode(TEXTS), load_encoder(folder).encode(rng.random((40, 3, 16, 16), np.float32))
    centre, slanted = photos.mean(axis=0), rng.normal(size=(48, 48)).astype(np.float32)
    write_array(folder / "map.npy", np.vstack([slanted, -centre @ slanted]).astype(np.float32))
    write_json(folder / "encoder.json", read_json(folder / "encoder.json") | {"map": "map.npy"})
    mapped = opened(folder).encode(TEXTS)
    np.testing.assert_allclose(np.linalg.norm(mapped, axis=1), 1, atol=1e-5)
    products = [(photos - centre) @ slanted @ mapped.T, (photos - centre) @ texts.T]
    found, expected = (each / np.linalg.norm(each, axis=0) for each in products)
    np.testing.assert_allclose(found, expected, atol=1e-3)
    assert np.abs(found - (photos - centre) @ slanted @ (texts @ slanted - centre @ slanted).T).max() > 0.1


def test_an_encoder_without_a_tower_has_none(tmp_path: Path) -> None:
    folder = tiny.save_encoder(tmp_path)
    assert open_text(describe_encoder(folder), folder) is None


def test_without_the_package_the_graph_opens_and_texts_are_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    words = opened(folder)
    assert words.dim == 48
    with pytest.raises(ModelError, match=r"tokenizers is not installed: pip install 'croquis\[text\]'"):
        words.encode(["crimson"])


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"tokenizer": None}, "a text tower has both"),
        ({"text": None}, "a text tower has both"),
        ({"head": "binary", "metric": "hamming"}, "a text tower gives dense vectors for cosine"),
        ({"metric": "l2"}, "a text tower gives dense vectors for cosine"),
    ],
)
def test_a_wrong_description_is_refused(folder: Path, changed: dict[str, Any], reason: str) -> None:
    stated = read_json(folder / "encoder.json") | changed
    write_json(folder / "encoder.json", {key: value for key, value in stated.items() if value is not None})
    with pytest.raises(ModelError, match=reason):
        describe_encoder(folder)


def test_a_damaged_or_unfitting_graph_is_refused(folder: Path) -> None:
    whole = (folder / "text.onnx").read_bytes()
    (folder / "text.onnx").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match=r"text\.onnx is not an ONNX graph"):
        opened(folder)
    save_text_graph(folder / "text.onnx", length="words")
    with pytest.raises(ModelError, match=r"leaves its tokens \(words\) or its output \(48\) open"):
        opened(folder)
    tiny.save_encoder(folder)
    add_tower(folder)
    (folder / "text.onnx").write_bytes((folder / "encoder.onnx").read_bytes())
    with pytest.raises(ModelError, match="has no input 'tokens'"):
        opened(folder)
    save_text_graph(folder / "text.onnx", dim=12)
    with pytest.raises(ModelError, match="gives 12 numbers per text, the encoder 48 per image"):
        opened(folder)


def test_a_graph_with_weights_in_another_file_is_refused(folder: Path) -> None:
    model = onnx.load(folder / "text.onnx")
    onnx.save(model, folder / "text.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    with pytest.raises(ModelError, match="keeps weights in another file"):
        opened(folder)


def test_a_damaged_or_unfitting_tokenizer_is_refused(folder: Path) -> None:
    needs_tokenizers()
    write_json(folder / "tokenizer.json", tokenizer_json(LENGTH + 1))
    with pytest.raises(ModelError, match="gives 7 tokens of a text, the text tower takes 6"):
        opened(folder)
    foreign = tokenizer_json()
    foreign["model"]["vocab"]["crimson"] = 99
    write_json(folder / "tokenizer.json", foreign)
    with pytest.raises(ModelError, match="fails on tokens"):
        opened(folder).encode(["crimson"])
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(ModelError, match=r"tokenizer\.json is no tokenizer that this version of tokenizers can open"):
        opened(folder)


def test_a_map_of_another_width_is_refused(folder: Path) -> None:
    with pytest.raises(ModelError, match="the map takes 12 numbers, the text tower gives 48"):
        TextEncoder(folder / "text.onnx", folder / "tokenizer.json", LinearMap(np.ones((13, 4), dtype=np.float32)))
