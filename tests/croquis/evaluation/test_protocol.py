"""Every protocol against loops over its gallery, ties included, and what no figure may depend on."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest

from croquis.catalog.images import encode_png
from croquis.catalog.table import Catalog, CatalogWriter
from croquis.evaluation import metrics, ranked_answers
from croquis.evaluation.evaluate_bundle import EvaluationSettings, evaluate_split
from croquis.evaluation.protocol import (
    INSTANCE,
    PAIRS,
    PROTOCOLS,
    ProtocolError,
    count_relevant,
    label_codes,
    open_gallery,
    open_queries,
    own_rows,
)
from croquis.index.build import build_index
from croquis.index.ranking import RankedLists, label_blind_keys, relevance_of
from croquis.search.composition import Composition
from croquis.search.local_retriever import LocalRetriever
from tests.support.catalogues import blob_catalogue as world

SETTINGS = EvaluationSettings(depth=50, resamples=50, chunk=7, seed=3, edges="canny", edge_size=32)
# Every shipped one, and one whose depth is far below the gallery's size.
CASES = [*PROTOCOLS.values(), replace(PROTOCOLS["cifar10_c"], name="shallow", depth=4)]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    world.write_histogram_bundle(folder, world.write_catalogue(folder))
    return folder


def evaluate(root, protocol, **changes):
    retriever = LocalRetriever.load(root / "models/bundles/histogram")
    catalog, settings = Catalog.open(root / "data/catalog"), replace(SETTINGS, protocol=protocol, **changes)
    return evaluate_split(retriever, catalog, None, "test", settings, pairs=PAIRS[:2])


def slow_average_precision(right, relevant, name, normaliser):
    """`right` is one query's whole list of booleans; straight from the definitions."""
    depth = {"map@r": relevant, "map@all": len(right)}.get(name) or int(name.removeprefix("map@"))
    total, hits = 0.0, 0
    for rank, is_right in enumerate(right[:depth], start=1):
        hits += is_right
        total += hits / rank if is_right else 0.0
    divisor = {"map@r": relevant, "hits": hits}.get(name if name == "map@r" else normaliser, min(relevant, depth))
    return total / divisor if divisor else 0.0


@pytest.mark.parametrize("protocol", CASES, ids=lambda protocol: protocol.name)
def test_every_metric_of_every_query_matches_a_loop_over_the_gallery(root, protocol):
    listed = {row["image_id"]: row for row in world.rows()}
    searched = [
        row for row in listed.values()
        if row["domain"] == "shop" and (row["split"] == "train" if protocol.gallery == "train"
                                        else (row["split"], row["role"]) == ("test", "gallery"))
    ]  # fmt: skip
    key = "item_id" if protocol.relevance == "item" else "category"
    keys = label_blind_keys([row["image_id"] for row in searched]).tolist()
    vectors = world.vectors_of(searched).astype(float)
    run = evaluate(root, protocol).run("consumer->shop", "encoder")
    assert len(run.queries) == 18
    for position, image_id in enumerate(run.queries.image_ids):
        asked = listed[image_id]
        scores = (vectors @ world.vectors_of([asked])[0].astype(float)).astype(np.float32)
        order = sorted(range(len(searched)), key=lambda i: (-scores[i], keys[i]))
        right = [searched[i][key] == asked[key] for i in order]
        found = {name: values[position] for name, values in run.metrics.items()}
        expected = slow_average_precision(right, sum(right), protocol.average_precision, protocol.normaliser)
        assert found[protocol.average_precision] == pytest.approx(expected)
        assert found["hit@1"] == float(right[0])
        assert found["precision@5"] == pytest.approx(sum(right[:5]) / 5)
        assert found["mrr"] == pytest.approx(1 / (right.index(True) + 1))
        assert run.n_relevant[position] == sum(right)


def tied_catalogue(folder, shuffle):
    """Three pictures that every image shows one of, whatever its class: nothing but ties."""
    rng = np.random.default_rng(5)
    colours = rng.integers(0, 256, (3, 3))
    pictures = [encode_png(np.broadcast_to(colour, (32, 32, 3)).astype(np.uint8)) for colour in colours]
    rows = []
    for split, role, domain, count in (
        ("train", "train", "shop", 70), ("test", "gallery", "shop", 80), ("test", "query", "consumer", 40)
    ):  # fmt: skip
        for number in range(count):
            name, item = f"{split}-{role}-{number}", f"{split}-{number % 40}"
            category, picture = f"class-{rng.integers(4)}", pictures[rng.integers(3)]
            row = {"image_id": name, "item_id": item, "domain": domain, "split": split, "role": role}
            rows.append(row | {"category": category, "attributes": [], "image": picture})
    # Sorted by class, as databases of benchmarks often are, or in any other order.
    order = (
        np.argsort([row["category"] for row in rows])
        if shuffle is None
        else np.random.default_rng(shuffle).permutation(len(rows))
    )
    with CatalogWriter(folder / "data/catalog", 16) as writer:
        writer.write_all(rows[i] for i in order)
    return Catalog.open(folder / "data/catalog")


@pytest.fixture(scope="module")
def tied(tmp_path_factory):
    """The same images in the order of their classes, and in two others; a bundle of each."""
    folders = [tmp_path_factory.mktemp("tied") for _ in range(3)]
    for folder, shuffle in zip(folders, (None, 1, 2), strict=True):
        world.write_histogram_bundle(folder, tied_catalogue(folder, shuffle))
    return folders


@pytest.mark.slow
@pytest.mark.parametrize("protocol", CASES, ids=lambda protocol: protocol.name)
def test_shuffling_the_database_changes_no_metric_though_all_is_tied(tied, protocol):
    first, *others = (json.dumps(evaluate(folder, protocol).summary(), sort_keys=True) for folder in tied)
    assert [other == first for other in others] == [True, True]
    found = json.loads(first)["runs"][0]["metrics"][protocol.average_precision]
    # Pictures tell nothing of the class, so that a rule which peeked at labels or storage would stand out from chance.
    assert found["value"] == pytest.approx(found["chance"], abs=0.12)


@pytest.mark.slow
@pytest.mark.parametrize("protocol", CASES, ids=lambda protocol: protocol.name)
def test_the_memory_held_at_a_time_changes_no_metric(tied, protocol, monkeypatch):
    plain = evaluate(tied[0], protocol).summary()
    monkeypatch.setattr(ranked_answers, "CELLS", 150)
    looked, ranked = watched(monkeypatch)
    assert evaluate(tied[0], protocol, chunk=64).summary() == plain
    held = max(1, 150 // protocol.list_depth(50, 80 if protocol.gallery == "split" else 70))
    assert (max(looked), max(ranked)) == (held, held)


def test_queries_are_searched_together_however_few_pictures_are_held(tied, monkeypatch):
    plain = evaluate(tied[0], CASES[0], chunk=64).summary()
    monkeypatch.setattr(ranked_answers, "BLOCK", 20)
    looked, ranked = watched(monkeypatch)
    assert evaluate(tied[0], CASES[0], chunk=7).summary() == plain
    assert (max(looked), max(ranked)) == (7, 14)


def watched(monkeypatch):
    """How many queries come at a time to be looked at, and to be ranked."""
    looked, ranked = [], []
    look, rank = Composition.look, Composition.rank
    monkeypatch.setattr(
        Composition, "look", lambda search, pictures: looked.append(len(pictures)) or look(search, pictures)
    )
    monkeypatch.setattr(
        Composition,
        "rank",
        lambda search, asked, *rest: ranked.append(len(asked.asked.vectors)) or rank(search, asked, *rest),
    )
    return looked, ranked


def test_the_label_blind_rule_is_the_average_over_ties_in_the_long_run():
    """Tie-averaged AP (McSherry and Najork 2008), here over every order of the ties, against many draws of ids."""
    vectors = np.repeat(np.eye(3, dtype=np.float32), (3, 3, 2), axis=0)
    labels = np.array([1, 0, 0, 1, 1, 0, 0, 1])
    query = np.array([[0.9, 0.4, 0.1]], dtype=np.float32)
    groups = [itertools.permutations(range(a, b)) for a, b in ((0, 3), (3, 6), (6, 8))]
    orders = [sum(order, ()) for order in itertools.product(*groups)]
    exact = np.mean([slow_average_precision(labels[list(order)] == 1, 4, "map@all", "retrievable") for order in orders])
    index, drawn = build_index(vectors, metric="cosine"), []
    for draw in range(800):
        keys = label_blind_keys([f"{draw}/{row}" for row in range(8)])
        scores, rows = index.search(query, 8, tiebreak=keys)
        relevance = relevance_of(RankedLists(rows, scores), np.array([1]), labels)
        drawn.append(metrics.named_average_precision("map@all", relevance, np.array([4]))[0])
    assert np.mean(drawn) == pytest.approx(exact, abs=4 * np.std(drawn) / np.sqrt(len(drawn)))
    assert np.std(drawn) > 0.02


@pytest.mark.parametrize("name", ["category", "cifar10_a", "cifar10_c"])
def test_a_query_is_never_its_own_answer(tmp_path, name):
    """Leave-one-out: the queries stand in the gallery themselves."""
    photo = next(world.rows())["image"]
    with CatalogWriter(tmp_path / "data/catalog") as writer:
        for split in ("train", "test"):
            for image_id, category in (("a", "dress"), ("b", "dress"), ("c", "coat")):
                row = {"image_id": f"{split}-{image_id}", "item_id": f"{split}-{image_id}", "domain": "shop"}
                role = "train" if split == "train" else "gallery"
                row |= {"split": split, "role": role, "category": category, "attributes": [], "image": photo}
                writer.write(row)
    catalog = Catalog.open(tmp_path / "data/catalog")
    gallery = open_gallery(catalog, "test", PROTOCOLS[name])
    asked = replace(open_queries(catalog, "test", PAIRS[1]), rows=gallery.rows, image_ids=gallery.image_ids,
                    item_ids=gallery.item_ids, categories=gallery.categories, bboxes=gallery.bboxes)  # fmt: skip
    own = own_rows(asked, gallery)
    assert own[:, 0].tolist() == [0, 1, 2]
    counts = dict(zip(asked.image_ids, count_relevant(*label_codes(asked, gallery), own).tolist(), strict=True))
    assert {key[-1]: value for key, value in counts.items()} == {"a": 1, "b": 1, "c": 0}


def test_a_summary_says_who_was_searched_and_how_deep(root):
    expected = {"instance": ("test", 18, 18), "category": ("train", 9, 9), "cifar10_a": ("test", 18, 18)}
    for name, (of, images, depth) in expected.items():
        gallery = evaluate(root, PROTOCOLS[name]).summary()["gallery"]
        assert (gallery["of"], gallery["images"], gallery["depth"]) == (of, images, depth)
    assert PROTOCOLS["cifar10_c"].to_json() == {
        "name": "cifar10_c", "relevance": "category", "gallery": "train", "depth": 1000, "normaliser": "hits",
        "average_precision": "map@1000",
    }  # fmt: skip


@pytest.mark.parametrize("protocol", CASES, ids=lambda protocol: protocol.name)
def test_lists_are_as_long_as_the_protocol_needs(protocol):
    asked = {"instance": 50, "category": 5000, "cifar10_a": 5000, "cifar10_c": 1000, "shallow": 50}
    assert protocol.list_depth(50, 5000) == asked[protocol.name]


def test_a_catalogue_without_the_gallery_that_a_protocol_searches_is_refused(tmp_path):
    rows = [row for row in world.rows() if row["split"] == "test" and row["role"] == "query"]
    with CatalogWriter(tmp_path / "data/catalog") as writer:
        writer.write_all(rows)
    catalog = Catalog.open(tmp_path / "data/catalog")
    with pytest.raises(ProtocolError, match=r"'category' searches the train split"):
        open_gallery(catalog, "test", PROTOCOLS["category"])
    with pytest.raises(ProtocolError, match=r"role gallery.*base\.protocol"):
        open_gallery(catalog, "test", INSTANCE)
