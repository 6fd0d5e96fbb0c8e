"""Evaluation of bundles: against loops over every gallery photo, and what it must not depend on."""

import json
from math import comb

import numpy as np
import pytest

from croquis.catalog.images import encode_png
from croquis.catalog.table import Catalog, CatalogWriter
from croquis.evaluation.evaluate_bundle import EvaluationSettings, evaluate_split
from croquis.evaluation.protocol import (
    PAIRS,
    ProtocolError,
    count_relevant,
    label_codes,
    open_gallery,
    open_queries,
    own_rows,
)
from croquis.evaluation.results import headline
from croquis.figures.evaluation_pictures import first_reranked
from croquis.figures.rerank_sheet import rerank_sheet
from croquis.index.ranking import label_blind_keys
from croquis.search.local_retriever import LocalRetriever
from tests.support.catalogues import blob_catalogue as world

SETTINGS = EvaluationSettings(depth=50, resamples=200, chunk=7, seed=3, edges="canny", edge_size=32)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    world.write_histogram_bundle(folder, world.write_catalogue(folder))
    return folder


def evaluate(root, split="test", settings=SETTINGS, data=None, **options):
    data = data or root
    retriever = LocalRetriever.load(root / "models/bundles/histogram")
    catalogs = Catalog.open(data / "data/catalog"), Catalog.open(data / "data/sketches")
    return evaluate_split(retriever, *catalogs, split, settings, **options)


@pytest.fixture(scope="module")
def result(root):
    return evaluate(root)


def slow_ranking(query, gallery):
    """Gallery rows by cosine, ties by the hash of the id: one query, one photo at a time."""
    (asked,) = world.vectors_of([query])
    keys = label_blind_keys([row["image_id"] for row in gallery]).tolist()
    scores = [float(np.float32(np.dot(asked.astype(float), v.astype(float)))) for v in world.vectors_of(gallery)]
    return [gallery[i] for i in sorted(range(len(gallery)), key=lambda i: (-scores[i], keys[i]))]


@pytest.mark.parametrize(("pair", "domain", "path"), [
    ("consumer->shop", "consumer", "encoder"), ("shop->shop", "shop", "encoder"), ("sketch->shop", "sketch", "direct"),
])  # fmt: skip
def test_every_metric_of_every_query_matches_a_loop_over_the_whole_gallery(result, pair, domain, path):
    listed = [row for row in world.rows() if row["split"] == "test"]
    gallery = [row for row in listed if row["role"] == "gallery"]
    run = result.run(pair, path)
    asked = {row["image_id"]: row for row in listed if row["domain"] == domain and row["role"] == "query"}
    assert sorted(run.queries.image_ids) == sorted(asked)
    for position, image_id in enumerate(run.queries.image_ids):
        ranked = slow_ranking(asked[image_id], gallery)
        right = [rank for rank, row in enumerate(ranked, 1) if row["item_id"] == asked[image_id]["item_id"]]
        assert run.ranks[position] == right[0]
        found = {name: values[position] for name, values in run.metrics.items()}
        assert found["hit@1"] == float(right[0] == 1)
        assert found["hit@5"] == float(right[0] <= 5)
        assert found["precision@5"] == pytest.approx(sum(rank <= 5 for rank in right) / 5)
        assert found["mrr"] == pytest.approx(1 / right[0])
        assert found["map@r"] == pytest.approx(sum((i + 1) / rank for i, rank in enumerate(right) if rank <= 2) / 2)
        top = [result.gallery.image_ids[row] for row in run.top[position]]
        assert top == [row["image_id"] for row in ranked[:10]]


def test_sketches_are_searched_by_every_path_that_the_bundle_allows(result):
    assert [(run.pair, run.path, run.rerank) for run in result.runs] == [
        ("consumer->shop", "encoder", "none"),
        ("shop->shop", "encoder", "none"),
        ("sketch->shop", "direct", "none"),
        ("sketch->shop", "edges", "none"),
    ]
    # Drawings carry the form of the rectangle, and their edges find it without colour: chance is 2 of 18.
    assert result.run("sketch->shop", "edges").metrics["hit@1"].mean() > 3 * 2 / 18


def test_only_pairs_with_queries_are_measured(root):
    retriever = LocalRetriever.load(root / "models/bundles/histogram")
    measured = evaluate_split(retriever, Catalog.open(root / "data/catalog"), None, "val", SETTINGS)
    assert {run.pair for run in measured.runs} == {"consumer->shop", "shop->shop"}
    assert [run.pair for run in evaluate(root, pairs=PAIRS[1:2]).runs] == ["shop->shop"]


def test_the_order_of_the_catalogue_changes_nothing(result, tmp_path):
    world.write_histogram_bundle(tmp_path, world.write_catalogue(tmp_path, shuffle=5))
    shuffled = evaluate(tmp_path)
    assert shuffled.summary() == result.summary()
    order = [("pair", "ascending"), ("path", "ascending"), ("query_id", "ascending")]
    assert shuffled.table().sort_by(order).equals(result.table().sort_by(order))


def test_neither_the_chunk_nor_a_second_run_changes_a_byte(root, result):
    settings = EvaluationSettings(**(SETTINGS.__dict__ | {"chunk": 64}))
    for again in (evaluate(root), evaluate(root, settings=settings)):
        assert json.dumps(again.summary(), sort_keys=True) == json.dumps(result.summary(), sort_keys=True)


def test_equal_photos_of_different_items_are_not_ordered_by_their_labels(tmp_path):
    photo = next(world.rows())["image"]
    with CatalogWriter(tmp_path / "data/catalog") as writer:
        for number in range(60):
            base = {"item_id": f"i{number:02d}", "split": "test", "category": "dress", "attributes": [], "image": photo}
            writer.write(base | {"image_id": f"g{number:02d}", "domain": "shop", "role": "gallery"})
            writer.write(base | {"image_id": f"q{number:02d}", "domain": "consumer", "role": "query"})
    catalog = Catalog.open(tmp_path / "data/catalog")
    retriever = LocalRetriever.load(world.write_histogram_bundle(tmp_path, catalog))
    result = evaluate_split(retriever, catalog, None, "test", SETTINGS)
    run = result.run("consumer->shop", "encoder")
    # All scores are equal: every query sees one and the same list, in the order of the hashes.
    ids = [f"g{number:02d}" for number in range(60)]
    expected = [ids[i] for i in np.argsort(label_blind_keys(ids))[:10]]
    assert {tuple(result.gallery.image_ids[top]) for top in run.top} == {tuple(expected)}
    assert run.metrics["hit@1"].sum() == 1
    assert run.metrics["hit@50"].sum() == 50


def test_a_gallery_that_is_encoded_afresh_gives_what_the_index_gives(root, result):
    assert evaluate(root, reencode_gallery=True).summary() == result.summary()


def test_an_old_bundle_is_refused_on_a_new_catalogue_unless_it_encodes_the_gallery(root, tmp_path):
    old = Catalog.open(root / "data/catalog")
    with CatalogWriter(tmp_path / "data/catalog") as writer:
        for row in old.rows():
            writer.write(row | {"image_id": f"new/{row['image_id']}"})
    retriever, catalog = LocalRetriever.load(root / "models/bundles/histogram"), Catalog.open(tmp_path / "data/catalog")
    with pytest.raises(ProtocolError, match=r"lacks 18 of 18 gallery photos, first 'new/.*reencode_gallery"):
        evaluate_split(retriever, catalog, None, "test", SETTINGS)
    fresh = evaluate_split(retriever, catalog, None, "test", SETTINGS, reencode_gallery=True)
    assert len(fresh.run("consumer->shop", "encoder").queries) == 18


def test_queries_and_galleries_are_searched_in_pieces(root, monkeypatch):
    seen = []
    plain = LocalRetriever.encode_photos
    monkeypatch.setattr(
        LocalRetriever, "encode_photos", lambda self, images: seen.append(len(images)) or plain(self, images)
    )
    evaluate(root, reencode_gallery=True)
    assert max(seen) == SETTINGS.chunk


def test_attributes_of_queries_are_never_read(root, result, tmp_path):
    world.write_catalogue(tmp_path, attributes=["form:wrong"])
    assert evaluate(root, data=tmp_path).summary() == result.summary()


def test_intervals_hold_their_means_and_chance_is_the_hypergeometric_one(result):
    run = next(run for run in result.summary()["runs"] if run["pair"] == "consumer->shop")
    for found in run["metrics"].values():
        assert found["low"] <= found["value"] <= found["high"]
    for k in (1, 5, 10):
        expected = 1 - comb(18 - 2, k) / comb(18, k)
        assert run["metrics"][f"hit@{k}"]["chance"] == pytest.approx(expected, abs=1e-6)
    assert (run["queries"], run["items"], run["unmatched_queries"]) == (18, 9, 0)
    assert sum(found["queries"] for found in run["categories"].values()) == 18
    names = headline(result.summary())
    assert set(names) == {"consumer->shop", "shop->shop", "sketch->shop.direct", "sketch->shop.edges"}
    assert names["consumer->shop"]["hit@1"] == run["metrics"]["hit@1"]["value"]


def tiny_catalogue(folder, entries):
    photo = next(world.rows())["image"]
    with CatalogWriter(folder / "data/catalog") as writer:
        for image_id, item, domain, role in entries:
            row = {"image_id": image_id, "item_id": item, "domain": domain, "split": "test", "role": role}
            writer.write(row | {"category": "dress", "attributes": [], "image": photo})
    return Catalog.open(folder / "data/catalog")


def test_a_sketch_does_not_find_the_photo_it_was_traced_from(tmp_path):
    catalog = tiny_catalogue(tmp_path, [
        ("a/1", "a", "shop", "gallery"), ("a/2", "a", "shop", "gallery"), ("b/1", "b", "shop", "gallery"),
        ("sketch-of/a/1", "a", "sketch", "query"), ("sketch-of/b/1", "b", "sketch", "query"),
    ])  # fmt: skip
    gallery, queries = open_gallery(catalog, "test"), open_queries(catalog, "test", PAIRS[2])
    own = own_rows(queries, gallery)
    removed = [{str(gallery.image_ids[row]) for row in rows if row >= 0} for rows in own]
    assert removed == [{"a/1"}, {"b/1"}]
    assert count_relevant(*label_codes(queries, gallery), own).tolist() == [1, 0]
    retriever = LocalRetriever.load(world.write_histogram_bundle(tmp_path, catalog))
    run = evaluate_split(retriever, catalog, None, "test", SETTINGS).run("sketch->shop", "direct")
    assert (run.queries.image_ids.tolist(), run.unmatched, run.gallery_sizes.tolist()) == (["sketch-of/a/1"], 1, [2])
    assert "a/1" not in {gallery.image_ids[row] for row in run.top[0] if row >= 0}
    assert (run.top[0] >= 0).sum() == 2


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([("a/1", "a", "shop", "query"), ("b/1", "b", "shop", "train")], "no shop photos with role gallery"),
        ([("a/1", "a", "shop", "gallery"), ("b/1", "b", "shop", "query")], "no query with a right answer"),
    ],
)
def test_splits_that_cannot_be_measured_are_refused(tmp_path, entries, message):
    catalog = tiny_catalogue(tmp_path, entries)
    retriever = LocalRetriever.load(world.write_histogram_bundle(tmp_path, catalog))
    with pytest.raises(ProtocolError, match=message):
        evaluate_split(retriever, catalog, None, "test", SETTINGS)


def test_lists_shorter_than_the_largest_reported_k_are_refused():
    with pytest.raises(ValueError, match=r"evaluate\.depth is 20, must be at least the largest reported k"):
        EvaluationSettings(depth=20, resamples=10, chunk=1, seed=0, edges="canny", edge_size=32)


def olive(number):
    """Between the gallery's red and green, labelled green by a hair, with the dark patch of garment `number`."""
    image = np.full((32, 32, 3), (132, 134, 0), dtype=np.uint8)
    row, column = divmod(number, 4)
    image[row * 8 : row * 8 + 8, column * 8 : column * 8 + 8] = 40
    return encode_png(image)


class TestGeneratorAndReranking:
    """With the hand-made nets: a generator that dims green and blue, and a classifier that reads mean colours.

    Every query shows a red item in olive: its vector lies between the red and the green photos, it is labelled green, and
    the photo painted from it is dark red, which gets no label. Re-ranking must therefore do harm.
    """

    rerank = {**world.RERANK, "depth": 36, "beta": 100.0}  # noqa: RUF012

    @pytest.fixture
    def measured(self, make_bundle, tmp_path):
        retriever = LocalRetriever.load(make_bundle(rerank={**self.rerank, "gallery_attributes": "predicted"}))
        with CatalogWriter(tmp_path / "data/catalog") as writer:
            for number, row in enumerate(retriever.bundle.items.table.to_pylist()):
                gallery = {key: value for key, value in row.items() if key != "predicted_attributes"}
                writer.write(gallery | {"image": retriever.bundle.items.thumbnail(number)})
                for domain in ("consumer", "sketch") if "red" in row["image_id"] else ():
                    picture = olive(int(row["image_id"].split("-")[1]))
                    asked = {"image_id": f"{domain}/{row['image_id']}", "domain": domain, "role": "query"}
                    writer.write(gallery | asked | {"image": picture, "attributes": ["colour:blue"]})
        catalog = Catalog.open(tmp_path / "data/catalog")
        return {
            fresh: evaluate_split(retriever, catalog, catalog, "test", SETTINGS, reencode_gallery=fresh)
            for fresh in (False, True)
        }

    def test_three_paths_stand_side_by_side_before_and_after(self, measured):
        assert [(run.path, run.rerank) for run in measured[False].runs] == [
            ("encoder", "none"), ("encoder", "attributes"),
            ("gan", "none"), ("gan", "attributes"),
            ("direct", "none"), ("direct", "attributes"),
            ("edges", "none"),
        ]  # fmt: skip

    def colours(self, result, path, rerank):
        run = next(run for run in result.runs if (run.path, run.rerank) == (path, rerank))
        return [{result.gallery.image_ids[row].split("-")[0] for row in top} for top in run.top]

    def test_results_of_the_predicted_colour_come_to_the_front(self, measured):
        # Predicted from the picture: the catalogue calls every query blue.
        assert all(len(seen) == 2 for seen in self.colours(measured[False], "encoder", "none"))
        assert all(seen == {"green"} for seen in self.colours(measured[False], "encoder", "attributes"))
        assert all(seen == {"green"} for seen in self.colours(measured[False], "direct", "attributes"))

    def test_the_painted_photo_and_not_the_sketch_is_searched_and_labelled(self, measured):
        assert all(seen == {"red"} for seen in self.colours(measured[False], "gan", "none"))
        assert all(seen == {"red"} for seen in self.colours(measured[False], "gan", "attributes"))

    def test_the_gain_is_paired_with_the_plain_run(self, measured):
        result = measured[False]
        before, after = result.run("consumer->shop", "encoder"), result.run("consumer->shop", "encoder", "attributes")
        summary = next(run for run in result.summary()["runs"] if run["rerank"] == "attributes")
        expected = (after.metrics["mrr"] - before.metrics["mrr"]).mean()
        assert expected < -0.1
        assert summary["gain"]["mrr"]["value"] == pytest.approx(expected, abs=1e-6)
        assert summary["gain"]["mrr"]["probability"] < 0.05
        assert "consumer->shop+attributes" in headline(result.summary())

    def test_a_move_is_told_with_its_reason(self, measured):
        """Green results came up, from behind red ones, because they are green."""
        result = measured[False]
        plain, run = result.run("consumer->shop", "encoder"), result.run("consumer->shop", "encoder", "attributes")
        assert plain.before is None
        for query in range(len(run.top)):
            ids = [result.gallery.image_ids[row] for row in run.top[query]]
            assert all(name.startswith("green") for name in ids)
            moved = list(zip(run.before[query] > np.arange(len(ids)), run.reasons[query], strict=True))
            assert any(up for up, _ in moved)
            assert all(reasons == ("colour:green",) for up, reasons in moved if up)
        sheet = rerank_sheet(run, result.gallery, 3, "what moved")
        assert sheet.size[0] > 8 * 100
        with pytest.raises(ValueError, match="was not re-ranked"):
            rerank_sheet(plain, result.gallery, 3, "nothing")

    @pytest.mark.slow
    def test_steps_to_compare_are_measured_after_the_served_ones(self, measured, make_bundle, tmp_path):
        assert measured, "the catalogue is there"
        block = {**self.rerank, "gallery_attributes": "predicted", "steps": ["alpha_qe", "attributes"]}
        bundle = make_bundle("other", rerank={**block, "compare": ["k_reciprocal", "probability"]})
        result = evaluate_split(
            LocalRetriever.load(bundle), Catalog.open(tmp_path / "data/catalog"), None, "test", SETTINGS
        )
        assert [run.rerank for run in result.runs if run.pair == "consumer->shop"] == [
            "none", "alpha_qe+attributes", "k_reciprocal", "probability",
        ]  # fmt: skip
        assert first_reranked(result).rerank == "alpha_qe+attributes"

    def test_fresh_vectors_and_attributes_rank_as_the_stored_ones(self, measured):
        # The tiny bundle's thumbnails are JPEGs of its photos, so that fresh vectors differ a little in value.
        for path in ("encoder", "gan", "direct"):
            assert self.colours(measured[True], path, "attributes") == self.colours(measured[False], path, "attributes")
