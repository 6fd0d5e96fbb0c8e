"""A stream in this process, with what a broker has: places, commits, a dead-letter topic, a limit on its messages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from croquis.events.stream import Message, StreamError, TooLargeError


@dataclass
class MemoryStream:
    """Keeps events in a list.

    Attributes:
        largest: bytes of key, body and reason that the dead-letter topic takes.
        committed: places of the events that are done.
        dead: key, body and reason of each dead letter.
        outages: how many of the next calls of `reject` fail.
    """

    events: list[tuple[bytes | None, bytes]]
    largest: int = 1_000_000
    committed: list[int] = field(default_factory=list)
    dead: list[tuple[bytes | None, bytes, str]] = field(default_factory=list)
    outages: int = 0
    _next: int = 0

    def fetch(self, most: int, wait: float) -> list[Message]:  # noqa: ARG002 nothing comes later
        places = range(self._next, min(self._next + most, len(self.events)))
        self._next = places.stop
        origin = {"topic": "products", "partition": 0}
        return [Message(self.events[n][1], n, self.events[n][0], origin | {"offset": n}) for n in places]

    def commit(self, messages: Sequence[Message]) -> None:
        self.committed += [message.handle for message in messages]

    def give_back(self, messages: Sequence[Message]) -> None:
        self._next = min(message.handle for message in messages)

    def reject(self, message: Message, reason: str) -> None:
        if self.outages:
            self.outages -= 1
            raise StreamError("the dead-letter topic is away")
        if len(message.key or b"") + len(message.body) + len(reason.encode()) > self.largest:
            raise TooLargeError("too large")
        self.dead.append((message.key, message.body, reason))

    def send(self, bodies: Sequence[tuple[str, bytes]]) -> None:
        self.events += [(key.encode(), body) for key, body in bodies]

    def lag(self) -> int:
        return len(self.events) - len(self.committed)

    def close(self) -> None:
        """Nothing is open."""
