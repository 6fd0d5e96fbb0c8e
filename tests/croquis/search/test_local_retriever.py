"""The whole runtime on a tiny bundle: photos, sketches, filters, re-ranking, errors, threads."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from croquis.bundle.gallery_file import GALLERY_SCHEMA, PROBABILITIES, ItemsError
from croquis.catalog.filters import Filters, QueryError
from croquis.catalog.images import ImageError, encode_jpeg, encode_png, prepare_image, to_batch
from croquis.files import read_json, write_json
from croquis.index.ranking import label_blind_keys
from croquis.nets.classifier import AttributeClassifier
from croquis.rerank.overlap import to_bytes
from croquis.search.composition import Composition
from croquis.search.grouping import AnswerForm
from croquis.search.local_retriever import Hit, LocalRetriever
from tests.support import tiny_retriever as tiny
from tests.support.indexes import index_of

Make = Callable[..., Path]


@pytest.fixture
def retriever(make_bundle: Make) -> LocalRetriever:
    return LocalRetriever.load(make_bundle())


def ids(hits: list[Hit]) -> list[str]:
    return [hit.image_id for hit in hits]


def brute_force(retriever: LocalRetriever, image: np.ndarray) -> list[tuple[float, str]]:
    """All gallery images by cosine, computed with NumPy from the pictures themselves."""

    def vector(picture: np.ndarray) -> np.ndarray:
        batch = to_batch([prepare_image(picture, 16)])[0].reshape(3, 4, 4, 4, 4).mean(axis=(2, 4)).ravel()
        return batch.astype(np.float64) / np.linalg.norm(batch)

    query = vector(image)
    scored = [(float(query @ vector(tiny.picture_of(name))), name) for name in retriever.bundle.items.image_ids]
    keys = dict(zip(retriever.bundle.items.image_ids, label_blind_keys(retriever.bundle.items.image_ids), strict=True))
    return sorted(scored, key=lambda each: (-round(each[0], 6), keys[each[1]]))


def test_a_photo_finds_itself_first_and_all_in_the_right_order(retriever: LocalRetriever) -> None:
    image = tiny.picture_of("green-05")
    hits = retriever.search(encode_png(image), k=36)
    expected = brute_force(retriever, image)
    assert ids(hits)[0] == "green-05"
    np.testing.assert_allclose([hit.score for hit in hits], [score for score, _ in expected], atol=1e-5)
    assert sorted(ids(hits)) == sorted(retriever.bundle.items.image_ids)
    assert [hit.rank for hit in hits] == list(range(1, 37))


def test_a_hit_tells_who_it_is(retriever: LocalRetriever) -> None:
    hit = retriever.search(tiny.picture_of("blue-03"), k=1)[0]
    assert (hit.item_id, hit.category) == ("item-blue-1", "coat")
    assert hit.attributes == ("colour:blue", "sleeve:long")
    assert hit.score == pytest.approx(1, abs=1e-6)
    assert json.loads(json.dumps(hit.to_dict()))["attributes"] == ["colour:blue", "sleeve:long"]


def test_files_and_arrays_give_the_same_answer(retriever: LocalRetriever) -> None:
    image = tiny.picture_of("red-01")
    assert retriever.search(encode_png(image)) == retriever.search(image)


def test_a_box_searches_for_what_is_in_it(retriever: LocalRetriever) -> None:
    street = np.zeros((80, 90, 3), dtype=np.uint8)
    street[20:52, 30:62] = tiny.picture_of("red-07")
    assert ids(retriever.search(street, k=1, bbox=[30, 20, 62, 52])) == ["red-07"]
    with pytest.raises(ImageError, match="holds no pixel"):
        retriever.search(street, bbox=[200, 200, 300, 300])


def test_a_sketch_goes_through_the_generator(retriever: LocalRetriever) -> None:
    drawing = np.full((40, 40, 3), 255, dtype=np.uint8)
    drawing[10:12, 5:35] = 0
    painted = retriever.nets.generate([drawing])[0]
    assert painted.shape == (8, 8, 3)
    assert painted[0, 0].tolist() == [255, 51, 51]  # the tiny generator dims green and blue to 0.2
    hits = retriever.search(drawing, k=12, mode="sketch")
    assert all(name.startswith("red") for name in ids(hits))
    assert ids(hits) == ids(retriever.search(painted, k=12))
    direct = retriever.search(drawing, k=12, mode="sketch-direct")
    assert [hit.score for hit in direct] != [hit.score for hit in hits]
    assert direct == retriever.search(drawing, k=12, mode="photo")


def drawings(count: int) -> list[np.ndarray]:
    """Each with a bar of another height."""
    found = [np.full((40, 40, 3), 255, dtype=np.uint8) for _ in range(count)]
    for number, drawing in enumerate(found):
        drawing[4 : 8 + 4 * number, 5:35] = 0
    return found


@pytest.mark.parametrize("rerank", [False, True])
def test_several_photos_of_a_sketch_are_searched_as_one_query(make_bundle: Make, tmp_path: Path, rerank: bool) -> None:
    """By the centre of their vectors and with the average of what the classifier sees, like photos under `combine: mean`."""
    generator = tiny.save_generator(tmp_path / "painter", samples=2)
    retriever = LocalRetriever.load(make_bundle("two", generator_folder=generator))
    assert retriever.nets.samples == retriever.bundle.manifest.generator.samples == 2
    drawing = drawings(1)[0]
    painted = retriever.nets.generate([drawing])
    assert [photo[0, 0].tolist() for photo in painted] == [[255, 51, 51], [51, 255, 51]]
    asked = {"k": 36, "rerank": rerank, "describe": True}
    answer = retriever.answer(drawing, mode="sketch", **asked)
    as_photos = retriever.answer(painted, form=AnswerForm(combine="mean"), **asked)
    assert ids(answer.hits) == ids(as_photos.hits)
    assert [hit.score for hit in answer.hits] == pytest.approx([hit.score for hit in as_photos.hits], abs=1e-6)
    assert answer.attributes == as_photos.attributes
    np.testing.assert_array_equal(answer.picture, painted[0])
    one = LocalRetriever.load(make_bundle("one")).search(drawing, 36, "sketch", rerank=rerank)
    assert ids(answer.hits) != ids(one)


def test_sketches_asked_together_find_what_each_finds_alone(make_bundle: Make, tmp_path: Path) -> None:
    """The search of an evaluation, whose queries come in blocks."""
    generator = tiny.save_generator(tmp_path / "painter", samples=3)
    retriever = LocalRetriever.load(make_bundle("three", generator_folder=generator))
    search = Composition.of(retriever.nets, retriever.gallery, "sketch")
    asked = drawings(5)
    found = search(asked, 10, {"served": retriever.rerank})
    assert len(found.pictures) == len(found.ranked.rows) == 5
    names = np.array(retriever.bundle.items.image_ids)
    for number, drawing in enumerate(asked):
        for rerank, ranked in ((False, found.ranked), (True, found.reranked["served"].ranked)):
            alone = retriever.search(drawing, 10, "sketch", rerank=rerank)
            assert names[ranked.rows[number]].tolist() == ids(alone)
            np.testing.assert_allclose(ranked.scores[number], [hit.score for hit in alone], atol=1e-6)
    direct = retriever.search(asked[0], 10, "sketch-direct")
    assert direct == retriever.search(asked[0], 10)


def test_a_drawing_is_painted_in_the_colour_that_is_given(make_bundle: Make, tmp_path: Path) -> None:
    painter = tiny.save_colour_generator(tmp_path / "painter")
    retriever = LocalRetriever.load(make_bundle("coloured", generator_folder=painter))
    drawing = np.full((40, 40, 3), 255, dtype=np.uint8)
    drawing[10:12, 5:35] = 0
    for colour, others in (("red", "#dc1e1e"), ("blue", "#141ED2")):
        hits = retriever.search(drawing, k=12, mode="sketch", colour=colour)
        assert all(name.startswith(colour) for name in ids(hits))
        assert hits == retriever.search(drawing, k=12, mode="sketch", colour=others)
    assert retriever.answer(drawing, mode="sketch", colour="blue").picture[0, 0].tolist() == [20, 30, 210]
    assert retriever.answer(drawing, mode="sketch").picture[0, 0].tolist() == [128, 128, 128]
    both = retriever.answer([drawing, drawing[::-1]], k=5, mode="sketch", colour="green")
    assert all(name.startswith("green") for name in ids(both.hits))


def test_a_colour_that_nothing_paints_is_refused(retriever: LocalRetriever, make_bundle: Make, tmp_path: Path) -> None:
    drawing = tiny.picture_of("red-00")
    with pytest.raises(
        QueryError, match=r"colour = 'red' needs a sketch generator that takes a colour, which this bundle lacks"
    ):
        retriever.search(drawing, mode="sketch", colour="red")
    without = LocalRetriever.load(make_bundle("without", generator_folder=None))
    with pytest.raises(QueryError, match="needs a sketch generator that takes a colour"):
        without.search(drawing, mode="sketch", colour="red")
    painter = tiny.save_colour_generator(tmp_path / "painter")
    coloured = LocalRetriever.load(make_bundle("coloured", generator_folder=painter))
    with pytest.raises(
        QueryError, match=r"colour = 'reddish' must be #rrggbb, a word of the catalogue \(blue, green, red\)"
    ):
        coloured.search(drawing, mode="sketch", colour="reddish")
    for mode in ("photo", "sketch-direct"):
        with pytest.raises(QueryError, match=f"colour = 'red' is for the mode sketch, .* and not for {mode}"):
            coloured.search(drawing, mode=mode, colour="red")
    with pytest.raises(QueryError, match="and not for photo"):
        coloured.search(text="dress", colour="red")


def test_filters_are_exact_and_combine(retriever: LocalRetriever) -> None:
    image = tiny.picture_of("red-00")
    everything = retriever.search(image, k=36)
    filters = Filters(category=("dress",), attributes=("colour:blue", "sleeve:long"))
    expected = [
        hit.image_id
        for hit in everything
        if hit.category == "dress" and {"colour:blue", "sleeve:long"} <= set(hit.attributes)
    ]
    assert (
        ids(retriever.search(image, k=36, filters=filters)) == expected == [f"blue-{n:02d}" for n in _order(expected)]
    )
    both = retriever.search(image, k=36, filters=Filters(category=("dress", "coat"), domain=("shop",)))
    assert both == everything
    assert retriever.search(image, filters=Filters(attributes=("colour:red", "colour:blue"))) == []
    assert retriever.search(image, k=36, filters=Filters()) == everything


def _order(names: list[str]) -> list[int]:
    return [int(name.split("-")[1]) for name in names]


@pytest.mark.parametrize("kind", ["flat", "hnsw", "ivfpq"])
def test_filtered_recall_is_one_for_every_index(make_bundle: Make, parts: Any, kind: str) -> None:
    settings = {"ivf_lists": 2, "ivf_probes": 1, "pq_subspaces": 24, "pq_bits": 4}
    index = index_of(parts["index"].vectors(), metric="cosine", kind=kind, **settings)
    retriever = LocalRetriever.load(make_bundle(index=index))
    found = retriever.search(tiny.picture_of("red-00"), k=50, filters=Filters(attributes=("colour:green",)))
    assert sorted(ids(found)) == [f"green-{number:02d}" for number in range(12)]


def test_colours_are_any_of_and_stand_for_their_attributes(retriever: LocalRetriever) -> None:
    image = tiny.picture_of("red-00")
    found = retriever.search(image, k=36, filters=Filters(colour=("red", "blue"), category=("coat",)))
    assert sorted(ids(found)) == sorted(f"{colour}-{n:02d}" for colour in ("red", "blue") for n in range(1, 12, 2))
    one = retriever.search(image, k=36, filters=Filters(colour=("blue",)))
    assert one == retriever.search(image, k=36, filters=Filters(attributes=("colour:blue",)))


@pytest.mark.parametrize("rerank", [False, True])
@pytest.mark.parametrize("mode", ["photo", "sketch"])
def test_an_answer_says_what_was_looked_at(retriever: LocalRetriever, mode: Any, rerank: bool) -> None:
    image = tiny.picture_of("green-00")
    answer = retriever.answer(image, k=5, mode=mode, rerank=rerank, bbox=[0, 0, 32, 16], describe=True)
    bare = retriever.search(image, k=5, mode=mode, rerank=rerank, bbox=[0, 0, 32, 16])
    assert [replace(hit, shared_attributes=()) for hit in answer.hits] == [
        replace(hit, shared_attributes=()) for hit in bare
    ]
    np.testing.assert_array_equal(
        answer.picture, image[:16] if mode == "photo" else retriever.nets.generate([image[:16]])[0]
    )
    assert answer.attributes == labels_of(retriever, [answer.picture])[0]
    assert set(answer.seconds) == {"decode", "encode", "search", "rerank"}
    assert all(seconds >= 0 for seconds in answer.seconds.values())


def test_attributes_are_predicted_only_when_asked(retriever: LocalRetriever, make_bundle: Make) -> None:
    assert retriever.answer(tiny.picture_of("green-00")).attributes is None
    without = LocalRetriever.load(make_bundle("without", classifier_folder=None))
    assert without.answer(tiny.picture_of("green-00"), describe=True).attributes is None


def test_similar_leaves_out_the_image_itself(retriever: LocalRetriever) -> None:
    found = retriever.similar("green-05", k=35)
    assert "green-05" not in ids(found)
    assert len(found) == 35
    assert [hit.rank for hit in found] == list(range(1, 36))
    by_photo = [name for name in ids(retriever.search(tiny.picture_of("green-05"), k=36)) if name != "green-05"]
    assert ids(found)[:5] == by_photo[:5]
    coats = retriever.similar("green-05", k=3, filters=Filters(category=("coat",)))
    assert {hit.category for hit in coats} == {"coat"}
    dresses = retriever.similar("green-05", k=3, filters=Filters(category=("dress",)))
    assert len(dresses) == 3
    with pytest.raises(QueryError, match="image_id = 'green-99' is not among the 36 gallery images"):
        retriever.similar("green-99")


def labels_of(retriever: LocalRetriever, pictures: list[np.ndarray]) -> list[frozenset[str]]:
    """What the bundle's classifier sees."""
    return retriever.nets.classifier.decide(retriever.nets.probabilities(pictures))


def olive() -> np.ndarray:
    """A colour that the encoder finds nearest to green and the classifier calls red."""
    return np.full((32, 32, 3), (128, 127, 60), dtype=np.uint8)


def test_reranking_moves_shared_attributes_up_and_says_which(make_bundle: Make) -> None:
    rerank = {**tiny.RERANK, "depth": 36, "alpha": 0.01, "beta": 1.0}
    retriever = LocalRetriever.load(make_bundle(rerank=rerank))
    image = olive()
    assert labels_of(retriever, [image]) == [{"colour:red"}]
    plain = retriever.search(image, k=36)
    moved = retriever.search(image, k=36, rerank=True)
    assert ids(plain)[0].startswith("green")
    assert all(name.startswith("red") for name in ids(moved)[:12])
    assert {hit.shared_attributes for hit in moved[:12]} == {("colour:red",)}
    assert {hit.shared_attributes for hit in moved[12:]} == {()}
    assert {hit.shared_attributes for hit in plain} == {()}
    assert {hit.image_id: hit.score for hit in plain} == {hit.image_id: hit.score for hit in moved}
    # Results that share equally much keep their order.
    reds = [name for name in ids(plain) if name.startswith("red")]
    assert ids(moved)[:12] == reds


def test_the_bundle_decides_about_reranking_unless_asked(make_bundle: Make) -> None:
    enabled = LocalRetriever.load(make_bundle(rerank={**tiny.RERANK, "enabled": True}))
    image = tiny.picture_of("red-03")
    assert enabled.search(image)[0].shared_attributes == ("colour:red",)
    assert enabled.search(image, rerank=False)[0].shared_attributes == ()
    without = LocalRetriever.load(make_bundle("plain", rerank={**tiny.RERANK, "enabled": True}, classifier_folder=None))
    assert without.search(image)[0].shared_attributes == ()
    with pytest.raises(QueryError, match="needs an attribute classifier, which this bundle lacks"):
        without.search(image, rerank=True)


def test_a_shortlist_deeper_than_k_can_bring_in_new_results(make_bundle: Make) -> None:
    image = olive()
    strong = {**tiny.RERANK, "alpha": 0.01, "beta": 1.0}
    deep = LocalRetriever.load(make_bundle("deep", rerank={**strong, "depth": 36}))
    shallow = LocalRetriever.load(make_bundle("shallow", rerank={**strong, "depth": 5}))
    plain = ids(deep.search(image, k=5))
    assert all(name.startswith("green") for name in plain)
    assert sorted(ids(shallow.search(image, k=5, rerank=True))) == sorted(plain)
    assert all(name.startswith("red") for name in ids(deep.search(image, k=5, rerank=True)))


def test_shared_attributes_are_the_catalogues_whatever_the_reranking_reads(make_bundle: Make) -> None:
    rows = [row | {"predicted_attributes": []} for row in tiny.gallery_rows()]
    table = pa.Table.from_pylist(rows, schema=GALLERY_SCHEMA)
    for source in ("predicted", "catalogue"):
        rerank = {**tiny.RERANK, "gallery_attributes": source}
        retriever = LocalRetriever.load(make_bundle(source, rerank=rerank, gallery_table=table))
        (hit,) = retriever.search(tiny.picture_of("red-03"), k=1, rerank=True)
        assert (hit.image_id, hit.shared_attributes) == ("red-03", ("colour:red",))
        (described,) = retriever.answer(tiny.picture_of("red-03"), k=1, describe=True).hits
        assert described.shared_attributes == ("colour:red",)


def test_thumbnails_are_those_of_the_gallery(retriever: LocalRetriever) -> None:
    row = retriever.bundle.items.row("blue-11")
    assert retriever.bundle.items.thumbnail(row) == encode_jpeg(tiny.picture_of("blue-11"))


@pytest.mark.parametrize(
    ("arguments", "field", "words"),
    [
        ({"k": 0}, "k", "k = 0 must be a whole number from 1 to 1000"),
        ({"k": 1001}, "k", "k = 1001"),
        ({"k": 2.5}, "k", "k = 2.5"),
        ({"k": True}, "k", "k = True"),
        ({"mode": "text"}, "mode", "mode = 'text' must be one of photo, sketch, sketch-direct"),
        ({"filters": Filters(category=("hat",))}, "filters.category", "'hat' is not known; known: coat, dress"),
        ({"filters": Filters(attributes=("colour:pink",))}, "filters.attributes", "known: colour:blue, colour:green"),
        ({"filters": Filters(domain=("street",))}, "filters.domain", "known: shop"),
        ({"filters": Filters(colour=("pink",))}, "filters.colour", "'pink' is not known; known: blue, green, red"),
    ],
)
def test_wrong_requests_name_field_value_and_limit(
    retriever: LocalRetriever, arguments: dict[str, Any], field: str, words: str
) -> None:
    with pytest.raises(QueryError, match=words) as caught:
        retriever.search(tiny.picture_of("red-00"), **arguments)
    assert caught.value.field == field


def test_a_bundle_without_generator_says_so(make_bundle: Make) -> None:
    retriever = LocalRetriever.load(make_bundle(generator_folder=None))
    with pytest.raises(QueryError, match="needs a sketch generator, which this bundle lacks; use sketch-direct"):
        retriever.search(tiny.picture_of("red-00"), mode="sketch")
    assert retriever.search(tiny.picture_of("red-00"), k=2, mode="sketch-direct")


def test_bytes_that_are_no_picture_are_refused(retriever: LocalRetriever) -> None:
    with pytest.raises(ImageError, match="none of"):
        retriever.search(b"GET / HTTP/1.1")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"price": "low"}, "filters = 'price' is not a filter; known: category, attributes, colour, domain"),
        ({"category": 3}, "filters.category = 3 must be a word or a list of words"),
        ({"attributes": ["a", 1]}, "filters.attributes"),
        ({"attributes": ["a"] * 101}, "filters.attributes = 101 values are too many, at most 100"),
        (["dress"], "filters = .* must be an object"),
    ],
)
def test_filters_are_read_strictly(values: Any, words: str) -> None:
    with pytest.raises(QueryError, match=words):
        Filters.from_mapping(values)


def test_filters_take_a_word_or_a_list() -> None:
    assert Filters.from_mapping({"category": "dress", "attributes": ["a", "b"], "domain": None}) == Filters(
        category=("dress",), attributes=("a", "b")
    )


def test_many_pictures_at_once_are_the_same_as_one_by_one(retriever: LocalRetriever) -> None:
    pictures = [tiny.picture_of(name) for name in retriever.bundle.items.image_ids] * 2
    together = retriever.encode_photos(pictures)
    assert together.shape == (72, 48)
    np.testing.assert_allclose(together[50:51], retriever.encode_photos(pictures[50:51]), atol=1e-6)
    assert retriever.encode_photos([]).shape == (0, 48)
    assert len(labels_of(retriever, pictures)) == len(retriever.nets.generate(pictures)) == 72
    scores, rows = retriever.bundle.index.search(together[:36], 1, tiebreak=retriever.bundle.items.keys)
    np.testing.assert_allclose(scores, 1, atol=1e-6)
    assert rows[:, 0].tolist() == list(range(36))


@pytest.mark.slow
def test_threads_may_search_at_once(make_bundle: Make) -> None:
    retriever = LocalRetriever.load(make_bundle())  # nothing is opened or warm yet
    names = retriever.bundle.items.image_ids * 4
    modes = ["photo", "sketch", "sketch-direct"]
    asked = [(tiny.picture_of(name), modes[number % 3], number % 2 == 0) for number, name in enumerate(names)]

    def ask(each: tuple[np.ndarray, Any, bool]) -> list[Hit]:
        return retriever.search(each[0], k=5, mode=each[1], rerank=each[2])

    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(ask, asked))
    assert together == [ask(each) for each in asked]


def test_warm_up_opens_what_there_is(make_bundle: Make) -> None:
    LocalRetriever.load(make_bundle()).warm_up()
    LocalRetriever.load(make_bundle("bare", generator_folder=None, classifier_folder=None)).warm_up()


def with_probabilities(parts: dict[str, Any], chances: Any) -> pa.Table:
    """The gallery with the probabilities (36, 3) of red, green and blue."""
    cells = [row.tobytes() for row in to_bytes(np.asarray(chances, dtype=np.float32))]
    return parts["gallery_table"].append_column(PROBABILITIES, pa.array(cells, PROBABILITIES.type))


def test_the_expected_overlap_takes_the_stored_probabilities(make_bundle: Make, parts: dict[str, Any]) -> None:
    """What is stored says that the blue photos are red, although red is what the red ones are decided to be."""
    names = parts["gallery_table"].column("image_id").to_pylist()
    chances = [[1.0, 0, 0] if "blue" in name else [0.1, 0.1, 0.1] for name in names]
    rerank = {**tiny.RERANK, "depth": 36, "beta": 100.0, "gallery_attributes": "predicted", "steps": ["probability"]}
    image = tiny.picture_of("red-00")
    stored = LocalRetriever.load(make_bundle("stored", rerank=rerank, gallery_table=with_probabilities(parts, chances)))
    assert {name.split("-")[0] for name in ids(stored.search(image, k=12, rerank=True))} == {"blue"}
    # Without probabilities an image has what was decided, for certain.
    decided = LocalRetriever.load(make_bundle("decided", rerank=rerank))
    assert {name.split("-")[0] for name in ids(decided.search(image, k=12, rerank=True))} == {"red"}
    assert decided.bundle.items.probabilities(["colour:red", "colour:blue"])[:, 0].tolist() == [
        255 * (name.startswith("red")) for name in names
    ]


def test_probabilities_of_another_classifier_are_refused(make_bundle: Make, parts: dict[str, Any]) -> None:
    retriever = LocalRetriever.load(make_bundle(gallery_table=with_probabilities(parts, np.zeros((36, 2)))))
    with pytest.raises(ItemsError, match="has 2 probabilities for 3 attributes"):
        retriever.bundle.items.probabilities(retriever.nets.classifier.attributes)


@pytest.mark.parametrize("steps", [["k_reciprocal"], ["alpha_qe"], ["alpha_qe", "k_reciprocal"]])
def test_steps_that_look_at_vectors_need_no_classifier(make_bundle: Make, steps: list[str]) -> None:
    retriever = LocalRetriever.load(make_bundle(rerank={**tiny.RERANK, "steps": steps}, classifier_folder=None))
    retriever.warm_up()
    image = tiny.picture_of("green-03")
    plain, moved = (retriever.search(image, k=20, rerank=rerank) for rerank in (False, True))
    assert sorted(ids(plain)) == sorted(ids(moved))
    assert all(hit.shared_attributes == () for hit in moved)
    assert retriever.answer(image, rerank=True).attributes is None


def test_of_an_exclusive_group_the_likeliest_value_holds(tmp_path: Any) -> None:
    folder = tiny.save_classifier(tmp_path / "attributes")
    described = read_json(folder / "classifier.json")
    write_json(folder / "classifier.json", {**described, "thresholds": [0.2] * 3, "exclusive": ["colour"]})
    classifier = AttributeClassifier(folder)
    chances = np.float32([[0.3, 0.7, 0.6], [0.1, 0.1, 0.1], [0.5, 0.5, 0.1]])
    assert classifier.decide(chances) == [{"colour:green"}, set(), {"colour:red"}]
