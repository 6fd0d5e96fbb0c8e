"""A typed client of the search server, for scripts and services: `Client`, and `AsyncClient` with the same methods to await.

    with Client("http://127.0.0.1:8000") as client:
        answer = client.search(Path("photo.jpg").read_bytes(), k=5, filters={"category": ["dress"]})
        print([(hit.item_id, hit.score) for hit in answer.results])

Every method raises `ServerError` when the server answers with an error or with what no server of ours sends, httpx's errors
when it cannot be reached, and `QueryError` for an id that no path can hold. An answer is at most 16 MB. It needs httpx and
pydantic, and none of what the server needs.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar, Concatenate, Generic, ParamSpec, Self, TypeVar, Unpack, overload
from urllib.parse import quote

import httpx

from croquis.catalog.filters import QueryError
from croquis.serving.answers.answer_models import FilterValues, Item, ItemChange, SearchAnswer, Version
from croquis.serving.client_limits import AnswerBody, Deadline, NoCookies, forget_redirect
from croquis.serving.client_transport import DeadlineTransport
from croquis.serving.client_wire import (
    Call,
    ChangeOptions,
    ItemOptions,
    SearchOptions,
    ServerError,
    SimilarOptions,
    jpeg,
    json_of,
    present,
    told,
)

__all__ = ["AsyncClient", "Client", "ServerError"]

P = ParamSpec("P")
T = TypeVar("T")


class ClientMethod(Generic[P, T]):
    """A method of both clients, from the function that says what to send: `Client` returns the answer, `AsyncClient` a
    coroutine of it."""

    def __init__(self, call: Callable[Concatenate[Any, P], Call[T]]) -> None:
        self._call = call

    @overload
    def __get__(self, client: None, owner: type) -> Callable[..., Call[T]]: ...
    @overload
    def __get__(self, client: Client, owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, client: AsyncClient, owner: type) -> Callable[P, Coroutine[Any, Any, T]]: ...
    def __get__(self, client: Any, owner: type) -> Any:
        if client is None:
            return self._call

        @functools.wraps(self._call)
        def send(*args: P.args, **options: P.kwargs) -> Any:
            return client.send(self._call(client, *args, **options))

        return send


class ClientCalls:
    """What can be asked.

    Args:
        base_url: e.g. `http://127.0.0.1:8000`.
        api_key: where the server asks for one.
        timeout: seconds for a whole call, from connecting to the last byte of the answer.
        transport: another way to send, for tests.
        admin_token: to change the catalogue.
    """

    _kind: ClassVar[type[Any]]  # of httpx

    def _own(self) -> httpx.BaseTransport | None:
        """Another transport than httpx's."""
        return None

    @staticmethod
    def _forget(response: httpx.Response) -> Any:
        """`forget_redirect`, as httpx wants to call it."""
        forget_redirect(response)

    def __init__(
        self,
        base_url: str,
        api_key: str | None = None,
        timeout: float = 30.0,
        transport: httpx.BaseTransport | httpx.AsyncBaseTransport | None = None,
        admin_token: str | None = None,
    ) -> None:
        headers = {"Accept-Encoding": "gzip"} | ({} if api_key is None else {"X-API-Key": api_key})
        self._seconds = timeout
        self._deadline = Deadline(timeout)
        # Proxies of the environment are not used.
        self._http = self._kind(
            base_url=base_url,
            headers=headers,
            timeout=timeout,
            transport=transport or self._own(),
            trust_env=False,
            cookies=NoCookies(),
            event_hooks={"response": [self._forget]},
        )
        self._token = admin_token

    @ClientMethod
    def search(self, *image: bytes, **options: Unpack[SearchOptions]) -> Call[SearchAnswer]:
        """Products most like a picture, a JPEG, PNG, WEBP, BMP or GIF file, or like several pictures of one product, or
        with the words of `text`; see `SearchOptions`."""
        fields = present(options)
        query = {"model": fields.pop("model", None)}
        return Call(json_of(SearchAnswer), "POST", "/search", query, fields, image)

    @ClientMethod
    def similar(self, item_id: str, **options: Unpack[SimilarOptions]) -> Call[SearchAnswer]:
        """Images of other products most like one of this product's."""
        return Call(json_of(SearchAnswer), "GET", f"/similar/{segment(item_id)}", options)

    @ClientMethod
    def item(self, item_id: str, model: str | None = None) -> Call[Item]:
        """A product with its images."""
        return Call(json_of(Item), "GET", item_url(item_id), {"model": model})

    @ClientMethod
    def item_image(self, item_id: str, **options: Unpack[ItemOptions]) -> Call[bytes]:
        """A JPEG."""
        return Call(jpeg, "GET", f"{item_url(item_id)}/image", options)

    @ClientMethod
    def filters(self, model: str | None = None) -> Call[FilterValues]:
        """What can be filtered by."""
        return Call(json_of(FilterValues), "GET", "/catalogue/filters", {"model": model})

    @ClientMethod
    def put_item(self, item_id: str, *images: bytes, **options: Unpack[ChangeOptions]) -> Call[ItemChange]:
        """Adds a product, or replaces all of one; it is on the server's disk and searchable when this returns."""
        return Call(json_of(ItemChange), "PUT", item_url(item_id), {}, options, images, admin=True)

    @ClientMethod
    def add_item(self, item_id: str, *images: bytes, **options: Unpack[ChangeOptions]) -> Call[ItemChange]:
        """Adds a product that is not there yet."""
        fields = {"item_id": item_id, **options}
        return Call(json_of(ItemChange), "POST", "/items", {}, fields, images, admin=True)

    @ClientMethod
    def delete_item(self, item_id: str, version: int | None = None) -> Call[ItemChange]:
        """Takes a product out; no search finds it when this returns."""
        return Call(json_of(ItemChange), "DELETE", item_url(item_id), {"version": version}, admin=True)

    @ClientMethod
    def version(self) -> Call[Version]:
        """The loaded models and the limits."""
        return Call(json_of(Version), "GET", "/version")


class Client(ClientCalls):
    """Use it as a context manager, or call `close`; one may be used by several threads."""

    _kind = httpx.Client

    def send(self, call: Call[T]) -> T:
        """Sends a call and reads its answer, within the client's time for both.

        Raises:
            RetrieverError: when the server cannot be reached, is too slow, or its answer is none of ours.
            QueryError, ImageError: when it refuses the request.
        """
        with self._deadline.call(), self._http.stream(**call.arguments(self._token)) as response, told(response):
            body = AnswerBody.of(response)
            if not response.is_stream_consumed:
                for piece in response.iter_raw():
                    body.add(piece)
            return call.answer(response, body.content())

    def _own(self) -> httpx.BaseTransport | None:
        return DeadlineTransport(self._deadline)

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncClient(ClientCalls):
    """`Client` for asyncio; use it as an async context manager, or call `close`."""

    _kind = httpx.AsyncClient

    @staticmethod
    async def _forget(response: httpx.Response) -> None:
        forget_redirect(response)

    async def send(self, call: Call[T]) -> T:
        """As `Client.send`."""
        try:
            async with asyncio.timeout(self._seconds), self._http.stream(**call.arguments(self._token)) as response:
                with told(response):
                    body = AnswerBody.of(response)
                    if not response.is_stream_consumed:
                        async for piece in response.aiter_raw():
                            body.add(piece)
                    return call.answer(response, body.content())
        except TimeoutError:
            raise self._deadline.passed() from None

    async def close(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def item_url(item_id: str) -> str:
    """Path of a product; an id may hold slashes.

    Raises:
        QueryError: for an id that no path can hold.
    """
    return f"/items/{segment(item_id)}"


def segment(item_id: str) -> str:
    """An id as a part of a path.

    Raises:
        QueryError: for one that would lead to another path: what takes a `.` or `..` out may stand anywhere on the way.
    """
    if item_id in ("", ".", "..") or not item_id.isprintable():
        raise QueryError("item_id", item_id, "must be printable and neither empty nor '.' nor '..'")
    return quote(item_id, safe="")
