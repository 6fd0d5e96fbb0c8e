"""Events for the kill campaign, and what the store and the dead-letter stream must hold when all are through."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from croquis.catalog.images import decode_image
from croquis.catalog.product import Product, ProductPicture
from croquis.events.event import ProductEvent, event_body
from croquis.search.local_retriever import LocalRetriever
from croquis.store.vector_store import VectorStore

VERSIONS = 4  # events per product, about
SIDE = 64  # pixels of the pictures
SEARCHED = 200  # products whose own picture must find them


@dataclass
class EventPlan:
    """What is sent, and what must become of it.

    Attributes:
        bodies: (key, message) in the order of sending.
        newest: item -> its newest state.
        bad: messages that can never be applied.
    """

    bodies: list[tuple[str, bytes]] = field(default_factory=list)
    newest: dict[str, ProductEvent] = field(default_factory=dict)
    bad: set[bytes] = field(default_factory=set)


def plan(events: int, bad: float, disorder: float, seed: int) -> EventPlan:
    """Events of `events / VERSIONS` products: upserts with a picture each, one in ten a deletion."""
    rng, made = random.Random(seed), EventPlan()
    versions: Counter[str] = Counter()
    for number in range(events):
        item_id = f"item-{rng.randrange(max(1, events // VERSIONS)):05d}"
        if rng.random() < bad:
            body = spoilt(number, rng)
            made.bad.add(body)
            made.bodies.append((f"bad-{number}", body))
            continue
        versions[item_id] += 1
        event = upsert(item_id, versions[item_id], number) if rng.random() < 0.9 else None
        made.newest[item_id] = event or ProductEvent(item_id, versions[item_id], None)
        made.bodies.append((item_id, event_body(made.newest[item_id])))
    for place in rng.sample(range(events), int(disorder * events)):
        made.bodies.insert(rng.randrange(events), made.bodies.pop(place))
    return made


def upsert(item_id: str, version: int, number: int) -> ProductEvent:
    picture = ProductPicture.of(item_id, drawn(number))
    return ProductEvent(item_id, version, Product(item_id, "dress", (f"number:{number}",), (picture,)))


def drawn(number: int) -> bytes:
    """A PNG of blocks of colours that no other number has."""
    blocks = np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    done, data = cv2.imencode(".png", cv2.resize(blocks, (SIDE, SIDE), interpolation=cv2.INTER_NEAREST))
    if not done:
        raise RuntimeError("OpenCV wrote no PNG")
    return data.tobytes()


def spoilt(number: int, rng: random.Random) -> bytes:
    """An event that is wrong in one of several ways; no two are equal."""
    sound = event_body(upsert(f"bad-{number}", 1, number))
    values = json.loads(sound)
    kinds: list[bytes] = [sound[:-20], json.dumps(values | {"version": -1}).encode()]
    blank = cv2.imencode(".png", np.full((SIDE, SIDE, 3), number % 256, dtype=np.uint8))[1].tobytes()
    for data in (drawn(number)[:150], blank):
        product = Product(f"bad-{number}", "dress", (), (ProductPicture.of(f"bad-{number}", data),))
        kinds.append(event_body(ProductEvent(f"bad-{number}", 1, product)))
    return rng.choice(kinds)


def compare(
    made: EventPlan, stores: Sequence[VectorStore], dead: Sequence[tuple[bytes, str]], retriever: LocalRetriever
) -> dict[str, Any]:
    """What is not as it must be; nothing is, when all is well.

    Args:
        stores: of consumers that shared the events; of a product the store with the newest version counts.
    """
    there = newest_state(stores)
    wrong = []
    for item_id, event in made.newest.items():
        wanted = [] if event.product is None else [event.product.pictures[0].image_id]
        if there.pop(item_id, None) != (event.version, wanted):
            wrong.append(item_id)
    return {
        "wrong_items": wrong,
        "strangers": sorted(there),
        "bad_not_in_dead_letters": len(made.bad - {body for body, _ in dead}),
        "good_in_dead_letters": [reason for body, reason in dead if body not in made.bad],
        "dead_without_reason": sum(not reason for _, reason in dead),
        "not_found_by_search": not_found(made, stores, retriever),
    }


def newest_state(stores: Sequence[VectorStore]) -> dict[str, tuple[int, list[str]]]:
    """Item -> its newest version, with the ids of its images; no images where it is deleted."""
    found: dict[str, tuple[int, list[str]]] = {}
    for store in stores:
        here: dict[str, tuple[int, list[str]]] = {}
        for images, _ in store.scan():
            for image in images:
                here.setdefault(image.item_id, (image.version, []))[1].append(image.image_id)
        for name, version in store.deletions().items():
            known, images_of = here.get(name, (0, []))
            here[name] = (max(known, version), images_of)
        found |= {name: state for name, state in here.items() if state[0] > found.get(name, (0, []))[0]}
    return found


def not_found(made: EventPlan, stores: Sequence[VectorStore], retriever: LocalRetriever) -> list[str]:
    """Products whose own picture does not find them first, in the store that scores it best."""
    live = [(name, event.product) for name, event in made.newest.items() if event.product is not None][:SEARCHED]
    vectors = retriever.encode_photos([decode_image(product.pictures[0].data) for _, product in live])
    first = [
        max((found[0] for found in lists if found), key=lambda match: match.score, default=None)
        for lists in zip(*(store.search(vectors, 1) for store in stores), strict=True)
    ]
    return [name for (name, _), match in zip(live, first, strict=True) if match is None or match.image.item_id != name]


def faultless(figures: dict[str, Any]) -> bool:
    names = ("wrong_items", "strangers", "bad_not_in_dead_letters", "good_in_dead_letters", "not_found_by_search")
    return not any(figures[name] for name in (*names, "dead_without_reason"))
