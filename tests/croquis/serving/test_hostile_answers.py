"""The clients against servers that answer wrongly: ServerError or httpx's errors, bounded memory, bounded time."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import socket
import threading
import tracemalloc
import zlib
from collections.abc import Callable, Iterator

import httpx
import pytest

from croquis.catalog.filters import QueryError
from croquis.search.interface import RetrieverError
from croquis.serving.client import AsyncClient, Client, ServerError
from croquis.serving.client_limits import MOST_ANSWER_BYTES
from croquis.serving.remote_retriever import RemoteRetriever

Serve = Callable[[socket.socket], None]
EXPECTED = (ServerError, httpx.HTTPError)
Ask = Callable[[str, float], object]


@contextlib.contextmanager
def serving(serve: Serve) -> Iterator[str]:
    """The address of a server that does `serve` with one connection."""
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        with contextlib.suppress(OSError):
            connection, _ = listener.accept()
            with connection:
                connection.recv(65_536)
                serve(connection)

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.close()
        thread.join(10)


def answer(status: str, headers: str = "", body: bytes = b"", length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    head = f"HTTP/1.1 {status}\r\n{headers}Content-Length: {size}\r\nConnection: close\r\n\r\n"
    return head.encode("latin-1") + body


def by_thread(address: str, seconds: float) -> object:
    with Client(address, timeout=seconds) as client:
        return client.version()


def by_loop(address: str, seconds: float) -> object:
    async def ask() -> object:
        async with AsyncClient(address, timeout=seconds) as client:
            return await client.version()

    return asyncio.run(ask())


both = pytest.mark.parametrize("ask", [by_thread, by_loop])
VERSION = b'{"models": [], "modes": [], "limits": {"k": 1, "image_bytes": 1, "pixels": 1, "formats": []}}'
PROBLEM = b'{"type": "t", "title": "x", "status": 1e30, "detail": "d", "field": null, "limit": null}'

HOSTILE = {
    "a superscript to wait for": answer("429 x", "Retry-After: \u00b2\r\n"),
    "Arabic digits to wait for": "HTTP/1.1 429 x\r\nRetry-After: \u0663\r\nContent-Length: 0\r\n\r\n".encode(),
    "a long number to wait for": answer("429 x", f"Retry-After: {'9' * 5000}\r\n"),
    "a codec that is no charset": answer("500 x", "Content-Type: text/html; charset=idna\r\n", b"x"),
    "another such codec": answer("500 x", "Content-Type: text/html; charset=zlib_codec\r\n", b"x"),
    "a charset of nothing": answer("500 x", "Content-Type: text/html; charset=undefined\r\n", b"\xff"),
    "a page": answer("200 OK", "Content-Type: text/html\r\n", b"<h1>Welcome</h1>"),
    "nothing": answer("200 OK"),
    "another type": answer("200 OK", body=b"[]"),
    "wrong types": answer("200 OK", body=VERSION.replace(b'"k": 1', b'"k": []')),
    "not a number": answer("200 OK", body=VERSION.replace(b'"k": 1', b'"k": NaN')),
    "levels without end": answer("200 OK", body=b"[" * 5000 + b"]" * 5000),
    "levels in an error": answer("500 x", body=b'{"a":' * 5000),
    "a lone surrogate": answer("200 OK", body=VERSION.replace(b'"modes": []', b'"modes": ["\\ud800"]')),
    "no UTF-8": answer("200 OK", body=b"\xff\xfe{"),
    "a wrong status in the problem": answer("500 x", body=PROBLEM),
    "gzip that is none": answer("200 OK", "Content-Encoding: gzip\r\n", VERSION),
    "gzip that breaks off": answer("200 OK", "Content-Encoding: gzip\r\n", gzip.compress(VERSION)[:-9]),
    "brotli": answer("200 OK", "Content-Encoding: br\r\n", b"\x1b"),
    "zstd": answer("500 x", "Content-Encoding: zstd\r\n", b"(\xb5/\xfd"),
    "gzip of gzip": answer("200 OK", "Content-Encoding: gzip, gzip\r\n", gzip.compress(gzip.compress(VERSION))),
    "a body that breaks off": answer("200 OK", body=VERSION, length=5000),
    "a redirect": answer("302 Found", "Location: http://127.0.0.1:1/version\r\n"),
    "a redirect to no URL": answer("302 Found", "Location: http://[::\r\n"),
    "a redirect to a port that is none": answer("302 Found", "Location: //a:999999999/\r\n"),
    "a redirect in bytes": answer("302 Found", "Location: \u00ff\u00b2\r\n"),
    "a redirect to a host that is none": answer("302 Found", "Location: http://xn--a/\r\n"),
    "a redirect to a path that is none": answer("307 x", "Location: http:x\r\n"),
    "a redirect to a long place": answer("302 Found", f"Location: /{'a' * 70_000}\r\n"),
    "lists without end": answer(
        "200 OK", body=VERSION.replace(b'"modes": []', b'"modes": [' + b"[]," * 600_000 + b"1]")
    ),
    "objects in an error": answer("500 x", body=PROBLEM.replace(b'"x"', b"[" + b'{"":{}},' * 400_000 + b"1]")),
    "no HTTP": b"SSH-2.0-OpenSSH\r\n",
    "a header without end": b"HTTP/1.1 200 OK\r\nX: " + b"a" * 300_000,
    "a chunk of no length": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "a cookie of nonsense": answer("200 OK", "Set-Cookie: a=b; Max-Age=\u00b2; Expires=\u00b2; Domain=[::\r\n", b"x"),
}


@both
@pytest.mark.parametrize("name", HOSTILE)
def test_only_two_kinds_of_errors_come_out(name: str, ask: Ask) -> None:
    with serving(lambda connection: connection.sendall(HOSTILE[name])) as address, pytest.raises(EXPECTED) as raised:
        ask(address, 20)
    assert len(str(raised.value)) < 2000
    if isinstance(raised.value, ServerError):
        assert raised.value.problem.status in (200, 302, 307, 429, 500)
        assert raised.value.retry_after is None


ZEROS = 100_000_000
BOMBS: dict[str, Callable[[], bytes]] = {
    "gzip": lambda: answer("200 OK", "Content-Encoding: gzip\r\n", gzip.compress(bytes(ZEROS), 9)),
    "gzip of an error": lambda: answer("500 x", "Content-Encoding: gzip\r\n", gzip.compress(bytes(ZEROS), 9)),
    "zlib": lambda: answer("200 OK", "Content-Encoding: x-gzip\r\n", zlib.compress(bytes(ZEROS), 9)),
    "plain": lambda: answer("200 OK", body=bytes(MOST_ANSWER_BYTES + 1)),
}


@pytest.mark.slow
@both
@pytest.mark.parametrize("name", BOMBS)
def test_an_answer_takes_bounded_memory(name: str, ask: Ask) -> None:
    bomb = BOMBS[name]()
    with serving(lambda connection: connection.sendall(bomb)) as address:
        tracemalloc.start()
        try:
            with pytest.raises(ServerError, match="larger than 16000000 bytes"):
                ask(address, 60)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak < 4 * MOST_ANSWER_BYTES


def drip(head: bytes) -> Serve:
    """Sends `head` at once and then a byte every 50 ms for as long as somebody listens."""

    def serve(connection: socket.socket) -> None:
        connection.sendall(head)
        with contextlib.suppress(OSError):
            for _ in range(400):
                connection.sendall(b" ")
                threading.Event().wait(0.05)

    return serve


@both
@pytest.mark.parametrize(
    "head", [b"HTTP/1.1 200 OK\r\nX: ", answer("200 OK", length=9999), b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200"]
)
def test_bytes_that_come_one_by_one_are_not_waited_for_without_end(head: bytes, ask: Ask) -> None:
    with serving(drip(head)) as address, pytest.raises(httpx.ReadTimeout):
        ask(address, 0.3)


@both
def test_packed_answers_are_read(ask: Ask) -> None:
    packed = answer("200 OK", "Content-Encoding: gzip\r\n", gzip.compress(VERSION))
    with serving(lambda connection: connection.sendall(packed)) as address:
        assert ask(address, 20).limits.k == 1  # type: ignore[attr-defined]


@pytest.mark.parametrize("item_id", ["", ".", "..", "\ud800", "a\r\nb"])
@pytest.mark.parametrize("method", ["item", "item_image", "similar", "delete_item"])
def test_an_id_that_leads_elsewhere_is_not_asked_for(method: str, item_id: str) -> None:
    transport = httpx.MockTransport(lambda request: pytest.fail(f"asked for {request.url}"))
    with Client("http://host", transport=transport) as client, pytest.raises(QueryError, match="item_id"):
        getattr(client, method)(item_id)


def test_ids_stay_within_their_part_of_the_path() -> None:
    asked: list[bytes] = []

    def note(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.raw_path)
        return httpx.Response(404)

    with Client("http://host", transport=httpx.MockTransport(note)) as client:
        for item_id in ("...", "../..", "a/../b", "%2e%2e", "..\\x", "?k=1", "#"):
            with pytest.raises(ServerError):
                client.delete_item(item_id)
    assert all(path.startswith(b"/items/") and path.count(b"/") == 2 for path in asked), asked


COOKIES = ["a=\u00e9", "a=\u00df\u20ac; Path=/", "a=b; Max-Age=99999", "a=b\x7f", "a=" + "b" * 60_000]


@pytest.mark.parametrize("cookie", COOKIES)
def test_no_cookie_is_kept(cookie: str) -> None:
    sent: list[httpx.Headers] = []

    def note(request: httpx.Request) -> httpx.Response:
        sent.append(request.headers)
        return httpx.Response(200, headers=[(b"Set-Cookie", cookie.encode())], content=VERSION)

    async def ask_again() -> None:
        async with AsyncClient("http://host", transport=httpx.MockTransport(note)) as client:
            for _ in range(3):
                await client.version()

    with Client("http://host", transport=httpx.MockTransport(note)) as client:
        for _ in range(3):
            client.version()
    asyncio.run(ask_again())
    assert len(sent) == 6
    assert not any("cookie" in headers for headers in sent)


def test_a_picture_is_a_picture() -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(200, text="<h1>Log in</h1>"))
    with Client("http://host", transport=transport) as client, pytest.raises(ServerError, match="no JPEG"):
        client.item_image("a")


def test_a_score_is_a_number() -> None:
    body = (
        b'{"model": {"name": "m", "version": "1", "bundle": "b"}, "mode": "photo", "query_attributes": [], "results": ['
    )
    hit = (
        b'{"rank": 1, "item_id": "a", "image_id": "b", "score": %s, "category": "c", "attributes": [], "image": "/", %s'
    )
    for score, passes in ((b"0.5", True), (b"1e999", False), (b"-Infinity", False), (b"null", False)):
        whole = body + hit % (score, b'"shared_attributes": []}]}')
        transport = httpx.MockTransport(lambda _, whole=whole: httpx.Response(200, content=whole))
        with Client("http://host", transport=transport) as client:
            if passes:
                assert client.search(b"x").results[0].score == 0.5
            else:
                with pytest.raises(ServerError, match="cannot be used"):
                    client.search(b"x")


def test_a_message_is_one_line() -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(500, text="a\x1b[31m\r\nb"))
    with Client("http://host", transport=transport) as client, pytest.raises(ServerError) as raised:
        client.version()
    assert str(raised.value).isprintable()


@pytest.mark.parametrize("name", ["a page", "no HTTP", "a redirect", "brotli"])
def test_the_retriever_says_that_it_is_no_search_server(name: str) -> None:
    with (
        serving(lambda connection: connection.sendall(HOSTILE[name])) as address,
        pytest.raises(RetrieverError) as raised,
    ):
        RemoteRetriever.load(address)
    assert address in str(raised.value)
