"""Both clients against a real server."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pytest

from croquis.bundle.gallery_file import GALLERY_SCHEMA
from croquis.search.local_retriever import LocalRetriever
from croquis.serving.answers.answer_models import SearchAnswer
from croquis.serving.app import create_app
from croquis.serving.client import AsyncClient, Client, ServerError
from croquis.serving.models.bundle_sources import BundleSource
from croquis.serving.server_settings import Access, Settings
from tests.support.serving.live_server import listening
from tests.support.tiny_retriever import gallery_rows, photo, write_tiny_bundle

KEY = "the-key-of-the-shop"
ODD = 'a/b c?d#e%2Ff&"é'


@pytest.fixture(scope="module")
def odd_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One item and its image have ids with every kind of character in them."""
    rows = gallery_rows()
    rows[0] |= {"item_id": ODD, "image_id": f"!{ODD}/front"}
    table = pa.Table.from_pylist(rows, GALLERY_SCHEMA)
    return write_tiny_bundle(tmp_path_factory.mktemp("odd") / "bundle", gallery_table=table)


@pytest.fixture(scope="module")
def address(bundle: Path, odd_bundle: Path) -> Iterator[str]:
    sources = {"champion": BundleSource(bundle), "odd": BundleSource(odd_bundle)}
    with listening(create_app(sources, Settings(threads=2, access=Access(keys={"shop": KEY})))) as address:
        yield address


def test_a_search_in_every_detail(address: str, retriever: LocalRetriever) -> None:
    with Client(address, KEY) as client:
        answer = client.search(
            photo("red-03"),
            k=4,
            mode="sketch",
            filters={"category": "coat", "colour": ["red", "blue"]},
            rerank=True,
            crop=(0, 0, 31.5, 16),
            timings=True,
            generated=True,
        )
    assert isinstance(answer, SearchAnswer)
    assert len(answer.results) == 4
    assert {hit.category for hit in answer.results} == {"coat"}
    assert answer.model.bundle == retriever.bundle.hash
    assert answer.timings is not None
    assert answer.timings.encode_ms > 0
    assert str(answer.generated).startswith("data:image/png;base64,")


def test_both_clients_get_the_same(address: str) -> None:
    async def ask() -> list[Any]:
        async with AsyncClient(address, KEY) as client:
            return await asyncio.gather(
                client.search(photo(), k=3),
                client.similar("item-red-0", k=3),
                client.item("item-red-0"),
                client.item_image("item-red-0", image_id="red-01"),
                client.filters(),
                client.version(),
            )

    with Client(address, KEY) as client:
        assert asyncio.run(ask()) == [
            client.search(photo(), k=3),
            client.similar("item-red-0", k=3),
            client.item("item-red-0"),
            client.item_image("item-red-0", image_id="red-01"),
            client.filters(),
            client.version(),
        ]


def test_ids_may_hold_any_character(address: str, odd_bundle: Path) -> None:
    retriever = LocalRetriever.load(odd_bundle)
    with Client(address, KEY) as client:
        item = client.item(ODD, model="odd")
        assert (item.item_id, item.images[0].image_id) == (ODD, f"!{ODD}/front")
        assert client.item_image(
            ODD, image_id=item.images[0].image_id, model="odd"
        ) == retriever.bundle.items.thumbnail(0)
        assert len(client.similar(ODD, k=2, image_id=item.images[0].image_id, model="odd").results) == 2
        found = client.search(photo("blue-00"), k=1, model="odd").results[0]
    assert found.item_id == ODD
    assert httpx.get(address + found.image, trust_env=False).content == retriever.bundle.items.thumbnail(0)


def test_errors_say_what_was_wrong(address: str) -> None:
    with Client(address, KEY) as client:
        with pytest.raises(
            ServerError, match=r"422 Unprocessable .*: k = '500': should be less than or equal to 100"
        ) as raised:
            client.search(photo(), k=500)
        assert (raised.value.problem.field, raised.value.retry_after) == ("k", None)
        with pytest.raises(ServerError, match="item_id = 'nobody'"):
            client.item_image("nobody")
    with Client(address, "another-key-of-nobody") as client, pytest.raises(ServerError, match="401 Unauthorized"):
        client.search(photo())


def test_what_stands_between_may_answer_in_its_own_way() -> None:
    def busy(_: httpx.Request) -> httpx.Response:
        return httpx.Response(503, headers={"retry-after": "7"}, text="<h1>Busy</h1>")

    client = Client("http://somewhere", transport=httpx.MockTransport(busy))
    with client, pytest.raises(ServerError, match="503 Service Unavailable: <h1>Busy</h1>") as raised:
        client.version()
    assert raised.value.retry_after == 7


@pytest.mark.slow
def test_the_client_needs_nothing_of_the_server() -> None:
    script = "import sys, croquis.serving.client; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not {"faiss", "onnxruntime", "fastapi", "uvicorn", "PIL", "numpy", "mlflow"} & set(done.stdout.split())
