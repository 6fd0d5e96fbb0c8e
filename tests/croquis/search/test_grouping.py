"""Products instead of photos: the answer of every kind of index is the grouping of its whole ranking, by plain Python."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from croquis.bundle.gallery_file import METADATA
from croquis.bundle.gallery_table import GalleryTable
from croquis.catalog.filters import Filters, QueryError
from croquis.search.gallery import BundleGallery, SearchedGallery
from croquis.search.grouping import AnswerForm, centre, centres, merged
from croquis.search.local_retriever import Hit, LocalRetriever
from croquis.store.stored_gallery import StoreGallery
from croquis.store.vector_store import StoreChange, StoredImage, StoreSpec
from croquis.store.versions import open_stores
from tests.support import tiny_retriever as tiny
from tests.support.indexes import CODED, DENSE, DIM, clustered, index_of

Make = Callable[..., Path]
IMAGES = 400
CASES = DENSE | CODED
Ranking = list[tuple[str, str, float]]  # image, product, score


def products(count: int = IMAGES) -> list[str]:
    """One product has a third of all photos, the others one to six."""
    rng = np.random.default_rng(11)
    numbers = np.where(rng.random(count) < 0.33, 0, 1 + rng.integers(0, 90, size=count))
    return [f"item-{number}" for number in numbers]


def gallery_of(case: str) -> BundleGallery:
    names = products()
    rows = [
        {
            "image_id": f"image-{number:04d}",
            "item_id": item_id,
            "category": ("dress", "coat")[number % 2],
            "domain": "shop",
            "split": "test",
            "role": "gallery",
            "view": None,
            "attributes": [],
            "predicted_attributes": [],
        }
        for number, item_id in enumerate(names)
    ]
    table = pa.Table.from_pylist(rows, schema=METADATA)
    return BundleGallery(index_of(clustered(IMAGES), **CASES[case]), GalleryTable(table, lambda _: b""), None)


def whole_ranking(gallery: SearchedGallery, query: np.ndarray, filters: Filters = Filters()) -> Ranking:  # noqa: B008
    listed = gallery.search(query[None], IMAGES + 50, filters)
    rows = [row for row in listed.ranked.rows[0].tolist() if row >= 0]
    records = listed.images.records(rows)
    scores = listed.ranked.scores[0].tolist()
    return [(record["image_id"], record["item_id"], score) for record, score in zip(records, scores, strict=False)]


def grouped(ranking: Ranking, k: int, most: int = 1) -> Ranking:
    """The oracle."""
    order = list(dict.fromkeys(item_id for _, item_id, _ in ranking))[:k]
    return [each for item_id in order for each in [line for line in ranking if line[1] == item_id][:most]]


def answer(
    gallery: SearchedGallery,
    queries: np.ndarray,
    k: int,
    form: AnswerForm,
    filters: Filters = Filters(),  # noqa: B008
) -> Ranking:
    listed = form.listed(lambda depth: gallery.search(queries, depth, filters), k)
    ranked = form.answer(listed.ranked, listed.images, k)
    rows = [row for row in ranked.rows[0].tolist() if row >= 0]
    found = zip(listed.images.records(rows), ranked.scores[0].tolist(), strict=False)
    return [(record["image_id"], record["item_id"], score) for record, score in found]


@pytest.mark.slow
@pytest.mark.parametrize("most", [1, 3])
@pytest.mark.parametrize("case", CASES)
def test_every_kind_of_index_gives_the_grouping_of_its_whole_ranking(case: str, most: int) -> None:
    gallery, form = gallery_of(case), AnswerForm("item", most)
    for query in clustered(6, seed=3):
        ranking = whole_ranking(gallery, query)
        for k in (1, 5, 40, 200):
            assert answer(gallery, query[None], k, form) == grouped(ranking, k, most)


@pytest.mark.parametrize("case", ["flat-cosine", "ivfpq-cosine", "hnsw-cosine", "binary-ivf-symmetric"])
def test_products_pass_filters_as_photos_do(case: str) -> None:
    gallery, filters = gallery_of(case), Filters(category=("coat",))
    for query in clustered(4, seed=4):
        ranking = whole_ranking(gallery, query, filters)
        assert len(ranking) == IMAGES // 2
        assert answer(gallery, query[None], 12, AnswerForm("item", 2), filters) == grouped(ranking, 12, 2)


@pytest.mark.parametrize("case", [name for name in CASES if "hnsw" not in name])
def test_several_photos_give_each_image_its_best_score(case: str) -> None:
    gallery, queries = gallery_of(case), clustered(3, seed=5)
    best: dict[str, tuple[str, float]] = {}
    for query in queries:
        for image_id, item_id, score in whole_ranking(gallery, query):
            if image_id not in best or score > best[image_id][1]:
                best[image_id] = item_id, score
    keys = dict(zip(gallery.items.image_ids, gallery.items.keys.tolist(), strict=True))
    ranking = sorted(
        ((image_id, item_id, score) for image_id, (item_id, score) in best.items()),
        key=lambda line: (-line[2], keys[line[0]]),
    )
    assert answer(gallery, queries, 25, AnswerForm("item")) == grouped(ranking, 25)
    assert answer(gallery, queries, 25, AnswerForm("none")) == ranking[:25]
    assert answer(gallery, queries[::-1], 25, AnswerForm("item")) == grouped(ranking, 25)


def test_several_photos_along_a_graph_give_the_merge_of_their_whole_lists() -> None:
    case = next(name for name in DENSE if "hnsw" in name)
    gallery, queries = gallery_of(case), clustered(3, seed=5)
    listed = merged(gallery.search(queries, IMAGES + 50, Filters()))
    rows = [row for row in listed.ranked.rows[0].tolist() if row >= 0]
    whole = [
        (record["image_id"], record["item_id"], score)
        for record, score in zip(gallery.records(rows), listed.ranked.scores[0].tolist(), strict=False)
    ]
    assert answer(gallery, queries, 30, AnswerForm("item", 2)) == grouped(whole, 30, 2)


def test_the_centre_counts_directions_alike() -> None:
    vectors = np.array([[10.0, 0.0], [0.0, 1.0]], dtype=np.float32)
    np.testing.assert_allclose(centre(vectors, "cosine"), [[0.5, 0.5]])
    np.testing.assert_allclose(centre(vectors, "l2"), [[5.0, 0.5]])


@pytest.mark.parametrize("metric", ["cosine", "l2"])
def test_centres_are_those_of_each_group_in_a_row(metric: str) -> None:
    vectors = np.random.default_rng(4).normal(size=(12, 5)).astype(np.float32)
    expected = np.concatenate([centre(vectors[start : start + 3], metric) for start in range(0, 12, 3)])
    np.testing.assert_array_equal(centres(vectors, metric, 3), expected)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["flat", "hnsw"])
@pytest.mark.parametrize("changed", [False, True])
def test_a_store_groups_what_it_holds_at_the_moment(tmp_path: Path, kind: str, changed: bool) -> None:
    """A changed one searches a layer over what it was filled with."""
    stores = open_stores(f"faiss:{tmp_path}", "shop")
    store = stores.create(StoreSpec("ab" * 32, "dense", "cosine", DIM, kind))
    images = [
        StoredImage(f"image-{number:04d}", item_id, 1, "dress", "shop", ()) for number, item_id in enumerate(products())
    ]
    store.upsert(images, clustered(IMAGES))
    gallery = StoreGallery.__new__(StoreGallery)  # of a bundle that has no classifier
    gallery.kept, gallery._names = store, None
    whole_ranking(gallery, clustered(1)[0])
    if changed:
        more = [StoredImage(f"late-{number}", f"item-{number % 7}", 2, "coat", "shop", ()) for number in range(30)]
        gone = [image.image_id for image in images[::9]]
        store.change(StoreChange(more, clustered(30, seed=8), [b""] * 30, gone=gone))
    for query in clustered(3, seed=6):
        ranking = whole_ranking(gallery, query)
        for k, most in ((1, 1), (10, 1), (10, 3), (300, 2)):
            assert answer(gallery, query[None], k, AnswerForm("item", most)) == grouped(ranking, k, most)
    queries = clustered(2, seed=9)
    whole = answer(gallery, queries, IMAGES + 50, AnswerForm("none"))
    assert answer(gallery, queries, 15, AnswerForm("item")) == grouped(whole, 15)
    stores.close()


@pytest.fixture
def retriever(make_bundle: Make) -> LocalRetriever:
    return LocalRetriever.load(make_bundle())


def told(hits: Sequence[Hit]) -> Ranking:
    assert [hit.rank for hit in hits] == list(range(1, len(hits) + 1))
    return [(hit.image_id, hit.item_id, hit.score) for hit in hits]


@pytest.mark.parametrize("rerank", [False, True])
def test_products_of_a_search_are_those_of_its_list_re_ranked_or_not(retriever: LocalRetriever, rerank: bool) -> None:
    picture: Any = tiny.picture_of("green-03")
    everything = told(retriever.search(picture, k=36, rerank=rerank))
    for k, most in ((1, 1), (5, 1), (18, 1), (4, 2), (4, 10)):
        found = retriever.search(picture, k=k, rerank=rerank, group_by="item", max_per_item=most)
        assert told(found) == grouped(everything, k, most)


def test_two_photos_of_a_product_find_both_of_its_places(retriever: LocalRetriever) -> None:
    views = [tiny.picture_of("red-04"), tiny.picture_of("blue-08")]
    best = retriever.search(views, k=2)
    assert {hit.image_id for hit in best} == {"red-04", "blue-08"}
    assert [hit.item_id for hit in retriever.search(views, k=2, group_by="item")] == [hit.item_id for hit in best]
    both = retriever.search(views, k=36, combine="mean")
    assert both != retriever.search(views, k=36)
    assert both == retriever.search(views[::-1], k=36, combine="mean")
    assert retriever.search(views[:1], k=5) == retriever.search(views[0], k=5)
    assert len(retriever.search(views, k=5, rerank=True)) == 5


def test_similar_products_leave_out_the_product_itself(retriever: LocalRetriever) -> None:
    images = told(retriever.similar("green-05", k=35))
    others = [line for line in images if line[1] != "item-green-2"]
    assert told(retriever.similar("green-05", k=6, item_id="item-green-2")) == others[:6]
    assert told(retriever.similar("green-05", k=6, item_id="item-green-2", group_by="item")) == grouped(others, 6)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"group_by": "category"}, "group_by = 'category' must be one of none, item"),
        ({"max_per_item": 0}, "max_per_item = 0 must be a whole number from 1 to 10"),
        ({"max_per_item": True}, "max_per_item = True must be"),
        ({"combine": "median"}, "combine = 'median' must be one of max, mean"),
        ({"picture": []}, "picture = 0 pictures came, must be 1 to 10"),
        ({"picture": [tiny.picture_of("red-00")] * 11}, "picture = 11 pictures came"),
        ({"picture": [tiny.picture_of("red-00")] * 2, "bbox": [0, 0, 9, 9]}, "bbox = .* is for one picture, 2 came"),
    ],
)
def test_a_wrong_form_is_refused(retriever: LocalRetriever, asked: dict[str, Any], message: str) -> None:
    with pytest.raises(QueryError, match=message):
        retriever.search(**{"picture": tiny.picture_of("red-00"), **asked})
