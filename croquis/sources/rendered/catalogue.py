"""Catalogue rows of the rendered garments, streamed in item order whatever the number of processes."""

from __future__ import annotations

import multiprocessing
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import islice
from typing import Any

import cv2

from croquis.sources.rendered.consumer_photo import consumer_photo
from croquis.sources.rendered.flat import flat
from croquis.sources.rendered.item_lineage import RenderedItem, make_item
from croquis.sources.rendered.rendered_settings import Rendered
from croquis.sources.rendered.shop_photo import shop_photo

ITEMS_PER_TASK = 4
JPEG_QUALITY = 92
Row = dict[str, Any]


def rows(params: Rendered, seed: int, workers: int | None = None) -> Iterator[Row]:
    """Renders the catalogue, one row per image, items in ascending order.

    Item i has the same images whatever `params.items`. Memory stays constant: a few tasks per process are in flight.

    Args:
        params: the `ingest.rendered` block.
        seed: `base.seed`.
        workers: rendering processes; 0 renders in this process, None takes one per core.

    Raises:
        ValueError: when `shop_views` lacks "front".
    """
    if "front" not in params.shop_views:
        raise ValueError(f'ingest.rendered.shop_views is {params.shop_views}, must hold "front": add it in params.yaml')
    count = (os.cpu_count() or 1) if workers is None else workers
    if count == 0:
        return (row for number in range(params.items) for row in item_rows(params, seed, number))
    return _rows_from_pool(params, seed, count)


def _rows_from_pool(params: Rendered, seed: int, workers: int) -> Iterator[Row]:
    # Spawned, not forked: the caller may hold threads (MLflow, torch, OpenMP) that a fork would leave locked.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker)
    tasks = iter(range(0, params.items, ITEMS_PER_TASK))
    waiting: deque[Future[list[Row]]] = deque()

    def submit(number: int) -> None:
        waiting.extend(pool.submit(_render, params, seed, first) for first in islice(tasks, number))

    try:
        submit(3 * workers)
        while waiting:
            yield from waiting.popleft().result()
            submit(1)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _start_worker() -> None:
    cv2.setNumThreads(1)


def _render(params: Rendered, seed: int, first: int) -> list[Row]:
    last = min(first + ITEMS_PER_TASK, params.items)
    return [row for number in range(first, last) for row in item_rows(params, seed, number)]


def item_rows(params: Rendered, seed: int, number: int) -> Iterator[Row]:
    """All rows of one item: shop views, consumer photos, and the flat of a val or test item."""
    item = make_item(params, seed, number)
    for view in dict.fromkeys(params.shop_views):
        image, box = shop_photo(item.garment, view, params.size, seed, number)
        _, encoded = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        yield _row(item, f"shop-{view}", "shop", view, encoded.tobytes(), box)
    for shot in range(params.consumer_photos):
        data, box = consumer_photo(item.garment, shot, params.size, params.difficulty, params.lighting, seed, number)
        yield _row(item, f"consumer-{shot}", "consumer", None, data, box)
    if params.sketches and item.split != "train":
        yield _row(item, "flat", "sketch", "flat", flat(item.garment, params.size, seed, number), None)


def _row(item: RenderedItem, name: str, domain: str, view: str | None, image: bytes, box: list[int] | None) -> Row:
    return {
        "image_id": f"{item.item_id}/{name}",
        "item_id": item.item_id,
        "domain": domain,
        "split": item.split,
        "role": _role(item.split, domain, view),
        "category": item.garment.category,
        "view": view,
        "attributes": item.garment.attributes(),
        "bbox": box,
        "image": image,
    }


def _role(split: str, domain: str, view: str | None) -> str:
    if split == "train":
        return "train"
    return "gallery" if domain == "shop" and view != "detail" else "query"
