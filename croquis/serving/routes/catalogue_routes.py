"""The catalogue: items, their pictures, what is similar, and what can be filtered by."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from fastapi import APIRouter, Depends
from starlette.responses import Response

from croquis.catalog.filters import QueryError
from croquis.search.grouping import AnswerForm
from croquis.serving.answers.answer_models import FilterValues, Item, SearchAnswer
from croquis.serving.answers.from_hits import item_answer, similar_answer
from croquis.serving.answers.problems import Problem, described
from croquis.serving.background.timed_calls import TimedCalls
from croquis.serving.limits.access import AccessControl
from croquis.serving.models.served_models import DEFAULT_LABEL, ServedModels
from croquis.serving.requests.request_models import DEFAULT_K, filters_of
from croquis.serving.requests.url_parts import FilterText, Group, ImageQuery, ItemPath, K, ModelLabel, PerItem

SECONDS = 10.0  # for an answer
CALLS = 256  # at a time; a page asks for a hundred thumbnails at once
WRONG = {422: "A parameter is wrong; `field` and `limit` say which and why."}
SILENT = {503: "The store that keeps the products does not answer; Retry-After says when to come back."}
KEY = {401: "No valid API key.", 429: "Too many requests; Retry-After says when to come back."}
ABSENT = {404: "There is no such product, or it has no such image."}


def catalogue_router(fleet: ServedModels, gatekeeper: AccessControl) -> APIRouter:
    """What a model's gallery knows is read in threads of these routes: a store may be asked, which may hang."""
    router = APIRouter(tags=["catalogue"])
    known = [Depends(gatekeeper.client)]
    calls = TimedCalls("catalogue", CALLS)

    @router.get(
        "/catalogue/filters",
        summary="Values that can be filtered by",
        response_description="The values, by kind.",
        responses=described(WRONG | SILENT | KEY),
        dependencies=known,
    )
    async def filters(model: ModelLabel = DEFAULT_LABEL) -> FilterValues:
        """Values of the filters, with the number of gallery images that have them."""
        return await calls.run(fleet.get(model).filter_values, SECONDS)

    # Pictures need no key: a browser's <img> can send none, and a shop shows them to everyone.
    @router.get(
        "/items/{item_id:path}/image",
        summary="Thumbnail of a product",
        response_class=Response,
        response_description="The thumbnail, a JPEG.",
        responses={200: {"content": {"image/jpeg": {}}}, **described(WRONG | SILENT | ABSENT)},
    )
    async def image(item_id: ItemPath, image_id: ImageQuery = None, model: ModelLabel = DEFAULT_LABEL) -> Response:
        """The thumbnail of one image of a product, its first one by default. It needs no key."""
        chosen = fleet.get(model)

        def thumbnail() -> bytes:
            return chosen.retriever.gallery.thumbnail(chosen.image_of(item_id, image_id)["image_id"])

        with _or_not_found():
            found = await calls.run(thumbnail, SECONDS)
        return Response(found, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=600"})

    @router.get(
        "/items/{item_id:path}",
        summary="A product",
        response_description="The product.",
        responses=described(WRONG | SILENT | KEY | ABSENT),
        dependencies=known,
    )
    async def item(item_id: ItemPath, model: ModelLabel = DEFAULT_LABEL) -> Item:
        """A product with its gallery images."""
        chosen = fleet.get(model)
        with _or_not_found():
            return await calls.run(lambda: item_answer(chosen, model, item_id), SECONDS)

    @router.get(
        "/similar/{item_id:path}",
        summary="Products most like another product",
        response_description="Results, best first.",
        responses=described(WRONG | SILENT | KEY | ABSENT),
        dependencies=known,
    )
    async def similar(
        item_id: ItemPath,
        k: K = DEFAULT_K,
        image_id: ImageQuery = None,
        model: ModelLabel = DEFAULT_LABEL,
        group_by: Group = "none",
        max_per_item: PerItem = 1,
        filters: FilterText = "",
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
