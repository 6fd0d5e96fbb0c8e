"""Reads the body of a request, at most as large as allowed and no longer than allowed, into its fields."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from croquis.serving.answers.problems import Problem, invalid_field
from croquis.serving.limits.work_queue import WorkQueue
from croquis.serving.requests.search_request import SearchRequest, read_json
from croquis.serving.server_settings import MULTIPART_OVERHEAD, Limits

JSON, FORM = "application/json", "multipart/form-data"
MOST_FIELDS = 20  # more than any request has
PICTURE = "image"


@contextlib.asynccontextmanager
async def search_request(request: Request, limits: Limits, queue: WorkQueue) -> AsyncIterator[SearchRequest]:
    """The checked request; the room for its body is held for the length of the block.

    Raises:
        Problem: 422 for a field, and those of `request_fields`.
    """
    async with request_fields(request, limits, queue) as fields:
        yield SearchRequest.from_fields(fields, limits)


@contextlib.asynccontextmanager
async def request_fields(
    request: Request, limits: Limits, queue: WorkQueue, most_pictures: int = 1
) -> AsyncIterator[dict[str, Any]]:
    """The fields of the body; the room for it is held for the length of the block.

    Args:
        most_pictures: how often the file `image` may come in a form; where more than one may come, it is a list.

    Raises:
        Problem: 408 when the body does not come, 411 or 413 by its length, 415 for another media type, 422 when it makes
            no sense, 429 when too many bodies are held already.
    """
    size = body_size(request, limits)
    with queue.hold(size):
        try:
            async with asyncio.timeout(limits.body_seconds):
                fields = await read_fields(request, size, most_pictures)
        except TimeoutError:
            raise Problem(408, "too-slow", f"the body took longer than {limits.body_seconds} s") from None
        yield fields


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


async def read_fields(request: Request, most: int, most_pictures: int = 1) -> dict[str, Any]:
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
        return await _form_fields(request, most, most_pictures)
    raise Problem(
        415, "unsupported-media-type", f"send {FORM} or {JSON}", field="content-type", limit=f"{FORM} or {JSON}"
    )


async def _form_fields(request: Request, most: int, most_pictures: int) -> dict[str, Any]:
    parser = MultiPartParser(
        request.headers,
        _limited(request, most),
        max_files=most_pictures,
        max_fields=MOST_FIELDS,
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
        return await _named(form, most_pictures > 1)
    finally:
        await form.close()


async def _named(form: FormData, several_pictures: bool) -> dict[str, Any]:
    fields: dict[str, Any] = {PICTURE: []} if several_pictures else {}
    for name, value in form.multi_items():
        content = await value.read() if isinstance(value, UploadFile) else value
        if several_pictures and name == PICTURE:
            fields[PICTURE].append(content)
        elif name in fields:
            raise invalid_field(name[:60], "...", "was sent twice")
        else:
            fields[name] = content
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
