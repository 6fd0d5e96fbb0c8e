"""Reads the body of a search, at most as large as allowed and no longer than allowed, into its fields."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from serving.problems import Problem, invalid_field
from serving.search_request import FIELDS, SearchRequest, read_json
from serving.settings import MULTIPART_OVERHEAD, Limits
from serving.work_queue import WorkQueue

JSON, FORM = "application/json", "multipart/form-data"


@contextlib.asynccontextmanager
async def search_request(request: Request, limits: Limits, queue: WorkQueue) -> AsyncIterator[SearchRequest]:
    """The checked request; the room for its body is held for the length of the block.

    Raises:
        Problem: 408 when the body does not come, 411 or 413 by its length, 415 for another media type, 422 for a field,
            429 when too many bodies are held already.
    """
    size = body_size(request, limits)
    with queue.hold(size):
        try:
            async with asyncio.timeout(limits.body_seconds):
                fields = await read_fields(request, size)
        except TimeoutError:
            raise Problem(408, "too-slow", f"the body took longer than {limits.body_seconds} s") from None
        yield SearchRequest.from_fields(fields, limits)


def body_size(request: Request, limits: Limits) -> int:
    """What Content-Length says, or the largest size where a body comes in chunks of unknown number.

    Raises:
        Problem: 411 when the header is no number, 413 when it is over the limit.
    """
    stated = request.headers.get("content-length")
    if stated is None:
        return limits.body_bytes
    if not stated.isascii() or not stated.isdigit():
        raise Problem(411, "length-required", "Content-Length must be a number of bytes", field="body")
    if len(stated) > 15 or int(stated) > limits.body_bytes:
        raise _too_large(limits.body_bytes)
    return int(stated)


async def read_fields(request: Request, most: int) -> dict[str, Any]:
    """The fields of a JSON object or of a form.

    Raises:
        Problem: 413, 415 or 422.
    """
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media == JSON:
        body = b"".join([chunk async for chunk in _limited(request, most)])
        values = read_json("body", body)
        if not isinstance(values, dict):
            raise invalid_field("body", type(values).__name__, "must be a JSON object")
        return values
    if media == FORM:
        return await _form_fields(request, most)
    raise Problem(
        415, "unsupported-media-type", f"send {FORM} or {JSON}", field="content-type", limit=f"{FORM} or {JSON}"
    )


async def _form_fields(request: Request, most: int) -> dict[str, Any]:
    parser = MultiPartParser(
        request.headers,
        _limited(request, most),
        max_files=1,
        max_fields=len(FIELDS),
        max_part_size=MULTIPART_OVERHEAD,
    )
    parser.spool_max_size = most  # nothing is written to disk; the body's size is limited
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise invalid_field("body", "form", f"cannot be read: {error.message}") from None
    except (KeyError, ValueError, AssertionError):  # of a header that the parser does not foresee
        raise invalid_field("body", "form", "is no multipart/form-data") from None
    try:
        return await _each_once(form)
    finally:
        await form.close()


async def _each_once(form: FormData) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, value in form.multi_items():
        if name in fields:
            raise invalid_field(name[:60], "...", "was sent twice")
        fields[name] = await value.read() if isinstance(value, UploadFile) else value
    return fields


async def _limited(request: Request, most: int) -> AsyncGenerator[bytes, None]:
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        if received > most:
            raise _too_large(most)
        yield chunk


def _too_large(most: int) -> Problem:
    limit = f"at most {most} bytes"
    return Problem(413, "body-too-large", f"the body is larger than {most} bytes", field="body", limit=limit)
