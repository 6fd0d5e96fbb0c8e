"""Encoders, generator and classifier against what their tiny graphs compute by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from croquis.files import read_json, write_json
from croquis.nets.classifier import AttributeClassifier
from croquis.nets.encoder import (
    OnnxEncoder,
    describe_encoder,
    describe_fixed,
    encode_drawings,
    encode_painted,
    load_encoder,
)
from croquis.nets.generator import Generator
from croquis.nets.histogram_encoder import HistogramEncoder
from croquis.nets.linear_map import LinearMap
from croquis.nets.session import ModelError
from tests.support import tiny_retriever as tiny

SIZE, SKETCH_SIZE = 16, 8


def batch(count: int, size: int = SIZE, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((count, 3, size, size), dtype=np.float32)


def test_onnx_encoder_computes_its_graph(tmp_path: Path) -> None:
    encoder = load_encoder(tiny.save_encoder(tmp_path))
    images = batch(5)
    cells = images.reshape(5, 3, 4, 4, 4, 4).mean(axis=(3, 5)).reshape(5, 48)
    expected = cells / np.linalg.norm(cells, axis=1, keepdims=True)
    assert (encoder.dim, encoder.size, encoder.metric) == (48, SIZE, "cosine")
    np.testing.assert_allclose(encoder.encode(images), expected, atol=1e-6)


def test_batches_of_any_size_give_the_same_vectors(tmp_path: Path) -> None:
    encoder = OnnxEncoder(tiny.save_encoder(tmp_path) / "encoder.onnx", SIZE)
    images = batch(7)
    one_by_one = np.concatenate([encoder.encode(images[i : i + 1]) for i in range(7)])
    np.testing.assert_allclose(encoder.encode(images), one_by_one, atol=1e-6)


def test_wrong_input_is_named(tmp_path: Path) -> None:
    encoder = load_encoder(tiny.save_encoder(tmp_path))
    with pytest.raises(ModelError, match=r"takes float32 \(B, 3, 16, 16\), got float32 \(2, 3, 8, 8\)"):
        encoder.encode(batch(2, size=8))
    with pytest.raises(ModelError, match="got float64"):
        encoder.encode(batch(2).astype(np.float64))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.pop("dim"), r"lacks the keys \['dim'\]"),
        (lambda d: d.update(extra=1), r"unknown keys \['extra'\]"),
        (lambda d: d.update(dim="48"), "dim = '48' must be of type int"),
        (lambda d: d.update(dim=47), "gives 48 numbers per image, its description says 47"),
        (lambda d: d.update(head="ternary"), "head = 'ternary', must be one of"),
        (
            lambda d: d.update(metric="manhattan"),
            r"metric = 'manhattan', of head 'dense' must be one of \['cosine', 'l2'\]",
        ),
        (lambda d: d.update(head="binary"), r"metric = 'cosine', of head 'binary' must be one of \['hamming'\]"),
        (lambda d: d.update(head="pq"), r"metric = 'cosine', of head 'pq' must be one of \['l2'\]"),
        (lambda d: d.update(kind="torch"), "kind = 'torch', must be one of"),
        (lambda d: d.update(file="other.onnx"), "other.onnx does not exist"),
    ],
)
def test_a_wrong_description_is_named(tmp_path: Path, change: Callable[[dict[str, Any]], Any], words: str) -> None:
    folder = tiny.save_encoder(tmp_path)
    described = read_json(folder / "encoder.json")
    change(described)
    write_json(folder / "encoder.json", described)
    with pytest.raises(ModelError, match=words):
        load_encoder(folder)


def test_a_damaged_graph_is_named(tmp_path: Path) -> None:
    graph = tiny.save_encoder(tmp_path) / "encoder.onnx"
    graph.write_bytes(graph.read_bytes()[:100])
    with pytest.raises(ModelError, match="is not an ONNX graph"):
        load_encoder(tmp_path)


def test_a_graph_with_other_names_is_refused(tmp_path: Path) -> None:
    generator = tiny.save_generator(tmp_path, SIZE) / "generator.onnx"
    with pytest.raises(ModelError, match=r"has no input 'images'; its inputs are \['sketches'\]"):
        OnnxEncoder(generator, SIZE)


def test_a_folder_without_encoder_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="dvc repro"):
        describe_encoder(tmp_path)


def histogram(**changes: Any) -> HistogramEncoder:
    settings = {"colour_bins": 3, "orientation_bins": 4, "grid": 2, "colour_weight": 0.3, "size": SIZE, **changes}
    return HistogramEncoder(**settings)


def loop_histogram(image: np.ndarray, encoder: HistogramEncoder) -> np.ndarray:
    """The same descriptor pixel by pixel."""
    bins, angles, grid, size = encoder.colour_bins, encoder.orientation_bins, encoder.grid, encoder.size
    colours, edges = np.full(bins**3, 1e-6), np.full(grid * grid * angles, 1e-6)
    grey = 0.299 * image[0] + 0.587 * image[1] + 0.114 * image[2]
    for y in range(size):
        for x in range(size):
            r, g, b = (min(int(image[c, y, x] * bins), bins - 1) for c in range(3))
            colours[(r * bins + g) * bins + b] += 1
            up, down, left, right = max(y - 1, 0), min(y + 1, size - 1), max(x - 1, 0), min(x + 1, size - 1)
            dy = (grey[down, x] - grey[up, x]) / (down - up)
            dx = (grey[y, right] - grey[y, left]) / (right - left)
            turn = math.atan2(dy, dx) % math.pi / math.pi
            cell = (y * grid // size) * grid + x * grid // size
            edges[cell * angles + min(int(turn * angles), angles - 1)] += math.hypot(dx, dy)
    weight = encoder.colour_weight
    return np.sqrt(np.concatenate([colours / colours.sum() * weight, edges / edges.sum() * (1 - weight)]))


def test_histogram_equals_a_loop_over_pixels() -> None:
    encoder = histogram()
    images = batch(3)
    expected = np.stack([loop_histogram(image, encoder) for image in images])
    vectors = encoder.encode(images)
    assert vectors.dtype == np.float32
    assert vectors.shape == (3, encoder.dim)
    np.testing.assert_allclose(vectors, expected, atol=1e-5)


def test_histogram_has_unit_length_even_without_edges() -> None:
    images = np.concatenate(
        [batch(2), np.ones((1, 3, SIZE, SIZE), np.float32), np.zeros((1, 3, SIZE, SIZE), np.float32)]
    )
    for weight in (0.0, 0.5, 1.0):
        np.testing.assert_allclose(np.linalg.norm(histogram(colour_weight=weight).encode(images), axis=1), 1, atol=1e-6)


def test_histogram_colour_weight_chooses_what_counts() -> None:
    red, blue = np.zeros((1, 3, SIZE, SIZE), np.float32), np.zeros((1, 3, SIZE, SIZE), np.float32)
    red[:, 0], blue[:, 2] = 1, 1
    for weight in (0.0, 0.25, 1.0):
        encoder = histogram(colour_weight=weight)
        assert float(encoder.encode(red)[0] @ encoder.encode(blue)[0]) == pytest.approx(1 - weight, abs=1e-3)


def test_histogram_round_trip_through_its_folder(tmp_path: Path) -> None:
    encoder = histogram()
    write_json(tmp_path / "encoder.json", describe_fixed(encoder))
    loaded = load_encoder(tmp_path)
    assert np.array_equal(loaded.encode(batch(2)), encoder.encode(batch(2)))
    assert (loaded.dim, loaded.size, loaded.metric) == (encoder.dim, SIZE, "cosine")


def test_generator_tints_and_clips(tmp_path: Path) -> None:
    generator = Generator(tiny.save_generator(tmp_path))
    sketches = batch(3, SKETCH_SIZE)
    photos = generator.generate(sketches * 2)
    np.testing.assert_allclose(photos[:, 0], np.minimum(sketches[:, 0] * 2, 1), atol=1e-6)
    np.testing.assert_allclose(photos[:, 1], sketches[:, 1] * 0.4, atol=1e-6)


def test_classifier_names_what_reaches_its_threshold(tmp_path: Path) -> None:
    classifier = AttributeClassifier(tiny.save_classifier(tmp_path))
    images = np.zeros((3, 3, SIZE, SIZE), np.float32)
    images[0, 0], images[1, 1], images[1, 2] = 0.5, 0.9, 0.6
    assert classifier.attributes == ("colour:red", "colour:green", "colour:blue")
    np.testing.assert_allclose(classifier.probabilities(images)[1], [0, 0.9, 0.6], atol=1e-6)
    assert classifier.decide(classifier.probabilities(images)) == [
        {"colour:red"},
        {"colour:green", "colour:blue"},
        frozenset(),
    ]


def test_classifier_needs_a_threshold_for_each_attribute(tmp_path: Path) -> None:
    folder = tiny.save_classifier(tmp_path)
    described = read_json(folder / "classifier.json")
    write_json(folder / "classifier.json", {**described, "thresholds": [0.5]})
    with pytest.raises(ModelError, match="1 thresholds for 3 attributes"):
        AttributeClassifier(folder)


def mapped_encoder(folder: Path, matrix: np.ndarray) -> Path:
    tiny.save_encoder(folder)
    np.save(folder / "map.npy", matrix)
    described = read_json(folder / "encoder.json")
    write_json(folder / "encoder.json", described | {"map": "map.npy", "dim": matrix.shape[1]})
    return folder


def test_a_map_is_applied_behind_the_graph(tmp_path: Path) -> None:
    matrix = np.random.default_rng(1).normal(size=(49, 5)).astype(np.float32)
    mapped, images = load_encoder(mapped_encoder(tmp_path, matrix)), batch(3)
    plain = OnnxEncoder(tmp_path / "encoder.onnx", SIZE).encode(images)
    expected = plain @ matrix[:48] + matrix[48]
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert (mapped.dim, mapped.size, mapped.metric) == (5, SIZE, "cosine")
    np.testing.assert_allclose(mapped.encode(images), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("matrix", "words"),
    [
        (np.zeros((40, 5), np.float32), "the map takes 39 numbers per image, the encoder gives 48"),
        (np.zeros((49, 5)), "holds float64"),
        (np.full((49, 5), np.nan, np.float32), "must be a finite float32 matrix"),
        (np.array([[None, {}]]), "cannot be read as the matrix of a map"),
    ],
)
def test_another_matrix_is_refused(tmp_path: Path, matrix: np.ndarray, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        load_encoder(mapped_encoder(tmp_path, matrix))


def test_a_map_behind_codes_is_refused(tmp_path: Path) -> None:
    folder = mapped_encoder(tmp_path, np.zeros((49, 5), np.float32))
    write_json(folder / "encoder.json", read_json(folder / "encoder.json") | {"head": "binary", "metric": "hamming"})
    with pytest.raises(ModelError, match="a map gives dense vectors for cosine"):
        load_encoder(folder)


def test_drawings_and_what_is_painted_go_through_their_own_maps(tmp_path: Path) -> None:
    """One that is left out is that of photos."""
    rng, images = np.random.default_rng(2), batch(3)
    photos, painted, straight = (rng.normal(size=(49, 5)).astype(np.float32) for _ in range(3))
    folder = mapped_encoder(tmp_path, photos)
    plain = OnnxEncoder(folder / "encoder.onnx", SIZE).encode(images)
    described = read_json(folder / "encoder.json")
    np.save(folder / "painted.npy", painted)
    np.save(folder / "straight.npy", straight)
    for kind, matrix, encode, other in (
        ("painted", painted, encode_painted, encode_drawings),
        ("straight", straight, encode_drawings, encode_painted),
    ):
        write_json(folder / "encoder.json", described | {kind: f"{kind}.npy"})
        encoder = load_encoder(folder)
        np.testing.assert_allclose(encode(encoder, images), LinearMap(matrix).apply(plain), atol=1e-6)
        for vectors in (encoder.encode(images), other(encoder, images)):
            np.testing.assert_allclose(vectors, LinearMap(photos).apply(plain), atol=1e-6)


def test_a_map_of_drawings_into_another_space_is_refused(tmp_path: Path) -> None:
    folder = mapped_encoder(tmp_path, np.ones((49, 5), np.float32))
    np.save(folder / "straight.npy", np.ones((49, 6), np.float32))
    write_json(folder / "encoder.json", read_json(folder / "encoder.json") | {"straight": "straight.npy"})
    with pytest.raises(ModelError, match="the map of drawings gives 6 numbers, photos have 5"):
        load_encoder(folder)
