"""The catalogue: items, their pictures, what is similar, and what can be filtered by."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from starlette.responses import Response

from croquis.catalog.filters import QueryError
from croquis.serving.answers.answer_models import FilterValues, Item, SearchAnswer
from croquis.serving.answers.from_hits import item_answer, similar_answer
from croquis.serving.answers.problems import Problem
from croquis.serving.limits.access import AccessControl
from croquis.serving.models.served_models import DEFAULT_LABEL, ServedModels
from croquis.serving.requests.request_models import DEFAULT_K, MOST_RESULTS


def catalogue_router(fleet: ServedModels, gatekeeper: AccessControl) -> APIRouter:
    """The functions are not `async`: FastAPI runs them in threads, as they may read a file."""
    router = APIRouter(tags=["catalogue"])
    known = [Depends(gatekeeper.client)]

    @router.get("/catalogue/filters", dependencies=known)
    def filters(model: str = DEFAULT_LABEL) -> FilterValues:
        """Values of the filters, with the number of gallery images that have them."""
        return fleet.get(model).filter_values()

    # Pictures need no key: a browser's <img> can send none, and a shop shows them to everyone.
    @router.get(
        "/items/{item_id:path}/image", response_class=Response, responses={200: {"content": {"image/jpeg": {}}}}
    )
    def image(item_id: str, image_id: str | None = None, model: str = DEFAULT_LABEL) -> Response:
        """The thumbnail of one image of a product, its first one by default; a JPEG."""
        chosen = fleet.get(model)
        with _or_not_found():
            thumbnail = chosen.retriever.gallery.thumbnail(chosen.image_of(item_id, image_id)["image_id"])
        return Response(thumbnail, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=600"})

    @router.get("/items/{item_id:path}", dependencies=known)
    def item(item_id: str, model: str = DEFAULT_LABEL) -> Item:
        """A product with its gallery images."""
        chosen = fleet.get(model)
        with _or_not_found():
            return item_answer(chosen, model, item_id)

    @router.get("/similar/{item_id:path}", dependencies=known)
    def similar(
        item_id: str,
        k: Annotated[int, Query(ge=1, le=MOST_RESULTS)] = DEFAULT_K,
        image_id: str | None = None,
        model: str = DEFAULT_LABEL,
    ) -> SearchAnswer:
        """Images of other products most like one image of this product, its first one by default."""
        chosen = fleet.get(model)
        with _or_not_found():
            return similar_answer(chosen, model, chosen.image_of(item_id, image_id), k)

    return router


@contextlib.contextmanager
def _or_not_found() -> Iterator[None]:
    """A product or an image that is not there is 404."""
    try:
        yield
    except QueryError as error:
        raise Problem(404, "not-found", str(error), field=error.field, limit=error.limit) from None
