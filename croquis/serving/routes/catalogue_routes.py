"""The catalogue: items, their pictures, what is similar, and what can be filtered by."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from starlette.responses import Response

from croquis.catalog.filters import QueryError
from croquis.search.grouping import AnswerForm
from croquis.search.query import MOST_PER_ITEM, GroupBy
from croquis.serving.answers.answer_models import FilterValues, Item, SearchAnswer
from croquis.serving.answers.from_hits import item_answer, similar_answer
from croquis.serving.answers.problems import Problem
from croquis.serving.background.timed_calls import TimedCalls
from croquis.serving.limits.access import AccessControl
from croquis.serving.models.served_models import DEFAULT_LABEL, ServedModels
from croquis.serving.requests.request_models import DEFAULT_K, MOST_RESULTS, filters_of

SECONDS = 10.0  # for an answer
LONGEST_FILTERS = 8000  # characters of filters in a URL
CALLS = 256  # at a time; a page asks for a hundred thumbnails at once


def catalogue_router(fleet: ServedModels, gatekeeper: AccessControl) -> APIRouter:
    """What a model's gallery knows is read in threads of these routes: a store may be asked, which may hang."""
    router = APIRouter(tags=["catalogue"])
    known = [Depends(gatekeeper.client)]
    calls = TimedCalls("catalogue", CALLS)

    @router.get("/catalogue/filters", dependencies=known)
    async def filters(model: str = DEFAULT_LABEL) -> FilterValues:
        """Values of the filters, with the number of gallery images that have them."""
        return await calls.run(fleet.get(model).filter_values, SECONDS)

    # Pictures need no key: a browser's <img> can send none, and a shop shows them to everyone.
    @router.get(
        "/items/{item_id:path}/image", response_class=Response, responses={200: {"content": {"image/jpeg": {}}}}
    )
    async def image(item_id: str, image_id: str | None = None, model: str = DEFAULT_LABEL) -> Response:
        """The thumbnail of one image of a product, its first one by default; a JPEG."""
        chosen = fleet.get(model)

        def thumbnail() -> bytes:
            return chosen.retriever.gallery.thumbnail(chosen.image_of(item_id, image_id)["image_id"])

        with _or_not_found():
            found = await calls.run(thumbnail, SECONDS)
        return Response(found, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=600"})

    @router.get("/items/{item_id:path}", dependencies=known)
    async def item(item_id: str, model: str = DEFAULT_LABEL) -> Item:
        """A product with its gallery images."""
        chosen = fleet.get(model)
        with _or_not_found():
            return await calls.run(lambda: item_answer(chosen, model, item_id), SECONDS)

    @router.get("/similar/{item_id:path}", dependencies=known)
    async def similar(
        item_id: str,
        k: Annotated[int, Query(ge=1, le=MOST_RESULTS)] = DEFAULT_K,
        image_id: str | None = None,
        model: str = DEFAULT_LABEL,
        group_by: GroupBy = "none",
        max_per_item: Annotated[int, Query(ge=1, le=MOST_PER_ITEM)] = 1,
        filters: Annotated[str, Query(max_length=LONGEST_FILTERS, description="JSON, as of a search")] = "",
    ) -> SearchAnswer:
        """Images of other products, or other products, most like one image of this product, its first one by default."""
        chosen, form = fleet.get(model), AnswerForm(group_by, max_per_item)
        among = filters_of(filters)
        chosen.retriever.gallery.check(among)
        with _or_not_found():
            return await calls.run(
                lambda: similar_answer(chosen, model, chosen.image_of(item_id, image_id), k, form, among), SECONDS
            )

    return router


@contextlib.contextmanager
def _or_not_found() -> Iterator[None]:
    """A product or an image that is not there is 404."""
    try:
        yield
    except QueryError as error:
        raise Problem(404, "not-found", str(error), field=error.field, limit=error.limit) from None
