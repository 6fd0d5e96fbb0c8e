"""The catalogue of the hashing studies: exact proportions, no image twice, val apart from everything."""

from __future__ import annotations

import zipfile
from collections import Counter

import pytest

from benchmarks.codes.cifar_pick import ARCHIVE, assign, parts, write_catalogue
from benchmarks.common.studies import BenchmarkError
from croquis.catalog.images import encode_jpeg
from croquis.catalog.table import Catalog
from croquis.evaluation.protocol import PAIRS, PROTOCOLS, open_gallery, open_queries
from tests.support.catalogues import blob_catalogue as world

CLASSES = [f"class{number}" for number in range(10)]
NAMES = [f"{split}/{label}/{number:04d}.jpg" for split, count in (("train", 2000), ("test", 200))
         for label in CLASSES for number in range(count)]  # fmt: skip


def counted(protocol, scale=1.0):
    dealt = list(assign(NAMES, parts(protocol, scale)))
    names = [name for name, _ in dealt]
    assert len(set(names)) == len(names)
    return dealt, Counter((part.split, part.role) for _, part in dealt)


@pytest.mark.parametrize("scale", [1.0, 0.5, 0.1])
def test_proportions_are_those_of_the_protocols(scale):
    _, found = counted("cifar10_a", scale)
    queries = found["test", "query"]
    assert (found["train", "train"], found["test", "gallery"]) == (5 * queries, 54 * queries)
    assert found["val", "query"] == queries
    _, found = counted("cifar10_c", scale)
    assert found["train", "train"] == 5 * found["test", "query"]
    assert set(found) == {("train", "train"), ("test", "query"), ("val", "query")}


def test_the_whole_pick_gives_these_sizes():
    assert counted("cifar10_a")[1] == {
        ("test", "query"): 340, ("train", "train"): 1700, ("test", "gallery"): 18360,
        ("val", "query"): 340, ("val", "gallery"): 1260,
    }  # fmt: skip
    assert counted("cifar10_c")[1] == {("test", "query"): 2000, ("train", "train"): 10_000, ("val", "query"): 1000}


@pytest.mark.parametrize("protocol", ["cifar10_a", "cifar10_c"])
def test_every_class_has_its_share_and_queries_are_test_images(protocol):
    dealt, _ = counted(protocol, 0.3)
    by_class = Counter((part.split, part.role, name.split("/")[1]) for name, part in dealt)
    for split, role in {(part.split, part.role) for _, part in dealt}:
        assert len({by_class[split, role, label] for label in CLASSES}) == 1
    sources = {(part.split, part.role): set() for _, part in dealt}
    for name, part in dealt:
        sources[part.split, part.role].add(name.split("/")[0])
    assert sources["test", "query"] == {"test"}
    assert sources["train", "train"] == {"train"}


def test_who_is_in_which_part_does_not_hang_on_the_order_of_the_zip():
    assert sorted(assign(NAMES, parts("cifar10_a", 0.2)), key=lambda each: each[0]) == sorted(
        assign(NAMES[::-1], parts("cifar10_a", 0.2)), key=lambda each: each[0]
    )


@pytest.mark.parametrize("scale", [0.0, 1.5, 0.01])
def test_a_scale_that_cannot_be_is_refused(scale):
    with pytest.raises(BenchmarkError, match="--share is"):
        parts("cifar10_a", scale)


def test_the_catalogue_can_be_evaluated(tmp_path):
    photo = encode_jpeg(world.picture(1, 2, 30.0))
    (tmp_path / "cifar10").mkdir()
    with zipfile.ZipFile(tmp_path / ARCHIVE, "w") as archive:
        for name in NAMES:
            if name.split("/")[1] in CLASSES[:3] and int(name[-8:-4]) < (12 if name.startswith("test") else 135):
                archive.writestr(name, photo)
    for name in ("cifar10_a", "cifar10_c"):
        write_catalogue(tmp_path, tmp_path / name, name, 0.06)
        catalog, protocol = Catalog.open(tmp_path / name / "data/catalog"), PROTOCOLS[name]
        for split in ("val", "test"):
            assert len(open_gallery(catalog, split, protocol)) >= 3 * 8
            assert len(open_queries(catalog, split, PAIRS[1])) >= 3 * 2
    with pytest.raises(BenchmarkError, match=r"cifar10_jpg_22k\.zip does not exist.*--shared"):
        write_catalogue(tmp_path / "nowhere", tmp_path, "cifar10_a", 1.0)
