"""What the clients send and how they read answers: no input or output here."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Required, TypedDict, TypeVar

import httpx
from pydantic import BaseModel
from pydantic_core import from_json

from croquis.serving.answers.answer_models import ProblemBody
from croquis.serving.client_limits import AnswerError
from croquis.strict_json import check_values

T = TypeVar("T")
Body = TypeVar("Body", bound=BaseModel)

LONGEST_DETAIL = 200  # characters of an answer that is no problem
LONGEST_SHOWN = 1000  # of a problem
LONGEST_WAIT = re.compile(r"[0-9]{1,9}")  # seconds; the header may also hold a date
MOST_ANSWER_VALUES = 500_000  # of JSON; a thousand images with a hundred attributes each have some 120,000
JPEG = b"\xff\xd8\xff"
PICTURE = "picture"  # the file's name: the server judges by the bytes


class ServerError(RuntimeError):
    """The server answered with an error, or with what no server of ours sends.

    Attributes:
        problem: type, title, status, detail, field and limit.
        retry_after: seconds until it may be worth another try, where the server says so.
    """

    def __init__(self, problem: ProblemBody, retry_after: float | None) -> None:
        said = f"{problem.title[:LONGEST_DETAIL]}: {problem.detail[:LONGEST_SHOWN]}"
        super().__init__(f"{problem.status} {''.join(each if each.isprintable() else ' ' for each in said)}")
        self.problem = problem
        self.retry_after = retry_after


class SearchOptions(TypedDict, total=False):
    """What a search may be told; what is left out, or None, is up to the server.

    Attributes:
        k: 1 to 100 results.
        mode: `photo`, `sketch` or `sketch-direct`.
        filters: `category`, `attributes`, `colour` and `domain`; a word or a list of words each. `product`: values, lists or
            ranges by column.
        rerank: by shared attributes.
        group_by: `none` for images, `item` for products, of which `k` are counted.
        max_per_item: 1 to 10 images of each product.
        combine: several pictures, `max` or `mean`.
        crop: x1, y1, x2, y2 in pixels of the upright picture.
        timings, generated: ask for them in the answer.
        describe: predict the query's attributes, also where no re-ranking does.
        model: the label of a model.
        text: words, alone or beside pictures.
        colour: of a drawn garment, with the mode `sketch`: `#rrggbb` or a word.
    """

    k: int | None
    mode: str | None
    filters: Mapping[str, Any] | None
    rerank: bool | None
    group_by: str | None
    max_per_item: int | None
    combine: str | None
    crop: Sequence[float] | None
    timings: bool | None
    generated: bool | None
    describe: bool | None
    model: str | None
    text: str | None
    colour: str | None


class ChangeOptions(TypedDict, total=False):
    """What a product is.

    Attributes:
        category: needed.
        attributes: words such as `colour:red`.
        crop: of a single picture, as in `SearchOptions`.
        product: columns of its own, such as title, price and link.
        version: of the product, more than the one that is there; by default the server counts.
    """

    category: Required[str]
    attributes: Sequence[str]
    crop: Sequence[float] | None
    product: Mapping[str, str | float | bool]
    version: int | None


class ItemOptions(TypedDict, total=False):
    """Which of an item's images (its first by default) and which model (the champion by default)."""

    image_id: str | None
    model: str | None


class SimilarOptions(ItemOptions, total=False):
    """And `k`, 1 to 100 results, images or products as in `SearchOptions`; `filters` are JSON text."""

    k: int | None
    group_by: str | None
    max_per_item: int | None
    filters: str | None


@dataclass(frozen=True)
class Call(Generic[T]):
    """A request and how its answer is read.

    Attributes:
        read: makes the answer of the body.
        query, fields: of the URL and of the form; None for what is not sent.
        images: the files of the form.
        admin: whether the admin token goes along.
    """

    read: Callable[[bytes], T]
    method: str
    url: str
    query: Mapping[str, Any] = field(default_factory=dict)
    fields: Mapping[str, Any] = field(default_factory=dict)
    images: Sequence[bytes] = ()
    admin: bool = False

    def arguments(self, admin_token: str | None) -> dict[str, Any]:
        """As httpx's `request` takes them."""
        given = present(self.fields)
        headers = {"Authorization": f"Bearer {admin_token}"} if self.admin and admin_token is not None else {}
        if given and not self.images:  # there is no form without a file
            return {
                "method": self.method,
                "url": self.url,
                "params": present(self.query),
                "json": given,
                "headers": headers,
            }
        if "crop" in given:
            given["crop"] = ",".join(map(str, given["crop"]))
        return {
            "method": self.method,
            "url": self.url,
            "params": present(self.query),
            "data": {name: value if isinstance(value, str) else json.dumps(value) for name, value in given.items()},
            "files": [("image", (PICTURE, image)) for image in self.images],
            "headers": headers,
        }

    def answer(self, response: httpx.Response, body: bytes) -> T:
        """What the server answered.

        Raises:
            ServerError: when it answered with an error.
            AnswerError: when the body is not what this call is answered with.
        """
        if response.is_success:
            try:
                return self.read(body)
            except ValueError as error:
                raise AnswerError(f"it is not what this call is answered with: {error}") from None
        try:
            problem = json_of(ProblemBody)(body).model_copy(update={"status": response.status_code})
        except ValueError:  # of something between us and the server
            title, detail = response.reason_phrase, body[: 4 * LONGEST_DETAIL].decode(errors="replace")[:LONGEST_DETAIL]
            problem = ProblemBody(type="about:blank", title=title, status=response.status_code, detail=detail or title)
        wait = response.headers.get("retry-after", "")
        raise ServerError(problem, float(wait) if LONGEST_WAIT.fullmatch(wait) else None)


def json_of(model: type[Body]) -> Callable[[bytes], Body]:
    """Reads a body as `model`; a ValueError when it is something else, NaN and infinity included, or has too many values."""

    def read(body: bytes) -> Body:
        check_values(body, MOST_ANSWER_VALUES)
        return model.model_validate(from_json(body, allow_inf_nan=False))

    return read


def jpeg(body: bytes) -> bytes:
    """The body itself; a ValueError when it does not begin as a JPEG."""
    if not body.startswith(JPEG):
        raise ValueError("no JPEG")
    return body


@contextlib.contextmanager
def told(response: httpx.Response) -> Iterator[None]:
    """Makes a ServerError of an answer that cannot be used.

    Raises:
        ServerError: with the status that the server gave.
    """
    try:
        yield
    except AnswerError as error:
        detail = f"the answer cannot be used: {str(error)[:LONGEST_DETAIL]}"
        status = response.status_code
        problem = ProblemBody(type="about:blank", title=response.reason_phrase, status=status, detail=detail)
        raise ServerError(problem, None) from None


def present(options: Mapping[str, Any]) -> dict[str, Any]:
    """Without what is None."""
    return {name: value for name, value in options.items() if value is not None}
