"""What becomes of a batch of events, whichever stream they come from: checked, embedded, and brought into the store."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from croquis.catalog.images import crop, decode_image
from croquis.events.event import EventError, ProductEvent, parse_event
from croquis.params.data_blocks import Validate
from croquis.search.local_retriever import LocalRetriever
from croquis.search.photo_facts import PhotoFacts, photo_facts, thumbnail_side
from croquis.store.products import ItemState, apply, known_versions, newest
from croquis.store.vector_store import StoredImage, StoreError, VectorStore
from croquis.validation.without_gx import image_reasons

DOMAIN = "shop"
PLACED = {
    "domain": DOMAIN,
    "split": "test",
    "role": "gallery",
}  # what the rules want to know of a photo that is searched


@dataclass
class BatchOutcome:
    """What became of a batch.

    Attributes:
        rejected: place in the batch -> why the event can never be applied.
        counts: events by `applied`, `stale` (a newer state is known) and `rejected`.
        images: pictures that were embedded.
        seconds: of the steps `check`, `encode` and `store`.
    """

    rejected: dict[int, str] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    images: int = 0
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


class Handler:
    """Applies events to a store with a bundle's encoder.

    Args:
        retriever: its nets look at the pictures; of its own gallery only the size of the thumbnails is used.
        store: of that bundle.
        settings: of the rules of the stage `validate`.
        images: folder that paths in events are relative to.

    Raises:
        StoreError: when the store was made with another bundle.
    """

    def __init__(
        self, retriever: LocalRetriever, store: VectorStore, settings: Validate, images: Path | None = None
    ) -> None:
        ours, theirs = retriever.bundle.hash[:12], store.spec.bundle[:12]
        if store.spec.bundle != retriever.bundle.hash:
            raise StoreError(f"{store.name} was made with the bundle {theirs}, and events would be encoded by {ours}")
        self._retriever = retriever
        self._store = store
        self._settings = settings
        self._images = images
        self._side = thumbnail_side(retriever.bundle.items)

    def handle(self, bodies: Sequence[bytes]) -> BatchOutcome:
        """Applies what is good and new in a batch; in the store when this returns. The same batch may come again.

        Raises:
            StoreError: when the store fails; the batch may be applied in part, and can be handled again.
        """
        done = BatchOutcome()
        with done.step("check"):
            events = self._checked(bodies, done)
            pictures = {p.image_id: p for event in events if event.product for p in event.product.pictures}
            chosen = newest([_state(event) for event in events])
        with done.step("store"):
            known = known_versions(self._store, list(chosen))
        fresh = [state for name, state in chosen.items() if known[name].admits(state.version, not state.images)]
        with done.step("encode"):
            wanted = [pictures[image.image_id] for state in fresh for image in state.images]
            photos = (crop(decode_image(picture.data), picture.bbox) for picture in wanted)
            seen = photo_facts(self._retriever.bundle, photos, self._side)
        with done.step("store"):
            apply(self._store, list(_completed(fresh, seen)), known)
        done.images = len(wanted)
        done.counts.update(applied=len(fresh), stale=len(events) - len(fresh), rejected=len(done.rejected))
        return done

    def _checked(self, bodies: Sequence[bytes], done: BatchOutcome) -> list[ProductEvent]:
        """The events that may be applied; why others may not goes to `done.rejected`."""
        events: dict[int, ProductEvent] = {}
        for place, body in enumerate(bodies):
            try:
                events[place] = parse_event(body, self._images)
            except EventError as error:
                done.rejected[place] = str(error)
        places, rows = [], []
        for place, event in events.items():
            for row in _catalogue_rows(place, event):
                places.append(place)
                rows.append(row)
        for number, faults in image_reasons(rows, self._settings).items() if rows else ():
            done.rejected.setdefault(places[number], "; ".join(faults))
        return [event for place, event in events.items() if place not in done.rejected]


def _state(event: ProductEvent) -> ItemState:
    product = event.product
    if product is None:
        return ItemState(event.item_id, event.version)
    images = [
        StoredImage(picture.image_id, event.item_id, event.version, product.category, DOMAIN, product.attributes)
        for picture in product.pictures
    ]
    return ItemState(event.item_id, event.version, tuple(images))


def _completed(states: Sequence[ItemState], seen: PhotoFacts) -> Iterator[ItemState]:
    """The states with what was seen of their images, which come in the same order."""
    start = 0
    for state in states:
        if not state.images:
            yield state
            continue
        own = slice(start, start + len(state.images))
        start = own.stop
        images = [
            replace(image, predicted=tuple(names), probabilities=cell)
            for image, names, cell in zip(state.images, seen.predicted[own], seen.probabilities[own], strict=True)
        ]
        yield replace(state, images=tuple(images), vectors=seen.vectors[own], thumbnails=tuple(seen.thumbnails[own]))


def _catalogue_rows(place: int, event: ProductEvent) -> Iterator[Mapping[str, Any]]:
    """An event's pictures as rows of the table of images; ids are those of the event, so that events do not meet."""
    if event.product is None:
        return
    for picture in event.product.pictures:
        yield {
            **PLACED,
            "image_id": f"{place}:{picture.image_id}",
            "item_id": f"{place}:{event.item_id}",
            "category": event.product.category,
            "attributes": list(event.product.attributes),
            "bbox": None if picture.bbox is None else list(picture.bbox),
            "image": picture.data,
        }
