"""A typed client of the search server, for scripts and services: `Client`, and `AsyncClient` with the same methods.

    with Client("http://127.0.0.1:8000") as client:
        answer = client.search(Path("photo.jpg").read_bytes(), k=5, filters={"category": ["dress"]})
        print([(hit.item_id, hit.score) for hit in answer.results])

Every method raises `ServerError` when the server answers with an error, and httpx's errors when it cannot be reached.
It needs httpx and pydantic, and none of what the server needs.
"""

from __future__ import annotations

from types import TracebackType
from typing import Self, Unpack

import httpx

from croquis.serving import client_wire as wire
from croquis.serving.answers.answer_models import FilterValues, Item, ItemChange, SearchAnswer, Version
from croquis.serving.client_wire import (
    Call,
    ChangeOptions,
    ItemOptions,
    SearchOptions,
    ServerError,
    SimilarOptions,
    content,
    parsed,
)

__all__ = ["AsyncClient", "Client", "ServerError"]


class Client:
    """Use it as a context manager, or call `close`; one may be used by several threads.

    Args:
        base_url: e.g. `http://127.0.0.1:8000`.
        api_key: where the server asks for one.
        timeout: seconds.
        transport: another way to send, for tests.
        admin_token: to change the catalogue.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str | None = None,
        timeout: float = 30.0,
        transport: httpx.BaseTransport | None = None,
        admin_token: str | None = None,
    ) -> None:
        self._token = admin_token
        self._http = httpx.Client(**wire.connection(base_url, api_key, timeout), transport=transport)

    def search(self, image: bytes, **options: Unpack[SearchOptions]) -> SearchAnswer:
        """Products most like a picture, a JPEG, PNG, WEBP, BMP or GIF file; see `SearchOptions`."""
        return parsed(self._send(wire.search_call(image, options)), SearchAnswer)

    def similar(self, item_id: str, **options: Unpack[SimilarOptions]) -> SearchAnswer:
        """Images of other products most like one of this product's."""
        return parsed(self._send(wire.item_call("similar", item_id, options)), SearchAnswer)

    def item(self, item_id: str, model: str | None = None) -> Item:
        return parsed(self._send(wire.item_call("items", item_id, {"model": model})), Item)

    def item_image(self, item_id: str, **options: Unpack[ItemOptions]) -> bytes:
        """A JPEG."""
        return content(self._send(wire.item_call("items", item_id, options, "/image")))

    def filters(self, model: str | None = None) -> FilterValues:
        """What can be filtered by."""
        return parsed(self._send(wire.filters_call(model)), FilterValues)

    def put_item(self, item_id: str, *images: bytes, **options: Unpack[ChangeOptions]) -> ItemChange:
        """Adds a product, or replaces all of one; it is on the server's disk and searchable when this returns."""
        return parsed(self._send(wire.put_call(item_id, images, options, self._token)), ItemChange)

    def add_item(self, item_id: str, *images: bytes, **options: Unpack[ChangeOptions]) -> ItemChange:
        """Adds a product that is not there yet."""
        return parsed(self._send(wire.put_call(item_id, images, options, self._token, only_new=True)), ItemChange)

    def delete_item(self, item_id: str, version: int | None = None) -> ItemChange:
        """Takes a product out; no search finds it when this returns."""
        return parsed(self._send(wire.delete_call(item_id, version, self._token)), ItemChange)

    def version(self) -> Version:
        return parsed(self._send(wire.VERSION_CALL), Version)

    def close(self) -> None:
        self._http.close()

    def _send(self, call: Call) -> httpx.Response:
        return self._http.request(**call.arguments)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncClient:
    """`Client` for asyncio; use it as an async context manager, or call `close`."""

    def __init__(
        self,
        base_url: str,
        api_key: str | None = None,
        timeout: float = 30.0,
        transport: httpx.AsyncBaseTransport | None = None,
        admin_token: str | None = None,
    ) -> None:
        self._token = admin_token
        self._http = httpx.AsyncClient(**wire.connection(base_url, api_key, timeout), transport=transport)

    async def search(self, image: bytes, **options: Unpack[SearchOptions]) -> SearchAnswer:
        """See `Client.search`."""
        return parsed(await self._send(wire.search_call(image, options)), SearchAnswer)

    async def similar(self, item_id: str, **options: Unpack[SimilarOptions]) -> SearchAnswer:
        """See `Client.similar`."""
        return parsed(await self._send(wire.item_call("similar", item_id, options)), SearchAnswer)

    async def item(self, item_id: str, model: str | None = None) -> Item:
        return parsed(await self._send(wire.item_call("items", item_id, {"model": model})), Item)

    async def item_image(self, item_id: str, **options: Unpack[ItemOptions]) -> bytes:
        """See `Client.item_image`."""
        return content(await self._send(wire.item_call("items", item_id, options, "/image")))

    async def filters(self, model: str | None = None) -> FilterValues:
        """See `Client.filters`."""
        return parsed(await self._send(wire.filters_call(model)), FilterValues)

    async def put_item(self, item_id: str, *images: bytes, **options: Unpack[ChangeOptions]) -> ItemChange:
        """See `Client.put_item`."""
        return parsed(await self._send(wire.put_call(item_id, images, options, self._token)), ItemChange)

    async def add_item(self, item_id: str, *images: bytes, **options: Unpack[ChangeOptions]) -> ItemChange:
        """See `Client.add_item`."""
        return parsed(await self._send(wire.put_call(item_id, images, options, self._token, only_new=True)), ItemChange)

    async def delete_item(self, item_id: str, version: int | None = None) -> ItemChange:
        """See `Client.delete_item`."""
        return parsed(await self._send(wire.delete_call(item_id, version, self._token)), ItemChange)

    async def version(self) -> Version:
        return parsed(await self._send(wire.VERSION_CALL), Version)

    async def close(self) -> None:
        await self._http.aclose()

    async def _send(self, call: Call) -> httpx.Response:
        return await self._http.request(**call.arguments)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
