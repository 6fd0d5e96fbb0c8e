"""What becomes of a batch of events, whichever stream they come from: checked, embedded, and brought into the store."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from croquis.catalog.decode_workers import SMALL, DecodeWorkers, memory_for
from croquis.catalog.images import (
    CostlyImageError,
    DamagedImageError,
    DecodeLimits,
    ImageError,
    costs_little,
    decode_inside,
)
from croquis.events.event import EventError, ProductEvent, parse_event
from croquis.params.data_blocks import Validate
from croquis.search.local_retriever import LocalRetriever
from croquis.search.photo_facts import PhotoFacts, photo_facts, thumbnail_side
from croquis.store.products import ItemState, apply, known_versions, newest
from croquis.store.vector_store import StoredImage, StoreError, UnfitImageError, VectorStore
from croquis.validation.without_gx import image_reasons

logger = logging.getLogger(__name__)

DOMAIN = "shop"
PLACED = {
    "domain": DOMAIN,
    "split": "test",
    "role": "gallery",
}  # what the rules want to know of a photo that is searched


HELD_BYTES = 128_000_000  # of picture files that are held at once; of decoded pictures it is one
DECODE_SECONDS = 10.0  # that a picture may take
R = TypeVar("R")


@dataclass
class BatchOutcome:
    """The outcome of a batch.

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
        """Adds the time that the block takes, in seconds, to the step `name`."""
        start = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start

    def refuse(self, place: int, error: Exception) -> None:
        """Notes why an event cannot be applied; an unexpected error is logged too."""
        foreseen = isinstance(error, EventError | ImageError | UnfitImageError)
        self.rejected[place] = str(error) if foreseen else f"{type(error).__name__}: {error}"
        if not foreseen:
            logger.error("an event is put aside: %s", self.rejected[place], exc_info=error)


@dataclass(frozen=True)
class Placed:
    """An event and its place in the batch."""

    place: int
    event: ProductEvent

    @property
    def bytes(self) -> int:
        """Of its pictures' files."""
        product = self.event.product
        return 0 if product is None else sum(len(picture.data) for picture in product.pictures)


class Handler:
    """Applies events to a store with a bundle's encoder.

    Args:
        retriever: its nets look at the pictures; of its own gallery only the size of the thumbnails is used.
        store: of that bundle.
        settings: of the rules of the stage `validate`; `max_megapixels` bounds the one picture that is decoded at a time.
        images: folder that paths in events are relative to.
        held_bytes: of picture files that are held at once, beside those of one event.
        decode_seconds: time that a picture may take to decode; a longer one's event is put aside.

    Raises:
        StoreError: when the store was made with another bundle.
    """

    def __init__(
        self,
        retriever: LocalRetriever,
        store: VectorStore,
        settings: Validate,
        images: Path | None = None,
        held_bytes: int = HELD_BYTES,
        decode_seconds: float = DECODE_SECONDS,
    ) -> None:
        ours, theirs = retriever.bundle.hash[:12], store.spec.bundle[:12]
        if store.spec.bundle != retriever.bundle.hash:
            raise StoreError(f"{store.name} was made with the bundle {theirs}, and events would be encoded by {ours}")
        self._retriever = retriever
        self._store = store
        self._settings = settings
        self._images = images
        self._held_bytes = held_bytes
        self._side = thumbnail_side(retriever.bundle.items)
        self._limits = DecodeLimits(max_pixels=int(settings.max_megapixels * 1_000_000))
        self._workers = DecodeWorkers(1, decode_seconds, memory_for(self._limits.max_pixels))

    def close(self) -> None:
        """Ends the process that tries large pictures."""
        self._workers.close()

    def handle(self, bodies: Sequence[bytes]) -> BatchOutcome:
        """Applies what is good and new in a batch; in the store when this returns. The same batch may come again.

        Whatever one event brings about before it is in the store, short of a failure of the store itself, is a reason to
        put that event aside, and no other.

        Raises:
            StoreError: when the store fails; the batch may be applied in part, and can be handled again.
        """
        done = BatchOutcome()
        for part in self._parts(bodies, done):
            left = part
            while left and not self._applied(left, done):
                left = [each for each in left if each.place not in done.rejected]
        done.counts["rejected"] = len(done.rejected)
        return done

    def _parts(self, bodies: Sequence[bytes], done: BatchOutcome) -> Iterator[list[Placed]]:
        """The events that may be applied, in their order, as many at a time as may be held."""
        part: list[Placed] = []
        held = 0
        for place, body in enumerate(bodies):
            with done.step("check"):
                try:
                    event = parse_event(body, self._images)
                    self._try(event)
                    part.append(Placed(place, event))
                    held += part[-1].bytes
                except Exception as error:  # bytes of strangers
                    done.refuse(place, error)
            if held > self._held_bytes:
                yield self._checked(part, done)
                part, held = [], 0
        yield self._checked(part, done)

    def _try(self, event: ProductEvent) -> None:
        """Refuses pictures that take too long, or end what decodes them: large ones are decoded by a worker before they
        are decoded here. Of any other fault the rules tell."""
        for picture in () if event.product is None else event.product.pictures:
            if costs_little(picture.data, SMALL):
                continue
            try:
                with self._workers.decoded(picture.data, self._limits):
                    pass
            except (CostlyImageError, DamagedImageError):
                raise
            except ImageError:
                continue

    def _checked(self, events: Sequence[Placed], done: BatchOutcome) -> list[Placed]:
        """The events that the rules let pass; why others may not goes to `done.rejected`."""
        with done.step("check"):
            for each, faults in _spared(self._faults, events, done):
                if faults is not None:
                    done.rejected[each.place] = faults
        return [each for each in events if each.place not in done.rejected]

    def _faults(self, events: Sequence[Placed]) -> list[str | None]:
        """What the rules say against the pictures of each event; None where nothing."""
        rows = [(number, row) for number, each in enumerate(events) for row in _catalogue_rows(each)]
        found = image_reasons([row for _, row in rows], self._settings) if rows else {}
        faults: list[str | None] = [None] * len(events)
        for (number, _), reasons in ((rows[row], reasons) for row, reasons in found.items()):
            faults[number] = faults[number] or "; ".join(reasons)
        return faults

    def _applied(self, events: Sequence[Placed], done: BatchOutcome) -> bool:
        """Brings the newest of some events into the store.

        Returns:
            False when that shows of one that it has to be put aside: of the others another one may then be the newest.
        """
        states = [_state(each.event) for each in events]
        owners = {id(state): each for state, each in zip(states, events, strict=True)}
        chosen = newest(states)
        with done.step("store"):
            known = known_versions(self._store, list(chosen))
        fresh = {
            name: owners[id(state)]
            for name, state in chosen.items()
            if known[name].admits(state.version, not state.images)
        }
        with done.step("encode"):
            completed = [state for _, state in _spared(self._encoded, list(fresh.values()), done)]
        if len(completed) < len(fresh):
            return False
        with done.step("store"):
            try:
                apply(self._store, completed, known)
            except UnfitImageError as error:
                done.refuse(fresh[error.item_id].place, error)
                return False
        done.images += sum(len(state.images) for state in completed)
        done.counts.update(applied=len(fresh), stale=len(events) - len(fresh))
        return True

    def _encoded(self, events: Sequence[Placed]) -> list[ItemState]:
        """The states of products as the bundle's nets see them; one picture is decoded at a time."""
        states = [_state(each.event) for each in events]
        products = [each.event.product for each in events]
        pictures = [picture for product in products if product is not None for picture in product.pictures]
        draft = self._retriever.nets.draft
        photos = (decode_inside(picture.data, picture.bbox, draft=draft) for picture in pictures)
        seen = photo_facts(self._retriever.bundle, photos, self._side)
        self._store.spec.stored(seen.vectors)  # refuses what the store would, while it is known whose it is
        return list(_completed(states, seen))


def _spared(
    work: Callable[[Sequence[Placed]], Sequence[R]], events: Sequence[Placed], done: BatchOutcome
) -> list[tuple[Placed, R]]:
    """`work` of some events together; where it fails of each alone, so that only those go for which it fails again."""
    try:
        return list(zip(events, work(events), strict=True))
    except Exception as error:  # pictures of strangers
        if len(events) == 1:
            done.refuse(events[0].place, error)
            return []
    return [pair for each in events for pair in _spared(work, [each], done)]


def _state(event: ProductEvent) -> ItemState:
    product = event.product
    if product is None:
        return ItemState(event.item_id, event.version)
    images = [
        StoredImage(
            picture.image_id,
            event.item_id,
            event.version,
            product.category,
            DOMAIN,
            product.attributes,
            product=product.columns,
        )
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


def _catalogue_rows(placed: Placed) -> Iterator[Mapping[str, Any]]:
    """An event's pictures as rows of the table of images; ids are those of the event, so that events do not meet."""
    place, event = placed.place, placed.event
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
