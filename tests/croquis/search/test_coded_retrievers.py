"""Retrievers whose index holds codes: the encoder's description, the bundle, the answers, the evaluation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from croquis.bundle import Bundle, BundleError, write_bundle
from croquis.catalog.filters import Filters
from croquis.catalog.images import encode_png, prepare_image, to_batch
from croquis.catalog.table import Catalog, CatalogWriter
from croquis.evaluation.evaluate_bundle import EvaluationSettings, evaluate_split
from croquis.evaluation.metrics import average_precision_at_r
from croquis.evaluation.results import SplitResult, headline
from croquis.files import read_json, write_array, write_json
from croquis.index.build import build_index
from croquis.index.coding import read_codebooks
from croquis.nets.encoder import load_encoder
from croquis.nets.session import ModelError
from croquis.search.local_retriever import LocalRetriever
from tests.support import tiny_retriever as tiny
from tests.support.coded_encoders import save_coded_encoder

HEADS = ["binary", "pq"]
OTHER = {"symmetric": "asymmetric", "asymmetric": "symmetric"}
SETTINGS = EvaluationSettings(depth=50, resamples=50, chunk=7, seed=3, edges="canny", edge_size=32)

Coded = Callable[..., dict[str, Any]]


def vectors_of(pictures: list[np.ndarray], head: str) -> np.ndarray:
    """What the tiny encoder gives, in NumPy: mean colours of 4 x 4 cells, for bits around 0.3."""
    batch = to_batch([prepare_image(picture, 16) for picture in pictures])
    cells = batch.reshape(len(batch), 3, 4, 4, 4, 4).mean(axis=(3, 5)).reshape(len(batch), 48)
    return np.tanh(10 * (cells - 0.3)) if head == "binary" else cells


def coded(vectors: np.ndarray, books: np.ndarray | None) -> np.ndarray:
    if books is None:
        return np.where(vectors > 0, 1.0, -1.0)
    pieces = vectors.reshape(len(vectors), 12, 1, 4)
    nearest = ((pieces - books[None]) ** 2).sum(axis=3).argmin(axis=2)
    return np.stack([books[part, nearest[:, part]] for part in range(12)], axis=1).reshape(len(vectors), 48)


def brute_force(queries: np.ndarray, gallery: np.ndarray, comparison: str, books: np.ndarray | None) -> np.ndarray:
    stored = coded(gallery, books)
    asked = coded(queries, books) if comparison == "symmetric" else queries
    if books is not None:
        return -((asked[:, None] - stored[None]) ** 2).sum(axis=2)
    return asked @ stored.T if comparison == "asymmetric" else -(asked[:, None] != stored[None]).sum(axis=2)


@pytest.mark.slow
@pytest.mark.parametrize("comparison", ["symmetric", "asymmetric"])
@pytest.mark.parametrize("codes", ["flat", "ivf"])
@pytest.mark.parametrize("head", HEADS)
def test_a_bundle_of_codes_answers_by_its_codes(
    coded_parts: Coded, tmp_path: Path, head: str, codes: str, comparison: str
) -> None:
    lists = {"ivf_lists": 3, "ivf_probes": 3}
    parts = coded_parts(head, codes=codes, **{f"{head}_comparison": comparison}, **lists)
    retriever = LocalRetriever.load(write_bundle(tmp_path / "bundle", **parts).folder)
    block = retriever.bundle.manifest.index
    width = 6 + (8 if codes == "ivf" else 0)
    assert (block.kind, block.comparison, block.bytes_per_vector) == (f"{head}_{codes}", comparison, width)
    books = read_codebooks(parts["encoder_folder"], 48).astype(float) if head == "pq" else None
    gallery = vectors_of([tiny.picture_of(name) for name in retriever.bundle.items.image_ids], head)
    image = tiny.picture_of("green-05")
    hits = retriever.search(image, k=36)
    scores = brute_force(vectors_of([image], head), gallery, comparison, books)[0]
    np.testing.assert_allclose([hit.score for hit in hits], -np.sort(-scores), rtol=1e-4, atol=1e-4)
    places = {name: row for row, name in enumerate(retriever.bundle.items.image_ids)}
    np.testing.assert_allclose(
        [hit.score for hit in hits], scores[[places[h.image_id] for h in hits]], rtol=1e-4, atol=1e-4
    )
    reds = retriever.search(image, k=36, filters=Filters(attributes=("colour:red",)))
    assert sorted(hit.image_id for hit in reds) == [f"red-{number:02d}" for number in range(12)]
    sketched = retriever.search(image, k=5, mode="sketch")
    assert len(sketched) == 5
    assert retriever.search(image, k=5, rerank=True)[0].shared_attributes == ("colour:green",)


@pytest.mark.parametrize("head", HEADS)
def test_similar_asks_with_the_stored_code(coded_parts: Coded, tmp_path: Path, head: str) -> None:
    retriever = LocalRetriever.load(write_bundle(tmp_path / "bundle", **coded_parts(head)).folder)
    found = retriever.similar("green-05", k=35)
    assert sorted(hit.image_id for hit in found) == sorted(set(retriever.bundle.items.image_ids) - {"green-05"})
    row = retriever.bundle.items.row("green-05")
    decoded = retriever.bundle.index.vectors().astype(float)
    distances = np.delete(((decoded - decoded[row]) ** 2).sum(axis=1), row)
    distances = distances / 4 if head == "binary" else distances  # +1 and -1 lie 2 apart
    np.testing.assert_allclose([hit.score for hit in found], -np.sort(distances), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("head", HEADS)
def test_equal_parts_give_equal_bundles_and_the_comparison_is_part_of_them(
    coded_parts: Coded, tmp_path: Path, head: str
) -> None:
    one, two = (write_bundle(tmp_path / name, **coded_parts(head)) for name in ("one", "two"))
    assert one.hash == two.hash
    other = write_bundle(
        tmp_path / "other", **coded_parts(head, **{f"{head}_comparison": OTHER[str(one.index.comparison)]})
    )
    assert (other.folder / "index.faiss").read_bytes() == (one.folder / "index.faiss").read_bytes()
    assert other.hash != one.hash


def test_a_dense_manifest_says_nothing_of_comparisons(parts: dict[str, Any], tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle", **parts)
    assert "comparison" not in read_json(bundle.folder / "manifest.json")["index"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: m["index"].pop("comparison"), "comparison = None does not fit an encoder with head 'binary'"),
        (lambda m: m["index"].update(comparison="both"), "comparison = 'both' does not fit"),
        (
            lambda m: m["encoder"].update(head="dense"),
            "comparison = 'symmetric' does not fit an encoder with head 'dense'",
        ),
        (lambda m: m["encoder"].update(metric="cosine"), r"48 numbers \(hamming\), the encoder gives 48 \(cosine\)"),
    ],
)
def test_a_wrong_manifest_is_named(
    coded_parts: Coded, tmp_path: Path, change: Callable[[Any], Any], words: str
) -> None:
    folder = write_bundle(tmp_path / "bundle", **coded_parts("binary")).folder
    values = read_json(folder / "manifest.json")
    change(values)
    write_json(folder / "manifest.json", values)
    with pytest.raises(BundleError, match=words):
        Bundle.load(folder)


def test_an_index_of_another_head_is_refused(coded_parts: Coded, tmp_path: Path) -> None:
    dense = build_index(np.random.default_rng(0).random((36, 48)), metric="l2")
    with pytest.raises(BundleError, match="comparison = None does not fit an encoder with head 'pq'"):
        write_bundle(tmp_path / "bundle", **{**coded_parts("pq"), "index": dense})


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (
            np.zeros((12, 16, 4)),
            r"must be float32 of the shape \(parts, codewords, numbers\), not float64 \(12, 16, 4\)",
        ),
        (np.zeros((12, 64), np.float32), r"not float32 \(12, 64\)"),
        (np.zeros((12, 16, 3), np.float32), "code 12 parts of 3 numbers, the vectors have 48"),
        (np.zeros((12, 20, 4), np.float32), "hold 20 codewords per part, must be one of"),
        (np.zeros((12, 512, 4), np.float32), "hold 512 codewords"),
        (np.zeros((12, 1, 4), np.float32), "hold 1 codewords"),
        (np.full((12, 16, 4), np.nan, np.float32), "hold a NaN or an infinity"),
    ],
)
def test_wrong_codebooks_are_named(tmp_path: Path, values: np.ndarray, words: str) -> None:
    write_array(tmp_path / "codebooks.npy", values)
    with pytest.raises(ModelError, match=rf"codebooks\.npy .*{words}"):
        read_codebooks(tmp_path, 48)


def test_missing_and_damaged_codebooks_are_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"codebooks\.npy does not exist; run the stage"):
        read_codebooks(tmp_path, 48)
    (tmp_path / "codebooks.npy").write_bytes(b"")
    with pytest.raises(ModelError, match=r"is not a \.npy file"):
        read_codebooks(tmp_path, 48)
    np.save(tmp_path / "codebooks.npy", np.array([{}]), allow_pickle=True)
    with pytest.raises(ModelError, match=r"is not a \.npy file"):
        read_codebooks(tmp_path, 48)


def test_a_coded_encoder_gives_real_numbers(tmp_path: Path) -> None:
    for head in HEADS:
        encoder = load_encoder(save_coded_encoder(tmp_path / head, head, 16))
        picture = tiny.picture_of("red-03")
        batch = to_batch([prepare_image(picture, 16)])
        np.testing.assert_allclose(encoder.encode(batch), vectors_of([picture], head), atol=1e-5)
        assert encoder.metric == ("hamming" if head == "binary" else "l2")


def noisy(picture: np.ndarray, seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, 60, picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def write_catalogue(folder: Path, order: np.ndarray | None = None) -> Catalog:
    """The tiny gallery and a noisy consumer photo of each of its photos."""
    rows = []
    for number, row in enumerate(tiny.gallery_rows()):
        plain = {key: value for key, value in row.items() if key not in ("predicted_attributes", "thumbnail")}
        picture = tiny.picture_of(row["image_id"])
        asked = {"image_id": f"q/{row['image_id']}", "domain": "consumer", "role": "query"}
        rows.append(plain | {"image": encode_png(picture)})
        rows.append(plain | asked | {"image": encode_png(noisy(picture, number))})
    with CatalogWriter(folder / "data/catalog") as writer:
        for place in range(len(rows)) if order is None else order:
            writer.write(rows[place])
    return Catalog.open(folder / "data/catalog")


def measure(bundle: Path, catalog: Catalog, **options: Any) -> SplitResult:
    return evaluate_split(LocalRetriever.load(bundle), catalog, None, "test", SETTINGS, **options)


@pytest.fixture
def bundle(coded_parts: Coded, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Without classifier, of the head that the test is parametrised with."""
    return write_bundle(tmp_path / "bundle", **{**coded_parts(request.param), "classifier_folder": None}).folder


@pytest.mark.parametrize("bundle", HEADS, indirect=True)
class TestEvaluation:
    def test_both_comparisons_are_measured_and_are_those_of_brute_force(self, bundle: Path, tmp_path: Path) -> None:
        catalog = write_catalogue(tmp_path)
        result = measure(bundle, catalog)
        own = str(Bundle.load(bundle).index.comparison)
        paths = {"encoder": own, f"encoder-{OTHER[own]}": OTHER[own]}
        assert [run.path for run in result.runs] == list(paths)
        retriever = LocalRetriever.load(bundle)
        pq = retriever.bundle.index.head == "pq"
        books = read_codebooks(tmp_path / "models/pq", 48).astype(float) if pq else None
        gallery = retriever.encode_photos([tiny.picture_of(name) for name in result.gallery.image_ids])
        for run in result.runs:
            names = [name.removeprefix("q/") for name in run.queries.image_ids]
            numbers = {row["image_id"]: number for number, row in enumerate(tiny.gallery_rows())}
            asked = retriever.encode_photos([noisy(tiny.picture_of(name), numbers[name]) for name in names])
            scores = brute_force(asked.astype(float), gallery, paths[run.path], books).astype(np.float32)
            order = np.stack([np.lexsort((result.gallery.keys, -line)) for line in scores])
            right = result.gallery.item_ids[order] == run.queries.item_ids[:, None]
            expected = average_precision_at_r(right, right.sum(axis=1))
            np.testing.assert_allclose(run.metrics["map@r"], expected, atol=1e-6)
            assert np.array_equal(run.ranks, right.argmax(axis=1) + 1)
            assert np.array_equal(run.top, order[:, :10])
        assert not np.array_equal(*(run.top for run in result.runs))

    def test_the_other_comparison_goes_by_a_name_of_its_own(self, bundle: Path, tmp_path: Path) -> None:
        result = measure(bundle, write_catalogue(tmp_path))
        other = OTHER[str(Bundle.load(bundle).index.comparison)]
        assert list(headline(result.summary())) == ["consumer->shop", f"consumer->shop.encoder-{other}"]

    def test_a_gallery_that_is_encoded_afresh_is_coded_as_the_index_is(self, bundle: Path, tmp_path: Path) -> None:
        catalog = write_catalogue(tmp_path)
        assert measure(bundle, catalog, reencode_gallery=True).summary() == measure(bundle, catalog).summary()

    def test_the_order_of_the_database_changes_no_metric(self, bundle: Path, tmp_path: Path) -> None:
        plain = measure(bundle, write_catalogue(tmp_path / "plain")).summary()
        order = np.random.default_rng(5).permutation(72)
        assert measure(bundle, write_catalogue(tmp_path / "shuffled", order)).summary() == plain


def test_only_the_served_comparison_is_reranked(coded_parts: Coded, tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle", **coded_parts("binary"))
    runs = measure(bundle.folder, write_catalogue(tmp_path)).runs
    assert [(run.path, run.rerank) for run in runs] == [
        ("encoder", "none"),
        ("encoder", "attributes"),
        ("encoder-asymmetric", "none"),
    ]
