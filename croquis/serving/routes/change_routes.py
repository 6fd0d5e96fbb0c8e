"""`PUT`, `POST` and `DELETE` of items: changes of the catalogue, for who has the admin token."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Depends, Request, Response

from croquis.catalog.product import LONGEST_ID, MOST_PICTURES, check_item_id
from croquis.serving.answers.answer_models import ItemChange, ItemImage
from croquis.serving.answers.from_hits import image_url
from croquis.serving.answers.problems import IN_OPENAPI, Problem
from croquis.serving.changes.live_catalogue import LiveCatalogue
from croquis.serving.limits.access import AccessControl
from croquis.serving.limits.http_meter import Meter
from croquis.serving.limits.work_queue import WorkQueue
from croquis.serving.models.served_models import DEFAULT_LABEL
from croquis.serving.requests.item_request import ItemRequest, read_version
from croquis.serving.requests.request_body import request_fields
from croquis.serving.requests.request_schema import item_body, text
from croquis.serving.server_settings import Limits


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
    one_at_a_time = asyncio.Lock()

    def kept() -> LiveCatalogue:
        if stored:
            words = "a store keeps the products: send an event to the stream that croquis.events (or --ingest) reads"
            raise Problem(403, "changes-by-events", words)
        if catalogue is None:
            raise Problem(403, "changes-off", "this server keeps no changes: start it with --changes FOLDER")
        return catalogue

    async def put(request: Request, response: Response, item_id: str | None) -> ItemChange:
        live = kept()
        async with request_fields(request, limits, queue, MOST_PICTURES) as fields:
            asked = ItemRequest.from_fields(fields, limits, item_id)
            async with one_at_a_time:
                version, new = await asyncio.to_thread(live.put, asked.product, asked.version, only_new=item_id is None)
        meter.changes.labels("put").inc()
        response.status_code = 201 if new else 200
        return answer_of(asked, version)

    @router.put(
        "/items/{item_id:path}",
        openapi_extra={"requestBody": item_body(limits)},
        responses={201: {"description": "The product is new.", "model": ItemChange}, **ERRORS},
    )
    async def put_item(item_id: str, request: Request, response: Response) -> ItemChange:
        """Adds a product, or replaces all of one: category, attributes and pictures. On disk and searchable when this
        answers."""
        return await put(request, response, check_item_id(item_id))

    @router.post(
        "/items",
        status_code=201,
        openapi_extra={"requestBody": item_body(limits, item_id=text(LONGEST_ID))},
        responses=ERRORS,
    )
    async def add_item(request: Request, response: Response) -> ItemChange:
        """Adds a product that is not there yet."""
        return await put(request, response, None)

    @router.delete("/items/{item_id:path}", responses=ERRORS)
    async def delete_item(item_id: str, version: str | None = None) -> ItemChange:
        """Takes a product out of every model's gallery; no search finds it when this answers."""
        live, named = kept(), check_item_id(item_id)
        asked = None if version is None else read_version(version)
        async with one_at_a_time:
            number = await asyncio.to_thread(live.delete, named, asked)
        meter.changes.labels("delete").inc()
        return ItemChange(item_id=named, version=number, images=[])

    return router


ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"description": words, **IN_OPENAPI}
    for status, words in {
        401: "No admin token.",
        403: "The server has no admin token, or keeps no changes.",
        404: "There is no such product.",
        409: "The product is there already, or a newer version of it.",
        413: "The body or a picture is over a limit.",
        415: "Another media type, or a file that is no picture of a known kind.",
        422: "A field is wrong; `field` and `limit` say which and why.",
        429: "Too busy; Retry-After says when to come back.",
        507: "The change could not be kept on disk.",
    }.items()
}


def answer_of(asked: ItemRequest, version: int) -> ItemChange:
    product = asked.product
    ids = [picture.image_id for picture in product.pictures]
    images = [ItemImage(image_id=image_id, url=image_url(product.item_id, image_id, DEFAULT_LABEL)) for image_id in ids]
    return ItemChange(item_id=product.item_id, version=version, images=images)
