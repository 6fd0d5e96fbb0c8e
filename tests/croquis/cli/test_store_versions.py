"""`croquis store`: what deploy/README.md does with the versions of a store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from croquis.bundle import Bundle
from croquis.catalog.product import LARGEST_VERSION
from croquis.cli import main
from croquis.store.products import ItemState, apply
from croquis.store.vector_store import StoredImage
from croquis.store.versions import open_stores
from tests.support.tiny_retriever import write_tiny_bundle

pytestmark = pytest.mark.scale


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return Bundle.load(write_tiny_bundle(tmp_path_factory.mktemp("versions") / "bundle"))


@pytest.fixture
def uri(tmp_path: Path) -> str:
    return f"faiss:{tmp_path / 'store'}"


@pytest.fixture
def say(uri: str, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    def run(*arguments: str, code: int = 0) -> str:
        assert main(["store", "--store", uri, *arguments]) == code
        written = capsys.readouterr()
        return (written.err if code else written.out).strip()

    return run


def fill(uri: str, name: str, count: int) -> None:
    stores = open_stores(uri)
    store = stores.look_at(name)
    images = [StoredImage(f"i{row}/a", f"i{row}", 1, "coat", "shop", ()) for row in range(count)]
    store.upsert(images, np.random.default_rng(count).normal(size=(count, store.spec.dim)).astype(np.float32))
    stores.close()


def test_a_second_version_takes_over_and_the_first_comes_back(
    uri: str, say: Callable[..., str], bundle: Bundle, tmp_path: Path
) -> None:
    first, second = (say("create", "--bundle", str(bundle.folder)) for _ in range(2))
    assert first != second
    fill(uri, first, 3)
    fill(uri, second, 5)
    assert say("publish", first) == f"{first} is current; before it: none"
    assert say("publish", second) == f"{second} is current; before it: {first}"
    shown = f"bundle {bundle.hash[:12]}"
    assert say("list").splitlines() == sorted(
        [f"{first}  {shown}  3 images  previous", f"{second}  {shown}  5 images  current"]
    )
    assert say("rollback") == f"{first} is current again"
    assert say("save", str(tmp_path / "kept")).startswith(f"3 images of {first}")
    assert say("save", str(tmp_path / "other"), second).startswith(f"5 images of {second}")
    third = say("load", str(tmp_path / "other"))
    assert f"{third}  {shown}  5 images" in say("list").splitlines()
    say("drop", third)
    assert third not in say("list")


def test_a_product_of_the_largest_version_is_counted_anew(uri: str, say: Callable[..., str], bundle: Bundle) -> None:
    name = say("create", "--bundle", str(bundle.folder))
    stores = open_stores(uri)
    apply(stores.look_at(name), [ItemState("a", LARGEST_VERSION)])
    stores.close()
    assert "taken out of 1 versions of 'catalogue'; its next event needs more than 1" in say("count-anew", "a")
    assert "knows no product 'b'" in say("count-anew", "b", code=1)
    stores = open_stores(uri)
    assert apply(stores.look_at(name), [ItemState("a", 2)]) == 1
    stores.close()


def test_what_cannot_be_done_is_refused(say: Callable[..., str], tmp_path: Path) -> None:
    assert "has no version of 'catalogue'" in say("list")
    for arguments, reason in (
        (("publish", "catalogue_none_1"), "has no version 'catalogue_none_1'"),
        (("rollback",), "no version of 'catalogue' before the current one"),
        (("save", str(tmp_path / "kept")), "has no current version"),
        (("load", str(tmp_path)), "is no snapshot of a store"),
        (("create", "--bundle", str(tmp_path)), str(tmp_path)),
        (("create", "--model", "fashion-retriever"), "is no model: write models:/NAME@ALIAS"),
    ):
        refused = say(*arguments, code=1)
        assert refused.startswith("error: ")
        assert reason in refused
