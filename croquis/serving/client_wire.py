"""What both clients send and how they read it: no input or output here."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Required, TypedDict, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ValidationError

from croquis.serving.answers.answer_models import ProblemBody

T = TypeVar("T", bound=BaseModel)

PICTURE = "picture"  # the file's name: the server judges by the bytes


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


class SearchOptions(TypedDict, total=False):
    """What a search may be told; what is left out, or None, is up to the server.

    Attributes:
        k: 1 to 100 results.
        mode: `photo`, `sketch` or `sketch-direct`.
        filters: `category`, `attributes`, `colour` and `domain`; a word or a list of words each.
        rerank: by shared attributes.
        crop: x1, y1, x2, y2 in pixels of the upright picture.
        timings, generated: ask for them in the answer.
        describe: whether the query's attributes are predicted.
        model: the label of a model.
    """

    k: int | None
    mode: str | None
    filters: Mapping[str, str | Sequence[str]] | None
    rerank: bool | None
    crop: Sequence[float] | None
    timings: bool | None
    generated: bool | None
    describe: bool | None
    model: str | None


class ChangeOptions(TypedDict, total=False):
    """What a product is.

    Attributes:
        category: needed.
        attributes: words such as `colour:red`.
        crop: of a single picture, as in `SearchOptions`.
        version: of the product, more than the one that is there; by default the server counts.
    """

    category: Required[str]
    attributes: Sequence[str]
    crop: Sequence[float] | None
    version: int | None


class ItemOptions(TypedDict, total=False):
    """Which of an item's images (its first by default) and which model (the champion by default)."""

    image_id: str | None
    model: str | None


class SimilarOptions(ItemOptions, total=False):
    """And `k`, 1 to 100 results."""

    k: int | None


@dataclass(frozen=True)
class Call:
    """A request, as httpx's `request` takes it."""

    method: str
    url: str
    params: dict[str, Any] = field(default_factory=dict)
    data: dict[str, str] | None = None
    files: list[tuple[str, tuple[str, bytes]]] | None = None
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def arguments(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("method", "url", "params", "data", "files", "headers")}


def search_call(image: bytes, options: SearchOptions) -> Call:
    given = _present(options)
    params = _present({"model": given.pop("model", None)})
    return Call("POST", "/search", params, _form(given), _files([image]))


def put_call(
    item_id: str, images: Sequence[bytes], options: ChangeOptions, token: str | None, *, only_new: bool = False
) -> Call:
    method, url = ("POST", "/items") if only_new else ("PUT", _item_url(item_id))
    form = _form(_present(options) | ({"item_id": item_id} if only_new else {}))
    return Call(method, url, data=form, files=_files(images), headers=_bearer(token))


def delete_call(item_id: str, version: int | None, token: str | None) -> Call:
    return Call("DELETE", _item_url(item_id), _present({"version": version}), headers=_bearer(token))


def item_call(prefix: str, item_id: str, options: ItemOptions, suffix: str = "") -> Call:
    return Call("GET", _item_url(item_id, prefix) + suffix, _present(options))


def filters_call(model: str | None) -> Call:
    return Call("GET", "/catalogue/filters", _present({"model": model}))


VERSION_CALL = Call("GET", "/version")


def connection(base_url: str, api_key: str | None, timeout: float) -> dict[str, Any]:
    """Settings of httpx's clients. Proxies of the environment are not used."""
    headers = {} if api_key is None else {"X-API-Key": api_key}
    return {"base_url": base_url, "headers": headers, "timeout": timeout, "trust_env": False}


def _item_url(item_id: str, prefix: str = "items") -> str:
    return f"/{prefix}/{quote(item_id, safe='')}"


def _bearer(token: str | None) -> dict[str, str]:
    return {} if token is None else {"Authorization": f"Bearer {token}"}


def _files(images: Sequence[bytes]) -> list[tuple[str, tuple[str, bytes]]]:
    return [("image", (PICTURE, image)) for image in images]


def _form(given: dict[str, Any]) -> dict[str, str]:
    crop = {"crop": ",".join(map(str, given["crop"]))} if "crop" in given else {}
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in (given | crop).items()}


def _present(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


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
