"""One suite for every engine: for the caller a store behaves alike, whichever keeps it (docs/scale.md has the table)."""

from __future__ import annotations

import dataclasses
import sqlite3
import threading
from collections import Counter

import numpy as np
import pytest

from croquis.bundle.gallery_table import held_probabilities
from croquis.catalog.filters import Filters, QueryError
from croquis.index.pq_index import PqIndex
from croquis.index.ranking import label_blind_keys
from croquis.store.image_rows import text_cell
from croquis.store.milvus_collections import make_images, make_notes
from croquis.store.milvus_store import MilvusStore, MilvusStores
from croquis.store.products import ItemState, apply, known_versions
from croquis.store.snapshot import load_snapshot, save_snapshot
from croquis.store.vector_store import StoredImage, StoreError, StoreSpec, VectorStore, WordedStore, spelt_codebooks
from croquis.store.versions import Stores, open_stores
from croquis.words.text_table import TABLE, creation
from croquis.words.word_scores import Vocabulary, best_rows, word_scores
from tests.support.store.store_sample import AWKWARD, DIM, IMAGES, SPEC, Engine, found, image, nearest, passes, vectors

pytestmark = pytest.mark.scale
GALLERY = [image(number) for number in range(IMAGES)]
VECTORS = vectors()
FILTERS = (
    Filters(category=("dress", AWKWARD)),
    Filters(attributes=("rare", AWKWARD)),
    Filters(colour=("red", "green"), category=("coat",)),
    Filters(domain=("consumer",)),
    Filters(attributes=("no such",)),
)


@pytest.fixture(scope="module")
def store(stores: Stores) -> VectorStore:
    filled = stores.create(SPEC)
    assert (filled.count(), filled.search(VECTORS[:1], 3), filled.get(["x"])) == (0, [[]], {})
    filled.upsert(GALLERY, VECTORS)
    return filled


def test_what_was_written_is_read_at_once(store: VectorStore) -> None:
    assert store.count() == IMAGES
    for number in range(3):
        new, vector = image(number, name="fresh"), vectors(1, seed=100 + number)
        store.upsert([new], vector)
        assert found(store.search(vector, 1)[0]) == [new.image_id]
        assert store.get([new.image_id]) == {new.image_id: new}
        assert store.count() == IMAGES + 1
        assert store.delete([new.image_id]) == 1
        assert new.image_id not in found(store.search(vector, 5)[0])
        assert store.count() == IMAGES


def test_order_and_scores_are_those_of_a_plain_comparison(store: VectorStore) -> None:
    queries = vectors(5, seed=1)
    for query, matches in zip(queries, store.search(queries, 12), strict=True):
        expected = nearest(GALLERY, VECTORS, query, 12)
        assert found(matches) == [name for name, _ in expected]
        np.testing.assert_allclose([match.score for match in matches], [score for _, score in expected], atol=2e-6)
        assert all(match.image in GALLERY for match in matches)


def test_equal_scores_come_in_label_blind_order(store: VectorStore) -> None:
    twins = [image(number, name="twin") for number in range(6)]
    store.upsert(twins, np.repeat(vectors(1, seed=5), 6, axis=0))
    names = [twin.image_id for twin in twins]
    expected = [names[row] for row in np.argsort(label_blind_keys(names))]
    assert found(store.search(vectors(1, seed=5), 4)[0]) == expected[:4]
    assert store.delete(names) == 6


def test_of_an_id_that_comes_twice_the_last_counts(store: VectorStore) -> None:
    first, second = vectors(1, seed=2), vectors(1, seed=3)
    old, new = image(1, 1, "double"), image(1, 2, "double")
    store.upsert([old, new], np.concatenate([first, second]))
    assert store.get([old.image_id]) == {new.image_id: new}
    assert store.search(second, 1)[0][0].score == pytest.approx(1.0, abs=1e-6)
    third = dataclasses.replace(new, version=3, attributes=("other",))
    store.upsert([third], first)
    assert (store.count(), store.search(first, 1)[0][0].image) == (IMAGES + 1, third)
    assert store.delete([new.image_id]) == 1


def test_a_deletion_tells_how_many_were_there(store: VectorStore) -> None:
    some = [image(number, name="gone") for number in range(3)]
    store.upsert(some, vectors(3, seed=4))
    names = [each.image_id for each in some]
    assert [store.delete([*names[:2], "never there"]), store.delete(names), store.delete(names)] == [2, 1, 0]
    assert store.get(names) == {}


@pytest.mark.parametrize("filters", FILTERS)
def test_a_filter_finds_what_passes_and_nothing_else(store: VectorStore, filters: Filters) -> None:
    rows = [row for row, each in enumerate(GALLERY) if passes(each, filters)]
    assert store.count(filters) == len(rows)
    query = vectors(1, seed=6)
    expected = nearest([GALLERY[row] for row in rows], VECTORS[rows], query[0], 7) if rows else []
    assert found(store.search(query, 7, filters)[0]) == [name for name, _ in expected]


def test_what_the_nets_saw_comes_back_with_vector_and_thumbnail(store: VectorStore) -> None:
    """Bytes of every value, words that expressions trip over, and an image that nobody looked at."""
    everything = bytes(range(256))
    seen = dataclasses.replace(image(1, name="seen"), predicted=("sleeve:long", AWKWARD), probabilities=everything)
    plain, two = image(2, name="seen"), vectors(2, seed=11)
    store.upsert([seen, plain], two, [everything * 100, b""])
    names = [seen.image_id, plain.image_id]
    assert store.get(names) == {seen.image_id: seen, plain.image_id: plain}
    assert store.search(two[:1], 1)[0][0].image == seen
    assert store.thumbnails([*names, "never there"]) == {names[0]: everything * 100, names[1]: b""}
    kept = store.vectors([*names, "never there"])
    assert set(kept) == set(names)
    for number, name in enumerate(names):
        unit = two[number] / np.linalg.norm(two[number])
        np.testing.assert_allclose(kept[name], unit, atol=1e-6)
        np.testing.assert_allclose(store.search(two[number : number + 1], 1)[0][0].vector, unit, atol=1e-6)
    assert store.delete(names) == 2
    assert (store.thumbnails(names), store.vectors(names)) == ({}, {})


def wordy(number: int) -> StoredImage:
    """An image with a title and what a classifier of `NAMES` gave it."""
    title = ("Navy T-shirt", "Shirt of a t", "Summer dress, été", "shirt shirt")[number % 4]
    product = {"title": f"{title} no {number % 7}", "note": "long " * (number % 5), "link": "https://shop.example/navy"}
    levels = bytes([(0, 40, 200, 255)[number % 4], (0, 0, 77)[number % 3]])
    seen = (None, ("sleeve:long",)) if number % 10 == 3 else (levels, ())
    return dataclasses.replace(image(number), product=product, probabilities=seen[0], predicted=seen[1])


NAMES = ("colour:navy", "sleeve:long")
WORDY = [wordy(number) for number in range(90)]


@pytest.fixture(scope="module")
def worded(stores: Stores) -> VectorStore:
    filled = stores.create(SPEC)
    filled.upsert(WORDY, vectors(len(WORDY)))
    return filled


@pytest.fixture(scope="module")
def full_text() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    connection.execute(creation("unicode", kept=True))
    rows = [(number, text_cell(each)) for number, each in enumerate(WORDY)]
    connection.executemany(f"insert into {TABLE} (rowid, text) values (?, ?)", rows)
    return connection


@pytest.mark.parametrize("names", [(), NAMES])
@pytest.mark.parametrize("filters", [Filters(), Filters(category=("dress",)), Filters(colour=("red",))])
@pytest.mark.parametrize(
    "text", ["dress", "T-shirt", "navy shirt", "ete 3", "long rare", "red", "zzz", "! ?", 'a" or "b']
)
def test_words_rank_as_the_full_text_of_sqlite(
    worded: WordedStore, full_text: sqlite3.Connection, text: str, filters: Filters, names: tuple[str, ...]
) -> None:
    """A phrase, a word of nearly all, attributes that are likely, accents, nothing, and what is syntax elsewhere."""
    held = held_probabilities([each.predicted for each in WORDY], [each.probabilities for each in WORDY], NAMES)
    vocabulary = Vocabulary(names, "unicode", lambda: (np.arange(len(WORDY)), held)) if names else None
    passing = np.array([passes(each, filters) for each in WORDY])
    scores = np.where(passing, word_scores(full_text, text, len(WORDY), vocabulary), 0.0)
    rows = best_rows(scores, lambda places: label_blind_keys([WORDY[place].image_id for place in places]), 25)
    matches = worded.search_words(text, 25, filters, names)
    np.testing.assert_allclose([match.score for match in matches], scores[rows], rtol=1e-9)
    expected = dict(zip([WORDY[row].image_id for row in rows], scores[rows], strict=True))
    ties = {name for name, score in expected.items() if np.isclose(score, scores[rows][-1], rtol=1e-9)}
    assert set(expected) - ties <= set(found(matches)) <= {each.image_id for each in WORDY}
    for match in matches:
        assert scores[WORDY.index(match.image)] == pytest.approx(match.score, rel=1e-9)


def test_a_version_in_milvus_of_before_words_refuses_them_and_goes_on(stores: Stores) -> None:
    if not isinstance(stores, MilvusStores):
        pytest.skip("a FAISS store of before words is given them when it is opened")
    name = f"{stores.name}_before_words"
    make_images(stores._link, name, SPEC, worded=False)
    make_notes(stores._link, name, SPEC, worded=False)
    old = stores.look_at(name)
    old.upsert(GALLERY[:3], VECTORS[:3])
    assert found(old.search(VECTORS[1:2], 1)[0]) == [GALLERY[1].image_id]
    with pytest.raises(QueryError, match="was made without words; create the version again"):
        old.search_words("dress", 3, Filters(), ())  # type: ignore[attr-defined]
    stores.drop(name)


def test_words_are_counted(store: VectorStore) -> None:
    words = store.words()
    assert (words.images, words.predicted) == (IMAGES, {})
    assert words.category == Counter(each.category for each in GALLERY)
    assert words.attributes == Counter(name for each in GALLERY for name in each.attributes)


def test_recall_under_a_filter_on_a_graph(stores: Stores) -> None:
    """Exact where few pass; where many pass, as good as without a filter (a plain walk finds a fifth, docs/scale.md)."""
    store = stores.create(dataclasses.replace(SPEC, kind="hnsw"))
    gallery, stored, queries = [image(number) for number in range(1500)], vectors(1500), vectors(10, seed=7)
    store.upsert(gallery, stored)
    rare = Filters(attributes=("rare",))
    rows = [row for row, each in enumerate(gallery) if passes(each, rare)]
    right = [{name for name, _ in nearest([gallery[r] for r in rows], stored[rows], query, 10)} for query in queries]
    all_right = [{name for name, _ in nearest(gallery, stored, query, 10)} for query in queries]

    def recall(filters: Filters | None, expected: list[set[str]]) -> float:
        lists = store.search(queries, 10, filters)
        return float(
            np.mean([len(set(found(m)) & names) / len(names) for m, names in zip(lists, expected, strict=True)])
        )

    assert recall(rare, right) == 1.0
    assert recall(None, all_right) >= 0.95
    if isinstance(store, MilvusStore):
        store._exact_rows = 5  # as if far more images passed than may be compared one by one
        assert recall(rare, right) >= 0.95


class Versioned:
    """One product of a store, whose states are applied in any order."""

    def __init__(self, store: VectorStore, item_id: str) -> None:
        self.store, self.item_id = store, item_id

    def apply(self, *states: tuple[int, ...]) -> int:
        """Each state is a version and the numbers of its images; without a number it is a deletion."""
        return apply(self.store, [self._state(*state) for state in states])

    def _state(self, version: int, *numbers: int) -> ItemState:
        shown = tuple(
            StoredImage(f"{self.item_id} {number}", self.item_id, version, "dress", "shop", (f"n:{version}",))
            for number in numbers
        )
        return ItemState(self.item_id, version, shown, vectors(len(numbers), seed=version) if numbers else None)

    def found(self) -> dict[int, int]:
        """The version of each image that is there, by its number."""
        images = self.store.images_of([self.item_id])
        return {int(each.image_id.rpartition(" ")[2]): each.version for each in images}


def test_an_older_version_never_overwrites_a_newer_one(store: VectorStore) -> None:
    item = Versioned(store, "replaced")
    assert item.apply((3, 1, 2), (2, 7)) == 1
    assert item.found() == {1: 3, 2: 3}
    assert item.apply((2, 7)) == 0
    assert item.apply((4, 2, 3)) == 1
    assert item.found() == {2: 4, 3: 4}
    assert item.apply((5,)) == 1


def test_a_deletion_is_not_undone_by_an_older_version(store: VectorStore) -> None:
    item = Versioned(store, "deleted")
    assert item.apply((4, 1)) == 1
    assert item.apply((6,)) == 1
    assert item.found() == {}
    assert [item.apply((5, 1)), item.apply((6, 1))] == [0, 0]
    assert known_versions(store, ["deleted", "unknown"])["deleted"].version == 6
    assert store.deletions()["deleted"] == 6


def test_the_same_version_may_come_again(store: VectorStore) -> None:
    item = Versioned(store, "again")
    assert item.apply((7, 9), (7, 9)) == 1
    assert item.found() == {9: 7}
    assert item.apply((7, 9)) == 1
    assert item.found() == {9: 7}
    assert store.delete(["again 9"]) == 1


def test_versions_change_without_a_moment_without_an_answer(stores: Stores) -> None:
    first, second = stores.create(SPEC), stores.create(SPEC)
    for version, store in (("old", first), ("new", second)):
        store.upsert([image(number, name=version) for number in range(20)], vectors(20))
    stores.publish(first.name)
    answered, ended, failures, seen = threading.Event(), threading.Event(), [], set()

    def ask() -> None:
        while not ended.is_set():
            try:
                answers = {name.split()[0] for name in found(stores.open(SPEC.bundle).search(vectors(1), 5)[0])}
            except StoreError as error:
                failures.append(error)
                return
            seen.add(tuple(answers))
            answered.set()

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        assert answered.wait(120)
        for _ in range(4):
            stores.publish(second.name)
            assert (stores.current, stores.previous) == (second.name, first.name)
            assert stores.rollback() == first.name
        stores.publish(second.name)
    finally:
        ended.set()
        asking.join()
    assert not failures
    assert seen <= {("old",), ("new",)}
    assert seen
    assert found(stores.open(SPEC.bundle).search(vectors(1), 1)[0])[0].startswith("new")
    with pytest.raises(StoreError, match=r"is the current version or the one before it"):
        stores.drop(first.name)
    spare = stores.create(SPEC)
    stores.drop(spare.name)
    assert spare.name not in stores.versions()


def test_a_store_of_another_bundle_is_refused(stores: Stores, store: VectorStore) -> None:
    with pytest.raises(
        StoreError, match=rf"{store.name} in .* holds vectors of the bundle {'ab' * 6}, not of {'cd' * 6}"
    ):
        stores.open("cd" * 32, store.name)
    with pytest.raises(StoreError, match="has no version 'shop_none'"):
        stores.open(SPEC.bundle, "shop_none")


def test_a_snapshot_is_the_same_from_every_engine(store: VectorStore, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("snapshot")
    shown = image(1, name="shown")
    store.upsert([shown], vectors(1, seed=12), [b"a JPEG"])
    store.mark_deleted({"buried": 9})
    assert save_snapshot(store, folder / "saved") == IMAGES + 1
    with pytest.raises(StoreError, match="exists: give a new folder"):
        save_snapshot(store, folder / "saved")
    other = open_stores(f"faiss:{folder / 'restored'}")
    restored = load_snapshot(folder / "saved", other)
    queries = vectors(3, seed=8)
    for mine, theirs in zip(store.search(queries, 10), restored.search(queries, 10), strict=True):
        assert found(mine) == found(theirs)
        np.testing.assert_allclose([m.score for m in mine], [m.score for m in theirs], atol=1e-6)
    assert restored.get([GALLERY[3].image_id]) == {GALLERY[3].image_id: GALLERY[3]}
    assert restored.thumbnails([shown.image_id]) == {shown.image_id: b"a JPEG"}
    assert store.delete([shown.image_id]) == 1
    assert (restored.spec, restored.deletions()["buried"]) == (store.spec, 9)
    other.close()


def test_binary_codes_are_compared_by_hamming_or_refused(engine: Engine, stores: Stores) -> None:
    spec = StoreSpec("ef" * 32, "binary", "hamming", 20, comparison="symmetric")
    if engine.name == "milvus-lite":
        with pytest.raises(
            StoreError, match="Milvus Lite, which keeps no binary codes: use a Milvus server or a FAISS"
        ):
            stores.create(spec)
        return
    store = stores.create(spec)
    stored, query = vectors(60, dim=20), vectors(1, seed=9, dim=20)
    gallery = [image(number) for number in range(60)]
    store.upsert(gallery, stored)
    differing = ((stored > 0) != (query[0] > 0)).sum(axis=1)
    order = np.lexsort((label_blind_keys([each.image_id for each in gallery]), differing))[:10]
    expected = [(gallery[row].image_id, -float(differing[row])) for row in order]
    assert [(m.image.image_id, m.score) for m in store.search(query, 10)[0]] == expected
    rare = store.search(query, 5, Filters(attributes=("rare",)))[0]
    assert {m.image.image_id for m in rare} == {each.image_id for each in gallery if "rare" in each.attributes}


@pytest.mark.parametrize("comparison", ["symmetric", "asymmetric"])
def test_product_codes_are_compared_by_the_bundles_codebooks_or_refused(
    engine: Engine, stores: Stores, comparison: str
) -> None:
    books = np.random.default_rng(3).normal(size=(4, 16, DIM // 4)).astype(np.float32)
    spec = StoreSpec("ef" * 32, "pq", "l2", DIM, comparison=comparison, codebooks=spelt_codebooks(books))
    if engine.name != "faiss":
        with pytest.raises(StoreError, match="keeps no product codes: use a FAISS store"):
            stores.create(spec)
        return
    store, query = stores.create(spec), vectors(1, seed=9)
    store.upsert(GALLERY[:60], VECTORS[:60])
    index = PqIndex.build(VECTORS[:60], comparison, codebooks=books)
    keys = label_blind_keys([each.image_id for each in GALLERY[:60]])
    scores, rows = index.search(query, 10, tiebreak=keys)
    expected = [(GALLERY[row].image_id, score) for row, score in zip(rows[0], scores[0].tolist(), strict=True)]
    assert [(m.image.image_id, m.score) for m in store.search(query, 10)[0]] == expected
    assert stores.look_at(store.name).spec == spec


def test_a_picture_too_large_for_the_engine_is_named(engine: Engine, store: VectorStore) -> None:
    large, vector = image(3, name="large"), vectors(1, seed=13)
    if engine.name == "faiss":
        store.upsert([large], vector, [b"x" * 60_000])
        assert store.delete([large.image_id]) == 1
        return
    with pytest.raises(StoreError, match=r"has 60000 bytes, Milvus keeps 49151: build .* lower index\.thumbnail"):
        store.upsert([large], vector, [b"x" * 60_000])
