"""Errors as problem details (RFC 9457): `application/problem+json` that names the field and the limit."""

from __future__ import annotations

import json
import logging
import reprlib
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from croquis.catalog.filters import QueryError
from croquis.catalog.images import FORMATS as IMAGE_FORMATS
from croquis.catalog.images import ImageError, OversizedImageError
from croquis.credentials import without_credentials
from croquis.serving.answers.answer_models import ProblemBody
from croquis.serving.background.timed_calls import CallLimitError, CallTimeoutError
from croquis.store.vector_store import StoreError

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:croquis:problem:"
LONGEST_DETAIL = 500
CLIENT_CLOSED = 499  # in the log, of a client that went away before it was answered
SHOWN = 60  # characters of the name of a field
EXAMPLE = {
    "type": f"{TYPE_PREFIX}invalid-field",
    "title": "Unprocessable Entity",
    "status": 422,
    "detail": "k = 0: should be greater than or equal to 1",
    "field": "k",
    "limit": "should be greater than or equal to 1",
}
IN_OPENAPI: dict[str, Any] = {"content": {MEDIA_TYPE: {"schema": ProblemBody.model_json_schema(), "example": EXAMPLE}}}


def described(errors: Mapping[int, str]) -> dict[int | str, dict[str, Any]]:
    """Errors of a route, for `responses`: status -> what it means there."""
    return {status: {"description": words, **IN_OPENAPI} for status, words in errors.items()}


class Problem(Exception):  # noqa: N818 the RFC's word
    """A request that is answered with an error.

    Args:
        status: of HTTP.
        kind: the last part of the problem's type, e.g. `too-large`.
        detail: what is wrong with this request, and what would be right.
        field: the part of the request.
        limit: what is allowed, in words.
        headers: to send along, e.g. Retry-After.
    """

    def __init__(
        self,
        status: int,
        kind: str,
        detail: str,
        *,
        field: str | None = None,
        limit: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.detail = detail
        self.field = field
        self.limit = limit
        self.headers = headers

    def response(self) -> Response:
        """`application/problem+json` with the fields of `ProblemBody`."""
        body = {
            "type": TYPE_PREFIX + self.kind,
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail[:LONGEST_DETAIL],
            "field": self.field,
            "limit": self.limit[:LONGEST_DETAIL] if self.limit else None,
        }
        # ASCII only: what a client sent may hold lone surrogates, which UTF-8 has no bytes for.
        return Response(json.dumps(body), self.status, self.headers, media_type=MEDIA_TYPE)


def invalid_field(field: str, value: object, limit: str) -> Problem:
    """422: `field` holds `value`, which `limit` (a phrase such as `must be true or false`) does not allow."""
    return of_query(QueryError(field, value, limit))


def of_query(error: QueryError) -> Problem:
    """422, with the error's field and limit."""
    return Problem(422, "invalid-field", str(error), field=error.field, limit=error.limit)


def of_validation(error: Mapping[str, Any]) -> Problem:
    """The problem of an error of pydantic's, whose `loc` is the part of the request, then the field, then a place in it."""
    cause = error.get("ctx", {}).get("error")
    if isinstance(cause, QueryError):
        return of_query(cause)
    field = str(error["loc"][1])[:SHOWN] if len(error["loc"]) > 1 else "body"
    if error["type"] == "extra_forbidden":
        return invalid_field("body", field, "is not a field of this request; GET /docs lists them")
    limit = error["msg"].removeprefix("Input ") if cause is None else str(cause)
    sent = "" if error["type"] == "missing" else f" = {reprlib.repr(error['input'])}"
    return Problem(422, "invalid-field", f"{field}{sent}: {limit}", field=field, limit=limit)


def of_image(error: ImageError) -> Problem:
    """413 for a picture over a limit, 415 for a file of another kind, 422 for one that is broken."""
    if isinstance(error, OversizedImageError):
        return Problem(413, "image-too-large", str(error), field="image", limit="see limits at /version")
    still = f"a whole still picture: {', '.join(IMAGE_FORMATS)}"
    if type(error) is ImageError:
        return Problem(415, "unsupported-image", str(error), field="image", limit=still)
    return Problem(422, "unusable-image", str(error), field="image", limit=still)


def of_fault(request: Request, error: Exception) -> Response:
    """500 for an unexpected error, which is logged."""
    logger.error("%s failed", _named(request), exc_info=error)
    return Problem(500, "internal", "the server failed; its log says why").response()


def _unavailable(request: Request, error: Exception) -> Response:
    logger.error("%s: the store failed: %s", _named(request), without_credentials(error))
    detail = "the store that keeps the products does not answer; try again later"
    return Problem(503, "store-unavailable", detail, headers={"Retry-After": "5"}).response()


def _named(request: Request) -> str:
    """Method and path for the log: in one line, and cut."""
    return ascii(f"{request.method} {request.scope['path']}"[:LONGEST_DETAIL])


def install_handlers(app: FastAPI) -> None:
    """Makes every error of `app` a problem."""

    @app.exception_handler(Problem)
    async def problem(_: Request, error: Problem) -> Response:
        return error.response()

    @app.exception_handler(QueryError)
    async def query(_: Request, error: QueryError) -> Response:
        return of_query(error).response()

    @app.exception_handler(ImageError)
    async def image(_: Request, error: ImageError) -> Response:
        return of_image(error).response()

    @app.exception_handler(StoreError)
    async def no_store(request: Request, error: StoreError) -> Response:
        return _unavailable(request, error)

    @app.exception_handler(CallTimeoutError)
    @app.exception_handler(CallLimitError)
    async def hangs(request: Request, error: CallTimeoutError | CallLimitError) -> Response:
        return _unavailable(request, error)

    @app.exception_handler(RequestValidationError)
    async def validation(_: Request, error: RequestValidationError) -> Response:
        return of_validation(error.errors()[0]).response()

    @app.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> Response:
        kind = HTTPStatus(error.status_code).phrase.lower().replace(" ", "-")
        return Problem(error.status_code, kind, str(error.detail), headers=error.headers).response()

    @app.exception_handler(ClientDisconnect)
    async def gone(_: Request, __: ClientDisconnect) -> Response:
        return Response(status_code=CLIENT_CLOSED)  # it is not sent; the log has it

    @app.exception_handler(Exception)
    async def fault(request: Request, error: Exception) -> Response:
        return of_fault(request, error)
