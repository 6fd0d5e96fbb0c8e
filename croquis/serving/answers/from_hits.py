"""From the retriever's hits to the answers of the API."""

from __future__ import annotations

import base64
import functools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from pydantic_core import to_json

from croquis.catalog.filters import Filters
from croquis.catalog.images import encode_png
from croquis.search.answer import Answer, Hit
from croquis.search.gallery import Record
from croquis.search.grouping import AnswerForm
from croquis.serving.answers.answer_models import Item, ItemImage, Result, SearchAnswer, Timings
from croquis.serving.models.loaded_model import LoadedModel
from croquis.serving.models.served_models import DEFAULT_LABEL
from croquis.serving.requests.request_models import SearchRequest

STEPS = tuple(name.removesuffix("_ms") for name in Timings.model_fields)
KEPT_NAMES = 16_384  # ids whose spelling in a URL is not worked out again

quoted = functools.lru_cache(KEPT_NAMES)(functools.partial(quote, safe=""))


def image_url(item_id: str, image_id: str, label: str) -> str:
    """Where the thumbnail of a gallery image is, on this server; models may have different galleries."""
    of_model = "" if label == DEFAULT_LABEL else f"&model={quoted(label)}"
    return f"/items/{quoted(item_id)}/image?image_id={quoted(image_id)}{of_model}"


def to_results(hits: Sequence[Hit], label: str) -> list[dict[str, Any]]:
    """The fields of a `Result` for each hit."""
    return [
        {
            "rank": rank,
            "item_id": hit.item_id,
            "image_id": hit.image_id,
            "score": hit.score,
            "category": hit.category,
            "attributes": hit.attributes,
            "shared_attributes": hit.shared_attributes,
            "product": hit.product,
            "image": image_url(hit.item_id, hit.image_id, label),
        }
        for rank, hit in enumerate(hits, start=1)
    ]


def search_body(model: LoadedModel, label: str, asked: SearchRequest, answer: Answer) -> bytes:
    """A `SearchAnswer` as JSON: written at once, as what it is made of needs no check."""
    painted = answer.picture if asked.generated and asked.mode == "sketch" else None
    milliseconds = {f"{step}_ms": round(answer.seconds[step] * 1000, 3) for step in STEPS} if asked.timings else None
    fields = {
        "model": model.identity,
        "mode": asked.mode,
        "results": to_results(answer.hits, label),
        "query_attributes": sorted(answer.attributes or ()),
        "generated": f"data:image/png;base64,{base64.b64encode(encode_png(painted)).decode()}"
        if painted is not None
        else None,
        "timings": milliseconds,
    }
    return to_json(fields)


def similar_answer(
    model: LoadedModel, label: str, record: Record, k: int, form: AnswerForm, among: Filters
) -> SearchAnswer:
    """The images of other products, or those products, most like the image of `record`; the attributes shared are the
    catalogue's."""
    how = {"item_id": record["item_id"], "group_by": form.group_by, "max_per_item": form.max_per_item}
    others = [
        replace(hit, shared_attributes=tuple(name for name in hit.attributes if name in record["attributes"]))
        for hit in model.retriever.similar(record["image_id"], k, among, **how)
    ]
    return SearchAnswer(
        model=model.identity,
        mode="similar",
        results=[Result(**values) for values in to_results(others, label)],
        query_attributes=sorted(record["attributes"]),
    )


def item_answer(model: LoadedModel, label: str, item_id: str) -> Item:
    """A product; category, attributes and its own columns are those of its first image."""
    images = model.retriever.gallery.images_of(item_id)
    ids = [image["image_id"] for image in images]
    return Item(
        item_id=item_id,
        category=images[0]["category"],
        attributes=list(images[0]["attributes"]),
        product=dict(images[0]["product"]),
        images=[ItemImage(image_id=image_id, url=image_url(item_id, image_id, label)) for image_id in ids],
    )
