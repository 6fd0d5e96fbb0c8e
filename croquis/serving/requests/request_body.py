"""Reads the body of a request into its model, at most as large as allowed and no longer than allowed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any, TypeVar

from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core.core_schema import BytesSchema, WithDefaultSchema
from python_multipart.multipart import parse_options_header
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from croquis.catalog.product import MOST_PICTURES
from croquis.serving.answers.problems import Problem, described, invalid_field
from croquis.serving.limits.work_queue import WorkQueue
from croquis.serving.requests.request_models import RequestFields, read_json
from croquis.serving.server_settings import BODY_WINDOW, MULTIPART_OVERHEAD, Limits

JSON, FORM = "application/json", "multipart/form-data"
MOST_FIELDS = 20  # more than any request has
# Of the text in a form. Python knows others, one of which takes a second for 64 kB (punycode).
CHARSETS = {"utf-8", "utf8", "utf-7", "utf-16", "us-ascii", "ascii", "iso-8859-1", "latin-1", "latin1", "windows-1252"}
JSON_TEXT = {"attributes", "crop", "filters", "product"}  # in a form


BODY_ERRORS = described(
    {
        408: "The body came too slowly.",
        411: "Content-Length is no number.",
        413: "The body or a picture is over a limit.",
        415: "Another media type, or a file that is no picture of a known kind.",
        422: "A field is wrong; `field` and `limit` say which and why.",
        429: "Too busy, or too many requests; Retry-After says when to come back.",
    }
)
Fields = TypeVar("Fields", bound=RequestFields)


@contextlib.asynccontextmanager
async def request_of(model: type[Fields], request: Request, limits: Limits, queue: WorkQueue) -> AsyncIterator[Fields]:
    """The checked request; room for what has come of its body is held for the length of the block.

    Raises:
        Problem: 408 when the body does not come, 411 or 413 by its length, 415 for another media type, 422 when it makes
            no sense, 429 when too many bodies are held already.
        RequestValidationError: when a field is unknown, missing or wrong.
    """
    size = body_size(request, limits.body_bytes)
    with queue.hold() as take:
        fields = await read_fields(request, size, body_chunks(request, size, limits, take))
        try:
            asked = model.model_validate(fields, context=limits)
        except ValidationError as error:
            found = [{**each, "loc": ("body", *each["loc"])} for each in error.errors(include_url=False)]
            raise RequestValidationError(found) from None
        yield asked


def body_size(request: Request, most: int) -> int:
    """What Content-Length says, or `most` where a body comes in chunks of unknown number.

    Raises:
        Problem: 411 when the header is no number, 413 when it is over `most`.
    """
    stated = request.headers.get("content-length")
    if stated is None:
        return most
    if not stated.isascii() or not stated.isdigit():
        raise Problem(411, "length-required", "Content-Length must be a number of bytes", field="body")
    if len(stated) > 15 or int(stated) > most:
        raise too_large(most)
    return int(stated)


async def read_fields(request: Request, most: int, chunks: AsyncGenerator[bytes, None]) -> dict[str, Any]:
    """The values of a JSON body, or the fields of a form: text, the bytes of a file, or a list where one came repeatedly.

    Raises:
        Problem: 413, 415 or 422.
    """
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media == JSON:
        return json_fields(b"".join([chunk async for chunk in chunks]))
    if media != FORM:
        allowed = f"{FORM} or {JSON}"
        raise Problem(415, "unsupported-media-type", f"send {allowed}", field="content-type", limit=allowed)
    check_charset(request.headers.get("content-type", ""))
    parser = MultiPartParser(
        request.headers,
        chunks,
        max_files=MOST_PICTURES,
        max_fields=MOST_FIELDS,
        max_part_size=MULTIPART_OVERHEAD,
    )
    parser.spool_max_size = most  # nothing is written to disk; the body's size is limited
    try:
        form = await parser.parse()
    except MultiPartException as error:
        hint = " (a picture's part needs a filename)" if "exceeded maximum size" in error.message else ""
        raise invalid_field("body", "form", f"cannot be read: {error.message}{hint}") from None
    except (KeyError, ValueError, AssertionError):  # of a header that the parser does not foresee
        raise invalid_field("body", "form", "is no multipart/form-data") from None
    sent: dict[str, list[str | bytes]] = {}
    try:
        for name, value in form.multi_items():
            sent.setdefault(name, []).append(await value.read() if isinstance(value, UploadFile) else value)
    finally:
        await form.close()
    return {name: values if len(values) > 1 else values[0] for name, values in sent.items()}


def check_charset(content_type: str) -> None:
    """Refuses a form whose text is in another charset than those that every program reads.

    Raises:
        Problem: 415.
    """
    stated = parse_options_header(content_type)[1].get(b"charset", b"utf-8")
    if stated.decode("latin-1").lower() not in CHARSETS:
        detail = "the form's text has a charset that is not read here"
        raise Problem(415, "unsupported-media-type", detail, field="content-type", limit="charset=utf-8, or none")


def json_fields(body: bytes) -> dict[str, Any]:
    """The fields of a JSON object.

    Raises:
        Problem: 422 when the body is no JSON object, or has more than `MOST_FIELDS` fields.
    """
    try:
        fields = read_json(body)
    except ValueError as error:
        raise invalid_field("body", "JSON", str(error)) from None
    if not isinstance(fields, dict):
        raise invalid_field("body", type(fields).__name__, "must be a JSON object")
    if len(fields) > MOST_FIELDS:
        raise invalid_field("body", len(fields), f"fields are too many, at most {MOST_FIELDS}")
    return fields


async def body_chunks(
    request: Request, most: int, limits: Limits, take: Callable[[int], None]
) -> AsyncGenerator[bytes, None]:
    """The chunks of the body, while they come fast enough.

    Args:
        take: called with the size of each chunk in bytes; may refuse it.

    Raises:
        Problem: 408 when a window of `BODY_WINDOW` seconds has brought less than `limits.body_rate` asks for, or all of them
            take longer than `limits.body_seconds`; 413 once the chunks are more than `most` bytes together.
    """
    now, chunks = asyncio.get_running_loop().time, request.stream()
    received, needed = 0, limits.body_rate * BODY_WINDOW
    end, window_end = now() + limits.body_seconds, now() + BODY_WINDOW
    while True:
        try:
            async with asyncio.timeout_at(min(window_end, end)):
                chunk = await anext(chunks, None)
        except TimeoutError:
            limit = f"{limits.body_rate} bytes per second, in {limits.body_seconds:g} s"
            close = {"Connection": "close"}
            raise Problem(
                408, "too-slow", "the body came too slowly", field="body", limit=limit, headers=close
            ) from None
        if chunk is None:
            return
        received += len(chunk)
        if received > most:
            raise too_large(most)
        take(len(chunk))
        if received >= needed:
            needed, window_end = received + limits.body_rate * BODY_WINDOW, now() + BODY_WINDOW
        yield chunk


def too_large(most: int) -> Problem:
    """413: the body has more than `most` bytes."""
    limit = f"at most {most} bytes"
    return Problem(413, "body-too-large", f"the body is larger than {most} bytes", field="body", limit=limit)


class FormSchema(GenerateJsonSchema):
    """Without defaults of null, as a form has none: text that is not sent is empty, else Swagger UI sends an example."""

    def default_schema(self, schema: WithDefaultSchema) -> JsonSchemaValue:
        if schema.get("default", ...) is None:
            inner = self.generate_inner(schema["schema"])
            return inner | {"default": ""} if inner.get("type") == "string" else inner
        return super().default_schema(schema)


class Base64Schema(FormSchema):
    """Of JSON bodies, where the bytes of a file are base64."""

    def bytes_schema(self, schema: BytesSchema) -> JsonSchemaValue:
        return super().bytes_schema(schema) | {"format": "byte", "description": "Base64 of the picture file."}


def in_openapi(model: type[RequestFields]) -> dict[str, Any]:
    """The request body, for `openapi_extra` of a route."""
    form = model.model_json_schema(schema_generator=FormSchema)
    values = model.model_json_schema(schema_generator=Base64Schema)
    for name in JSON_TEXT & form["properties"].keys():
        says = f"{form['properties'][name]['description'].rstrip('.')}. JSON text of what {JSON} has here."
        form["properties"][name] = {"type": "string", "default": "", "description": says}
    content = {FORM: {"schema": form}, JSON: {"schema": values, "example": model.example}}
    says = f"A form, in which pictures are files, or {JSON}, in which they are base64. Empty values count as not sent."
    return {"requestBody": {"required": True, "description": says, "content": content}}
