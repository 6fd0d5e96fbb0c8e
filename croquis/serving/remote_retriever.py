"""The `croquis.Retriever` of a search server: the same questions and answers as those of a bundle, over HTTP."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from croquis.arrays import Vectors
from croquis.catalog.filters import Filters, QueryError, as_filters
from croquis.catalog.images import ImageError
from croquis.search.answer import Hit
from croquis.search.interface import RetrieverError
from croquis.search.pictures import Picture, listed_pictures, picture_file
from croquis.search.query import (
    AnswerChoice,
    Combine,
    GroupBy,
    Mode,
    check_colour,
    check_k,
    check_mode,
    check_without_picture,
)
from croquis.serving.answers.answer_models import Result
from croquis.serving.client import Client, ServerError
from croquis.serving.client_wire import SearchOptions
from croquis.words.word_query import check_query

API_KEY_VARIABLE = "CROQUIS_API_KEY"


class RemoteRetriever:
    """Answers by asking a server; may be used by several threads at once.

    Args:
        client: an open client; `close` closes it.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    @classmethod
    def load(cls, source: str | Path, threads: int = 1) -> RemoteRetriever:  # noqa: ARG003
        """Connects, and asks the server once what it is.

        Args:
            source: e.g. `http://127.0.0.1:8000`; an API key is taken from CROQUIS_API_KEY.
            threads: of no effect: the server has its own setting.

        Raises:
            RetrieverError: when no search server answers there.
        """
        client = Client(str(source), api_key=os.environ.get(API_KEY_VARIABLE))
        try:
            client.version()
        except ServerError as error:
            client.close()
            hint = f"; set {API_KEY_VARIABLE}" if error.problem.status == httpx.codes.UNAUTHORIZED else ""
            raise RetrieverError(f"{source} answers {error}{hint}") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            client.close()
            raise RetrieverError(
                f"no search server answers at {source} ({error}); `croquis serve` starts one"
            ) from error
        return cls(client)

    def search(
        self,
        picture: Picture | Sequence[Picture] | None = None,
        k: int = 10,
        mode: Mode = "photo",
        filters: Filters | Mapping[str, Any] | None = None,
        rerank: bool | None = None,
        bbox: Sequence[int] | None = None,
        *,
        group_by: GroupBy = "none",
        max_per_item: int = 1,
        combine: Combine = "max",
        text: str | None = None,
        colour: str | None = None,
    ) -> list[Hit]:
        """See `croquis.Retriever.search`; arrays and Pillow images are sent as PNG.

        Raises:
            QueryError, ImageError: as from a bundle.
            ServerError: when the server refuses or fails for another reason; httpx's errors when it cannot be reached.
        """
        wanted, form, given = (
            as_filters(filters),
            AnswerChoice(group_by, max_per_item, combine),
            [] if picture is None else listed_pictures(picture, bbox),
        )
        if text is not None:
            check_query(text)
        check_colour(colour, check_mode(mode))
        if picture is None:
            check_without_picture(text, check_mode(mode), rerank, bbox)
        options = SearchOptions(
            k=check_k(k),
            mode=check_mode(mode),
            filters=wanted.to_mapping(),
            rerank=rerank,
            crop=bbox,
            describe=False,  # only what re-ranking looked at, as a bundle answers
        )
        if form != AnswerChoice():  # which servers know since they answer with products
            options |= SearchOptions(group_by=group_by, max_per_item=max_per_item, combine=combine)
        if text is not None:
            options |= SearchOptions(text=text)
        if colour is not None:
            options |= SearchOptions(colour=colour)
        try:
            answer = self._client.search(*map(picture_file, given), **options)
        except ServerError as error:
            words = {f"filters.{name}": value for name, value in wanted.to_mapping().items()}
            words |= {f"filters.product.{each.name}": each.asked() for each in wanted.product}
            raise _as_of_a_bundle(error, {**options, **words}) from error
        return [_hit(result) for result in answer.results]

    def embed(self, pictures: Sequence[Picture]) -> Vectors:
        """No server gives vectors.

        Raises:
            RetrieverError: always.
        """
        raise RetrieverError(
            f"a server gives no vectors of {len(pictures)} pictures: `embed` needs the bundle, "
            "Retriever.load(folder) or Retriever.load('models:/NAME@ALIAS')"
        )

    def close(self) -> None:
        """Ends the connection."""
        self._client.close()


def _hit(result: Result) -> Hit:
    return Hit(
        rank=result.rank,
        image_id=result.image_id,
        item_id=result.item_id,
        category=result.category,
        attributes=tuple(result.attributes),
        score=result.score,
        shared_attributes=tuple(result.shared_attributes),
        product=result.product,
    )


def _as_of_a_bundle(error: ServerError, sent: Mapping[str, Any]) -> Exception:
    """The error that a bundle would have raised; the server's own where there is none."""
    problem = error.problem
    if problem.field == "image":
        return ImageError(problem.detail)
    if problem.field is not None and problem.field in sent and problem.limit is not None:
        return QueryError("bbox" if problem.field == "crop" else problem.field, sent[problem.field], problem.limit)
    return error
