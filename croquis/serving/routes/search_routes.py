"""`POST /search`: photos, a drawing or words in, ranked products out."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.routing import APIRoute
from starlette.responses import Response

from croquis.arrays import Uint8Image
from croquis.search.answer import Answer, Stopwatch
from croquis.search.local_retriever import LocalRetriever
from croquis.serving.answers.answer_models import SearchAnswer
from croquis.serving.answers.from_hits import search_body
from croquis.serving.answers.problems import described
from croquis.serving.limits.access import KEY_HEADER, AccessControl
from croquis.serving.limits.http_meter import Meter
from croquis.serving.limits.work_queue import WorkQueue
from croquis.serving.models.served_models import DEFAULT_LABEL, ServedModels
from croquis.serving.requests.decoding import PictureDecoder
from croquis.serving.requests.request_body import BODY_ERRORS, JSON, in_openapi, request_of
from croquis.serving.requests.request_models import SearchRequest
from croquis.serving.requests.url_parts import ModelLabel
from croquis.serving.server_settings import Limits


def found_for(retriever: LocalRetriever, decoder: PictureDecoder, asked: SearchRequest) -> Answer:
    """The retriever's answer; of several pictures one is decoded at a time."""

    def answer(picture: Uint8Image | Iterator[Uint8Image] | None) -> Answer:
        how = asked.k, asked.mode, asked.filters, asked.rerank
        return retriever.answer(
            picture, *how, form=asked.form, describe=asked.describe, text=asked.text, colour=asked.colour
        )

    def each() -> Iterator[Uint8Image]:
        for image in asked.image:
            with decoder.picture(image, None, retriever.nets.draft) as picture:
                yield picture

    if not asked.image:
        return answer(None)
    if len(asked.image) > 1:
        return answer(each())
    watch = Stopwatch()
    with decoder.picture(asked.image[0], asked.bbox, retriever.nets.draft) as picture:
        watch.lap("decode")
        found = answer(picture)
    return replace(found, seconds=found.seconds | watch.seconds)


def search_router(
    fleet: ServedModels,
    queue: WorkQueue,
    gatekeeper: AccessControl,
    meter: Meter,
    limits: Limits,
    decoder: PictureDecoder,
) -> APIRouter:
    """`POST /search`: checked by `gatekeeper`, decoded and answered by a worker of `queue`, counted by `meter`."""

    class DirectRoute(APIRoute):
        """Described by FastAPI, which would take as long to call its function as the search itself takes."""

        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            async def handle(request: Request) -> Response:
                await gatekeeper.client(request, request.headers.get(KEY_HEADER))
                return await search(request, request.query_params.get("model", DEFAULT_LABEL))

            return handle

    router = APIRouter(tags=["search"], route_class=DirectRoute)

    @router.post(
        "/search",
        summary="Products most like a photo or a drawing, or with some words",
        description="Send a picture file, words, or both; several pictures are one query where they show one product.",
        response_description="Results, best first.",
        response_model=SearchAnswer,
        openapi_extra=in_openapi(SearchRequest),
        responses=BODY_ERRORS
        | described({401: "No valid API key.", 503: "The store does not answer, or the search took too long."}),
        dependencies=[Depends(gatekeeper.client)],
    )
    async def search(request: Request, model: ModelLabel = DEFAULT_LABEL) -> Response:
        chosen = fleet.get(model)

        def answer(asked: SearchRequest) -> bytes:
            found = found_for(chosen.retriever, decoder, asked)
            meter.add_steps(found.seconds)
            if found.hits:
                meter.scores.labels(model).observe(max(hit.score for hit in found.hits))
            return search_body(chosen, model, asked, found)

        async with request_of(SearchRequest, request, limits, queue) as asked:
            body = await queue.run(lambda: answer(asked))
        return Response(body, media_type=JSON)

    return router
