"""What both clients send and how they read it: no input or output here."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ValidationError

from serving.answers import ProblemBody

T = TypeVar("T", bound=BaseModel)

Filters = Mapping[str, str | Sequence[str]]


class ServerError(RuntimeError):
    """The server answered with an error.

    Attributes:
        problem: type, title, status, detail, field and limit.
        retry_after: seconds until it may be worth another try, where the server says so.
    """

    def __init__(self, problem: ProblemBody, retry_after: float | None) -> None:
        super().__init__(f"{problem.status} {problem.title}: {problem.detail}")
        self.problem = problem
        self.retry_after = retry_after


def search_form(
    k: int | None,
    mode: str | None,
    filters: Filters | None,
    rerank: bool | None,
    crop: Sequence[float] | None,
    flags: Mapping[str, bool | None],
) -> dict[str, str]:
    """The fields of a search but for the picture; what is None is left to the server."""
    fields: dict[str, str | None] = {
        "k": None if k is None else str(k),
        "mode": mode,
        "filters": None if filters is None else json.dumps(filters),
        "crop": None if crop is None else ",".join(str(number) for number in crop),
        **{name: None if flag is None else json.dumps(flag) for name, flag in {"rerank": rerank, **flags}.items()},
    }
    return {name: value for name, value in fields.items() if value is not None}


def present(**parameters: Any) -> dict[str, Any]:
    """The parameters of a query that are not None."""
    return {name: value for name, value in parameters.items() if value is not None}


def item_path(prefix: str, item_id: str, suffix: str = "") -> str:
    return f"/{prefix}/{quote(item_id, safe='')}{suffix}"


def headers(api_key: str | None) -> dict[str, str]:
    return {} if api_key is None else {"X-API-Key": api_key}


def parsed(response: httpx.Response, kind: type[T]) -> T:
    """The body as `kind`.

    Raises:
        ServerError: when the server answered with an error.
    """
    return kind.model_validate_json(content(response))


def content(response: httpx.Response) -> bytes:
    """The body.

    Raises:
        ServerError: when the server answered with an error.
    """
    if response.is_success:
        return response.content
    wait = response.headers.get("retry-after", "")
    raise ServerError(_problem(response), float(wait) if wait.isdigit() else None)


def _problem(response: httpx.Response) -> ProblemBody:
    try:
        return ProblemBody.model_validate_json(response.content)
    except ValidationError:  # of something between us and the server
        title = response.reason_phrase
        return ProblemBody(
            type="about:blank", title=title, status=response.status_code, detail=response.text[:200] or title
        )
