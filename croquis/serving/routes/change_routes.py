"""`PUT`, `POST` and `DELETE` of items: changes of the catalogue, for who has the admin token."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Depends, Request, Response

from croquis.catalog.product import Product, check_item_id
from croquis.serving.answers.answer_models import ItemChange, ItemImage
from croquis.serving.answers.from_hits import image_url
from croquis.serving.answers.problems import Problem, described
from croquis.serving.background.timed_calls import TimedCalls
from croquis.serving.changes.live_catalogue import LiveCatalogue
from croquis.serving.limits.access import AccessControl
from croquis.serving.limits.http_meter import Meter
from croquis.serving.limits.work_queue import WorkQueue
from croquis.serving.models.served_models import DEFAULT_LABEL
from croquis.serving.requests.request_body import BODY_ERRORS, in_openapi, request_of
from croquis.serving.requests.request_models import ItemRequest, NewItemRequest
from croquis.serving.requests.url_parts import ChangeVersion, ItemPath
from croquis.serving.server_settings import Limits

CHANGE_SECONDS = 60.0
CHANGES = 4  # the one that is waited for, and those that were given up and hang

ERRORS = described(
    {
        401: "No admin token.",
        403: "The server has no admin token, or keeps no changes.",
        409: "The product is there already, or a newer version of it.",
        422: "A field or parameter is wrong; `field` and `limit` say which and why.",
        503: "The change took too long: whether it is kept is not known.",
        507: "The change could not be kept on disk.",
    }
)


def change_router(
    catalogue: LiveCatalogue | None,
    queue: WorkQueue,
    gatekeeper: AccessControl,
    meter: Meter,
    limits: Limits,
    *,
    stored: bool = False,
) -> APIRouter:
    """Without a catalogue every route says how products are changed instead.

    Args:
        stored: whether a store keeps the products.
    """
    router = APIRouter(tags=["changes"], dependencies=[Depends(gatekeeper.admin)])
    one_at_a_time, calls = asyncio.Lock(), TimedCalls("change of the catalogue", CHANGES)

    def kept() -> LiveCatalogue:
        if stored:
            words = "a store keeps the products: send an event to the stream that croquis.events (or --ingest) reads"
            raise Problem(403, "changes-by-events", words)
        if catalogue is None:
            raise Problem(403, "changes-off", "this server keeps no changes: start it with --changes FOLDER")
        return catalogue

    async def put(live: LiveCatalogue, asked: ItemRequest, item_id: str, response: Response) -> ItemChange:
        product, only_new = asked.named(item_id), isinstance(asked, NewItemRequest)
        async with one_at_a_time:
            version, new = await calls.run(lambda: live.put(product, asked.version, only_new=only_new), CHANGE_SECONDS)
        meter.changes.labels("put").inc()
        response.status_code = 201 if new else 200
        return answer_of(product, version)

    @router.put(
        "/items/{item_id:path}",
        summary="Add or replace a product",
        response_description="The product was there and is replaced.",
        openapi_extra=in_openapi(ItemRequest),
        responses={201: {"description": "The product is new.", "model": ItemChange}, **BODY_ERRORS, **ERRORS},
    )
    async def put_item(item_id: ItemPath, request: Request, response: Response) -> ItemChange:
        """Adds a product, or replaces all of one: category, attributes and pictures. On disk and searchable when this
        answers."""
        live, named = kept(), check_item_id(item_id)
        async with request_of(ItemRequest, request, limits, queue) as asked:
            return await put(live, asked, named, response)

    @router.post(
        "/items",
        summary="Add a new product",
        status_code=201,
        response_description="The product is new.",
        openapi_extra=in_openapi(NewItemRequest),
        responses=BODY_ERRORS | ERRORS,
    )
    async def add_item(request: Request, response: Response) -> ItemChange:
        """Adds a product that is not there yet."""
        live = kept()
        async with request_of(NewItemRequest, request, limits, queue) as asked:
            return await put(live, asked, asked.item_id, response)

    @router.delete(
        "/items/{item_id:path}",
        summary="Delete a product",
        response_description="The product is deleted.",
        responses=ERRORS | described({404: "There is no such product."}),
    )
    async def delete_item(item_id: ItemPath, version: ChangeVersion = None) -> ItemChange:
        """Takes a product out of every model's gallery; no search finds it when this answers."""
        live, named = kept(), check_item_id(item_id)
        async with one_at_a_time:
            number = await calls.run(lambda: live.delete(named, version), CHANGE_SECONDS)
        meter.changes.labels("delete").inc()
        return ItemChange(item_id=named, version=number, images=[])

    return router


def answer_of(product: Product, version: int) -> ItemChange:
    """The answer about a product that was written, with the addresses of its images for the default model."""
    ids = [picture.image_id for picture in product.pictures]
    images = [ItemImage(image_id=image_id, url=image_url(product.item_id, image_id, DEFAULT_LABEL)) for image_id in ids]
    return ItemChange(item_id=product.item_id, version=version, images=images)
