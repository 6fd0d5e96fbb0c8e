"""What a client waits for and keeps, whatever the server sends: a time for each call, and a size of each answer."""

from __future__ import annotations

import contextlib
import threading
import time
import zlib
from collections.abc import Iterator
from http.cookiejar import CookieJar
from typing import Any

import httpx

MOST_ANSWER_BYTES = 16_000_000  # unpacked; a hundred results with a painted picture take 200 kB
UNPACKED = ("", "identity")
PACKED = ("gzip", "x-gzip")
ANY_WRAPPER = 47  # of zlib: gzip or zlib, whichever it is


class AnswerError(ValueError):
    """An answer that no server of ours gives; the message says why."""


class NoCookies(CookieJar):
    """Takes none: they would be kept for ever and sent with each call, and may be what no request can hold."""

    def extract_cookies(self, response: Any, request: Any) -> None:
        """Does nothing."""


def forget_redirect(response: httpx.Response) -> None:
    """Takes the place that a redirect leads to out of an answer: httpx reads it even where none is followed, and raises what
    its parsers do."""
    response.headers.pop("location", None)


class AnswerBody:
    """The body of an answer, unpacked piece by piece.

    Args:
        coding: the header Content-Encoding.

    Raises:
        AnswerError: when it is packed in a way that was not asked for.
    """

    def __init__(self, coding: str) -> None:
        name = coding.strip().lower()
        if name not in (*UNPACKED, *PACKED):
            raise AnswerError(f"it is packed as {name[:20]!r}, which was not asked for")
        self._unpacker = zlib.decompressobj(ANY_WRAPPER) if name in PACKED else None
        self._pieces: list[bytes] = []
        self._left = self._left_packed = MOST_ANSWER_BYTES

    @classmethod
    def of(cls, response: httpx.Response) -> AnswerBody:
        """Of an answer; with its content where the transport has read it already."""
        if not response.is_stream_consumed:
            return cls(response.headers.get("content-encoding", ""))
        body = cls("")
        body.add(response.content)
        return body

    def add(self, piece: bytes) -> None:
        """Takes what came next.

        Raises:
            AnswerError: when it is damaged, or there is too much of it.
        """
        self._left_packed -= len(piece)
        if self._unpacker is not None:
            try:
                piece = self._unpacker.decompress(piece, self._left + 1)
            except zlib.error as error:
                raise AnswerError(f"it cannot be unpacked: {error}") from None
        self._left -= len(piece)
        if min(self._left, self._left_packed) < 0:
            raise AnswerError(f"it is larger than {MOST_ANSWER_BYTES} bytes")
        self._pieces.append(piece)

    def content(self) -> bytes:
        """All of it.

        Raises:
            AnswerError: when a packed body breaks off.
        """
        if self._unpacker is not None and self._pieces and not self._unpacker.eof:
            raise AnswerError("it breaks off")
        return b"".join(self._pieces)


class Deadline:
    """The end of the call that a thread is in. httpx limits each wait by itself, so that a server that sends a byte now and
    then is waited for without end; here no wait goes past the end of the call."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._calls = threading.local()

    @contextlib.contextmanager
    def call(self) -> Iterator[None]:
        """The block is one call, which ends `seconds` from now at the latest."""
        self._calls.end = time.monotonic() + self._seconds
        try:
            yield
        finally:
            del self._calls.end

    def limited(self, seconds: float | None) -> float | None:
        """The least of `seconds` and what is left of the call.

        Raises:
            httpx.ReadTimeout: when nothing is left.
        """
        end: float | None = getattr(self._calls, "end", None)
        if end is None:
            return seconds
        left = end - time.monotonic()
        if left <= 0:
            raise self.passed()
        return left if seconds is None else min(seconds, left)

    def passed(self) -> httpx.ReadTimeout:
        """The error of a call that took too long."""
        return httpx.ReadTimeout(f"the call took longer than {self._seconds:g} s")
