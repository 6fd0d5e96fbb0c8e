"""From the retriever's hits to the answers of the API."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import quote, urlencode

from croquis.catalog.images import encode_png
from croquis.search.answer import Answer, Hit
from croquis.search.gallery import Record
from croquis.serving.answers.answer_models import Item, ItemImage, Result, SearchAnswer, Timings
from croquis.serving.models.loaded_model import LoadedModel
from croquis.serving.models.served_models import DEFAULT_LABEL
from croquis.serving.requests.request_models import SearchRequest


def image_url(item_id: str, image_id: str, label: str) -> str:
    """Where the thumbnail of a gallery image is, on this server; models may have different galleries."""
    query = {"image_id": image_id} | ({} if label == DEFAULT_LABEL else {"model": label})
    return f"/items/{quote(item_id, safe='')}/image?{urlencode(query, quote_via=quote, safe='')}"


def to_results(hits: Sequence[Hit], label: str) -> list[Result]:
    return [
        Result(
            rank=rank,
            item_id=hit.item_id,
            image_id=hit.image_id,
            score=hit.score,
            category=hit.category,
            attributes=list(hit.attributes),
            shared_attributes=list(hit.shared_attributes),
            image=image_url(hit.item_id, hit.image_id, label),
        )
        for rank, hit in enumerate(hits, start=1)
    ]


def search_answer(model: LoadedModel, label: str, asked: SearchRequest, answer: Answer) -> SearchAnswer:
    attributes = sorted(answer.attributes or ())
    painted = asked.generated and asked.mode == "sketch"
    milliseconds = {f"{step}_ms": round(seconds * 1000, 3) for step, seconds in answer.seconds.items()}
    return SearchAnswer(
        model=model.identity,
        mode=asked.mode,
        results=to_results(answer.hits, label),
        query_attributes=attributes,
        generated=f"data:image/png;base64,{base64.b64encode(encode_png(answer.picture)).decode()}" if painted else None,
        timings=Timings(**milliseconds) if asked.timings else None,
    )


def similar_answer(model: LoadedModel, label: str, record: Record, k: int) -> SearchAnswer:
    """The images of other products most like the one of `record`; the attributes shared are the catalogue's."""
    own = model.retriever.gallery.images_of(record["item_id"])
    hits = model.retriever.similar(record["image_id"], k + len(own) - 1)
    others = [
        replace(hit, shared_attributes=tuple(name for name in hit.attributes if name in record["attributes"]))
        for hit in hits
        if hit.item_id != record["item_id"]
    ][:k]
    return SearchAnswer(
        model=model.identity,
        mode="similar",
        results=to_results(others, label),
        query_attributes=sorted(record["attributes"]),
    )


def item_answer(model: LoadedModel, label: str, item_id: str) -> Item:
    """A product; category and attributes are those of its first image."""
    images = model.retriever.gallery.images_of(item_id)
    ids = [image["image_id"] for image in images]
    return Item(
        item_id=item_id,
        category=images[0]["category"],
        attributes=list(images[0]["attributes"]),
        images=[ItemImage(image_id=image_id, url=image_url(item_id, image_id, label)) for image_id in ids],
    )
