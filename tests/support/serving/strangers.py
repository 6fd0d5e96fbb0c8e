"""Load of a server in threads: who searches, changes and publishes as one should, and who does not."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Self

import httpx

from croquis.events.event import ProductEvent, event_body
from croquis.events.stream import StreamError, open_stream
from croquis.serving.client import Client, ServerError
from tests.support.costly_pictures import REFUSED
from tests.support.events.event_plan import upsert
from tests.support.serving.live_server import TOKEN, picture
from tests.support.serving.product_states import State
from tests.support.serving.raw_connections import HALF, UNSENT_BODY, connected

IDLE = 100  # connections of a server
PATIENCE = 60.0  # seconds for an answer
PAUSE = 0.1  # seconds between two requests of a thread
NO_EVENTS = (b"{", b'{"kind": []}', b"[" * 5000, b'{"kind": "upsert", "item_id": "\\u0000"}', b"\xff" * 10_000)
NO_PICTURES = (b"no picture", picture(0)[:60], *REFUSED.values())


@dataclass
class Strangers:
    """Threads that go on until the block ends; whatever one of them raises is raised at its end.

    Attributes:
        answers: (what was sent, status) -> how often.
        products: id -> the newest state that the server acknowledged.
        events: id -> the newest event that the broker acknowledged.
    """

    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    products: dict[str, State] = field(default_factory=dict)
    events: dict[str, ProductEvent] = field(default_factory=dict)
    _ending: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)
    _raised: list[Exception] = field(default_factory=list)

    def begin(self, steps: Iterator[None]) -> None:
        """Takes a step after another in a thread of its own."""

        def run() -> None:
            try:
                for _ in steps:
                    if self._ending.wait(PAUSE):
                        return
            except Exception as error:  # told at the end
                self._raised.append(error)

        self._threads.append(threading.Thread(target=run, daemon=True))
        self._threads[-1].start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join(2 * PATIENCE)
        for error in self._raised:
            raise error

    def searches(self, address: str, sent: str, *files: bytes) -> Iterator[None]:
        with httpx.Client(base_url=address, timeout=PATIENCE, trust_env=False) as client:
            while True:
                for data in files:
                    answer = client.post("/search", files={"image": ("a", data)})
                    self.answers[sent, answer.status_code] += 1
                    yield

    def changes(self, address: str) -> Iterator[None]:
        """Products that are put, replaced and deleted; one that is refused for now is sent again."""
        rng, number = random.Random(5), 0
        with Client(address, admin_token=TOKEN, timeout=PATIENCE) as client:
            while True:
                number += 1
                state, status = State.drawn(rng, number), 429
                while status == 429:
                    status = status_of(partial(state.apply, client))
                    self.answers["change", status] += 1
                    if status == 200:
                        self.products[state.item_id] = state
                    yield

    def publishes(self, uri: str) -> Iterator[None]:
        """Events, sound ones and others; one that the broker did not acknowledge is sent again."""
        number = 0
        while True:
            try:
                stream = open_stream(uri)
            except StreamError:
                yield
                continue
            with contextlib.closing(stream), contextlib.suppress(StreamError):
                while True:
                    item_id, version = f"event-{number % 40}", 1 + number // 40
                    gone = ProductEvent(item_id, version, None)
                    event = gone if number % 7 == 0 else upsert(item_id, version, number)
                    stream.send([(item_id, event_body(event)), ("x", NO_EVENTS[number % len(NO_EVENTS)])])
                    self.events[item_id] = event
                    number += 1
                    yield

    def stands_idle(self, address: str) -> Iterator[None]:
        """Connections that never say all; those that the server closed are opened again after a while."""
        while True:
            with contextlib.ExitStack() as stack:
                for number in range(IDLE):
                    stack.enter_context(connected(address, *([], [HALF], [UNSENT_BODY])[number % 3]))
                end = time.monotonic() + 12
                while time.monotonic() < end:
                    yield


def status_of(call: Callable[[], object]) -> int:
    try:
        call()
    except ServerError as error:
        return error.problem.status
    return 200


def is_kept(event: ProductEvent, client: Client) -> bool:
    """Whether the server holds what the event says."""
    try:
        item = client.item(event.item_id)
    except ServerError as error:
        return event.product is None and error.problem.status == 404
    return event.product is not None and item.attributes == list(event.product.attributes)
