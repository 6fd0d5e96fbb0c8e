"""A typed client of the search server, for scripts and services: `Client`, and `AsyncClient` with the same methods.

    with Client("http://127.0.0.1:8000") as client:
        answer = client.search(Path("photo.jpg").read_bytes(), k=5, filters={"category": ["dress"]})
        print([(hit.item_id, hit.score) for hit in answer.results])

Every method raises `ServerError` when the server answers with an error, and httpx's errors when it cannot be reached.
It needs httpx and pydantic, and none of what the server needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self

import httpx

from serving.answers import FilterValues, Item, SearchAnswer, Version
from serving.client_wire import Filters, ServerError, content, headers, item_path, parsed, present, search_form

__all__ = ["AsyncClient", "Client", "ServerError"]

PICTURE = "picture"  # the server judges by the bytes, not by the name


class Client:
    """Use it as a context manager, or call `close`; one may be used by several threads.

    Args:
        base_url: e.g. `http://127.0.0.1:8000`.
        api_key: where the server asks for one.
        timeout: seconds.
        transport: another way to send, for tests.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str | None = None,
        timeout: float = 30.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._http = httpx.Client(
            base_url=base_url, headers=headers(api_key), timeout=timeout, transport=transport, trust_env=False
        )

    def search(
        self,
        image: bytes,
        k: int | None = None,
        mode: str | None = None,
        filters: Filters | None = None,
        rerank: bool | None = None,
        crop: Sequence[float] | None = None,
        *,
        timings: bool | None = None,
        generated: bool | None = None,
        describe: bool | None = None,
        model: str | None = None,
    ) -> SearchAnswer:
        """Products most like a picture; what is None is left to the server.

        Args:
            image: a JPEG, PNG, WEBP, BMP or GIF file.
            k: 1 to 100 results.
            mode: `photo`, `sketch` or `sketch-direct`.
            filters: `category`, `attributes`, `colour` and `domain`; a word or a list of words each.
            rerank: by shared attributes.
            crop: x1, y1, x2, y2 in pixels of the upright picture.
            timings, generated: ask for them in the answer.
            describe: whether the query's attributes are predicted.
            model: the label of a model.
        """
        flags = {"timings": timings, "generated": generated, "describe": describe}
        form = search_form(k, mode, filters, rerank, crop, flags)
        files, params = {"image": (PICTURE, image)}, present(model=model)
        return parsed(self._http.post("/search", data=form, files=files, params=params), SearchAnswer)

    def similar(
        self, item_id: str, k: int | None = None, image_id: str | None = None, model: str | None = None
    ) -> SearchAnswer:
        """Images of other products most like one of this product's, its first one by default."""
        params = present(k=k, image_id=image_id, model=model)
        return parsed(self._http.get(item_path("similar", item_id), params=params), SearchAnswer)

    def item(self, item_id: str, model: str | None = None) -> Item:
        return parsed(self._http.get(item_path("items", item_id), params=present(model=model)), Item)

    def item_image(self, item_id: str, image_id: str | None = None, model: str | None = None) -> bytes:
        """A JPEG; of the first image by default."""
        params = present(image_id=image_id, model=model)
        return content(self._http.get(item_path("items", item_id, "/image"), params=params))

    def filters(self, model: str | None = None) -> FilterValues:
        """What can be filtered by."""
        return parsed(self._http.get("/catalogue/filters", params=present(model=model)), FilterValues)

    def version(self) -> Version:
        return parsed(self._http.get("/version"), Version)

    def close(self) -> None:
        self._http.close()

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
    ) -> None:
        self._http = httpx.AsyncClient(
            base_url=base_url, headers=headers(api_key), timeout=timeout, transport=transport, trust_env=False
        )

    async def search(
        self,
        image: bytes,
        k: int | None = None,
        mode: str | None = None,
        filters: Filters | None = None,
        rerank: bool | None = None,
        crop: Sequence[float] | None = None,
        *,
        timings: bool | None = None,
        generated: bool | None = None,
        describe: bool | None = None,
        model: str | None = None,
    ) -> SearchAnswer:
        """See `Client.search`."""
        flags = {"timings": timings, "generated": generated, "describe": describe}
        form = search_form(k, mode, filters, rerank, crop, flags)
        files, params = {"image": (PICTURE, image)}, present(model=model)
        return parsed(await self._http.post("/search", data=form, files=files, params=params), SearchAnswer)

    async def similar(
        self, item_id: str, k: int | None = None, image_id: str | None = None, model: str | None = None
    ) -> SearchAnswer:
        """See `Client.similar`."""
        params = present(k=k, image_id=image_id, model=model)
        return parsed(await self._http.get(item_path("similar", item_id), params=params), SearchAnswer)

    async def item(self, item_id: str, model: str | None = None) -> Item:
        return parsed(await self._http.get(item_path("items", item_id), params=present(model=model)), Item)

    async def item_image(self, item_id: str, image_id: str | None = None, model: str | None = None) -> bytes:
        """See `Client.item_image`."""
        params = present(image_id=image_id, model=model)
        return content(await self._http.get(item_path("items", item_id, "/image"), params=params))

    async def filters(self, model: str | None = None) -> FilterValues:
        """See `Client.filters`."""
        return parsed(await self._http.get("/catalogue/filters", params=present(model=model)), FilterValues)

    async def version(self) -> Version:
        return parsed(await self._http.get("/version"), Version)

    async def close(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
