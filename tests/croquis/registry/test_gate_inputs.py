"""What the gate is given: figures of the index that is served, whatever its kind, over equal numbers of images."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from croquis import Retriever
from croquis.bundle import Bundle, write_bundle
from croquis.bundle.gallery_file import GALLERY_SCHEMA
from croquis.catalog.images import encode_jpeg, encode_png, to_batch
from croquis.catalog.table import Catalog, CatalogWriter
from croquis.evaluation.evaluate_bundle import evaluate_split
from croquis.evaluation.latency import of_size
from croquis.evaluation.search_recall import RECALL
from croquis.index.coding import read_codebooks
from croquis.nets.encoder import describe_encoder, load_encoder
from croquis.params import Params, load_params
from croquis.registry.evaluation_reports import Measure
from croquis.registry.gating.gate import decide
from croquis.registry.gating.gate_inputs import evaluation_settings, score_bundle
from croquis.registry.gating.judging import make_policy
from croquis.search import composition, grouping
from croquis.search.gallery import BundleGallery
from croquis.search.local_retriever import LocalRetriever
from croquis.serving.app import create_app
from croquis.serving.models.bundle_sources import BundleSource
from croquis.serving.server_settings import Settings
from tests.support import tiny_retriever as tiny
from tests.support.coded_encoders import save_coded_encoder
from tests.support.environment import REPOSITORY
from tests.support.indexes import index_of
from tests.support.serving.live_server import listening

MEASURE = Measure("consumer->shop", "hit@1")
ITEMS = {"val": 250, "test": 150, "train": 150}
LISTS = {"ivf_lists": 64, "ivf_probes": 1}
PQ = {"pq_subspaces": 4, "pq_bits": 4}

EXACT: dict[str, dict[str, Any]] = {
    "flat": {"kind": "flat"},
    "binary": {"head": "binary"},
    "pq": {"head": "pq"},
}
LOSSY: dict[str, dict[str, Any]] = {
    "hnsw": {"kind": "hnsw", "hnsw_links": 4, "hnsw_ef_search": 1},
    "ivfpq": {"kind": "ivfpq", "ivf_lists": 8, "ivf_probes": 8, **PQ},
    "ivfpq-probes": {"kind": "ivfpq", **LISTS, "pq_subspaces": 16, "pq_bits": 8},
    "binary-ivf": {"head": "binary", "codes": "ivf", **LISTS},
    "pq-ivf": {"head": "pq", "codes": "ivf", **LISTS},
}
EVERY = EXACT | LOSSY
ENCODERS = {name: settings.get("head", "dense") for name, settings in EVERY.items()}


def picture(item: int, seed: int, noise: float) -> np.ndarray:
    """4 x 4 cells of the item's colours, which lie near those of nine others, and noise."""
    family = np.random.default_rng(item // 10).integers(60, 196, (4, 4, 3))
    cells = family + np.random.default_rng([item, 1]).integers(-40, 41, (4, 4, 3))
    cells = cells + np.random.default_rng([item, 2, seed]).normal(0, noise, (4, 4, 3))
    return np.clip(np.kron(cells, np.ones((4, 4, 1))), 0, 255).astype(np.uint8)


@cache
def rows() -> list[dict[str, Any]]:
    """Per item a photo of the shop and one of a consumer; drawn once."""
    return list(drawn_rows())


def drawn_rows() -> Iterator[dict[str, Any]]:
    item = 0
    for split, count in ITEMS.items():
        for _ in range(count):
            item += 1
            for seed, (name, domain, role) in enumerate((("shop", "shop", "gallery"), ("street", "consumer", "query"))):
                yield {
                    "image_id": f"{item:04d}/{name}",
                    "item_id": f"{item:04d}",
                    "domain": domain,
                    "split": split,
                    "role": "train" if split == "train" else role,
                    "category": ("dress", "coat")[item % 2],
                    "view": None,
                    "attributes": [],
                    "image": encode_png(picture(item, seed, 16.0 * seed)),
                }


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    with CatalogWriter(folder / "data/catalog") as writer:
        for row in rows():
            writer.write(row)
    tiny.save_encoder(folder / "models/dense")
    for head in ("binary", "pq"):
        save_coded_encoder(folder / "models" / head, head, tiny.SIZE)
    return folder


@pytest.fixture(scope="module")
def params() -> Params:
    return load_params(REPOSITORY / "params.yaml")


def bundle_of(root: Path, name: str, splits: tuple[str, ...] = tuple(ITEMS)) -> Bundle:
    """A bundle of one kind of index over the shop photos of some splits."""
    folder, described = root / "models" / ENCODERS[name], describe_encoder(root / "models" / ENCODERS[name])
    listed = [row for row in rows() if row["domain"] == "shop" and row["split"] in splits]
    shown = [picture(int(row["item_id"]), 0, 0.0) for row in listed]
    extra = [{"predicted_attributes": [], "thumbnail": encode_jpeg(image)} for image in shown]
    table = [
        {key: row[key] for key in GALLERY_SCHEMA.names if key in row} | more
        for row, more in zip(listed, extra, strict=True)
    ]
    codebooks = read_codebooks(folder, described.dim) if ENCODERS[name] == "pq" else None
    vectors = load_encoder(folder).encode(to_batch(shown))
    return write_bundle(
        root / "bundles" / f"{name}-{len(splits)}",
        method=name,
        encoder_folder=folder,
        generator_folder=None,
        classifier_folder=None,
        index=index_of(vectors, metric=described.metric, codebooks=codebooks, **EVERY[name]),
        gallery_table=pa.Table.from_pylist(table, schema=GALLERY_SCHEMA),
        rerank=tiny.RERANK | {"steps": ["k_reciprocal"]},
        image_size=tiny.SIZE,
    )


def asked_of_a_server(bundle: Bundle, catalog: Catalog) -> dict[str, float]:
    """Query -> whether the first photo of val among a server's answers shows its item."""
    names = set(catalog.column("image_id")[catalog.select(split="val", role="gallery")].tolist())
    asked = list(catalog.rows(catalog.select(split="val", role="query", domain="consumer")))
    app = create_app({"champion": BundleSource(bundle.folder)}, Settings(threads=1))
    found = {}
    with listening(app) as address:
        retriever = Retriever.load(address)
        for row in asked:
            hits = [hit for hit in retriever.search(row["image"], k=100) if hit.image_id in names]
            found[row["image_id"]] = float(bool(hits) and hits[0].item_id == row["item_id"])
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", EVERY)
def test_evaluation_gate_and_a_client_of_the_server_agree_to_the_last_digit(
    root: Path, params: Params, name: str
) -> None:
    bundle, catalog = bundle_of(root, name), Catalog.open(root / "data/catalog")
    result = evaluate_split(LocalRetriever.of(bundle), catalog, None, "val", evaluation_settings(params))
    run = result.run(MEASURE.pair, "encoder")
    assert run is not None
    evaluated = dict(zip(run.queries.image_ids.tolist(), run.metrics["hit@1"].tolist(), strict=True))
    judged = score_bundle(bundle, "val", MEASURE, params, root)
    assert dict(zip(judged.queries.tolist(), judged.values.tolist(), strict=True)) == evaluated
    assert asked_of_a_server(bundle, catalog) == evaluated
    assert (result.index["kind"], result.index[RECALL] == 1.0) == (bundle.manifest.index.kind, name in EXACT)


def exact_of(name: str) -> str:
    return "flat" if ENCODERS[name] == "dense" else ENCODERS[name]


@pytest.mark.slow
@pytest.mark.parametrize("name", LOSSY)
def test_what_an_index_loses_is_lost_before_the_gate(root: Path, params: Params, name: str) -> None:
    lossy, whole = (
        score_bundle(bundle_of(root, each), "val", MEASURE, params, root) for each in (name, exact_of(name))
    )
    assert whole.mean > 0.8
    assert not np.array_equal(lossy.ordered().values, whole.ordered().values)
    if name == "ivfpq":
        assert lossy.mean < whole.mean - 0.2


@pytest.mark.slow
def test_lossy_codes_are_refused_against_the_same_vectors_uncompressed(root: Path, params: Params) -> None:
    lossy, whole = (score_bundle(bundle_of(root, each), "val", MEASURE, params, root) for each in ("ivfpq", "flat"))
    verdict = decide(lossy, whole, make_policy(params))
    assert {"gain", "category"} <= {reason.rule for reason in verdict.reasons if not reason.passed}


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in LOSSY if name != "hnsw"])
def test_a_champion_of_another_catalogue_loses_as_much(root: Path, params: Params, name: str) -> None:
    """It knows none of the val photos, which its own kind of index takes in."""
    splits = ("test", "train")
    old, whole = (
        score_bundle(bundle_of(root, each, splits), "val", MEASURE, params, root) for each in (name, exact_of(name))
    )
    assert old.mean < whole.mean


@pytest.mark.slow
@pytest.mark.parametrize("name", EVERY)
def test_bundles_are_timed_over_equal_numbers_of_images(root: Path, name: str) -> None:
    bundle = bundle_of(root, name)
    gallery = of_size(bundle, 200).gallery
    assert isinstance(gallery, BundleGallery)
    assert (len(gallery.index), len(gallery.items)) == (200, 200)
    assert (gallery.index.kind, gallery.index.parameters) == (bundle.index.kind, bundle.index.parameters)
    chosen = [bundle.items.row(image_id) for image_id in gallery.items.image_ids]
    if bundle.index.kind != "ivfpq":  # whose codes are of what the old ones stand for
        assert np.array_equal(gallery.index.vectors(), bundle.index.vectors(np.array(chosen)))
    assert gallery.items.thumbnail(199) == bundle.items.thumbnail(len(bundle.index) - 1)
    whole = of_size(bundle, len(bundle.index)).gallery
    assert isinstance(whole, BundleGallery)
    assert whole.index is bundle.index


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [name for name in EVERY if name != "ivfpq-probes"]
)  # it needs more images than val has
@pytest.mark.parametrize("reencode", [False, True])
def test_the_lists_of_the_evaluation_are_those_that_a_user_gets(
    root: Path, params: Params, name: str, reencode: bool
) -> None:
    bundle, catalog = bundle_of(root, name, ("val",)), Catalog.open(root / "data/catalog")
    retriever, settings = LocalRetriever.of(bundle), evaluation_settings(params)
    result = evaluate_split(retriever, catalog, None, "val", settings, reencode_gallery=reencode)
    plain, reranked = (result.run("consumer->shop", "encoder", rerank) for rerank in ("none", "k_reciprocal"))
    assert plain is not None
    assert reranked is not None
    assert not np.array_equal(plain.top, reranked.top)
    asked = list(catalog.rows(plain.queries.rows[:40]))
    for wanted, run in ((False, plain), (True, reranked)):
        for row, top in zip(asked, run.top, strict=False):
            hits = retriever.search(row["image"], k=10, rerank=wanted)
            assert [hit.image_id for hit in hits] == [result.gallery.image_ids[at] for at in top if at >= 0]


def test_a_search_that_finds_nothing_has_nothing_to_re_rank(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(*_: object) -> composition.Listed:
        ended = composition.RankedLists(np.full((1, 50), -1), np.full((1, 50), -np.inf, dtype=np.float32))
        return composition.Listed(ended, retriever.gallery)  # type: ignore[arg-type]

    retriever = LocalRetriever.of(bundle_of(root, "flat", ("val",)))
    monkeypatch.setattr(composition, "nearest", nothing)
    monkeypatch.setattr(grouping, "merged", nothing)
    blank = np.zeros((8, 8, 3), dtype=np.uint8)
    assert retriever.search(blank, k=10, rerank=True) == []
    search = composition.Composition.of(retriever.nets, retriever.gallery, "photo")
    found = search([blank], 10, {"served": retriever.rerank}).reranked["served"]
    assert found.reasons(search.ask([blank], search.encode([blank])), 10) == [[()] * 10]
