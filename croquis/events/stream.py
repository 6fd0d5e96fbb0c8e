"""What the consumer needs of a stream, and the streams that there are, by URI."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit

DEAD = "-dead"  # what the name of a dead-letter topic ends with
MESSAGE_BYTES = 16_000_000  # largest message: a product with its pictures


class StreamError(RuntimeError):
    """A stream cannot be reached or refuses; the message names it and the fix. Trying again later may help."""


@dataclass(frozen=True)
class Message:
    """One event as it came; `handle` is the stream's own."""

    body: bytes
    handle: Any


class Stream(Protocol):
    """A durable stream of events with a place that a group of consumers has reached, and a topic for bad ones."""

    def fetch(self, most: int, wait: float) -> list[Message]:
        """Up to `most` messages, none when none came within `wait` seconds; nothing more is fetched in advance."""
        ...

    def commit(self, messages: Sequence[Message]) -> None:
        """Tells the stream that these are done; what was fetched and not committed comes again."""
        ...

    def give_back(self, messages: Sequence[Message]) -> None:
        """These will not be committed: they come again, before anything after them is committed over them."""
        ...

    def reject(self, message: Message, reason: str) -> None:
        """Puts a message into the dead-letter topic; it is kept there when this returns."""
        ...

    def send(self, bodies: Sequence[tuple[str, bytes]]) -> None:
        """Appends events, each with its product's id as the key; they are kept when this returns."""
        ...

    def lag(self) -> int:
        """Events that wait, those under way included."""
        ...

    def close(self) -> None: ...


def open_stream(uri: str, group: str = "ingest", redeliver: float = 120.0) -> Stream:
    """`nats://HOST:PORT/STREAM` or `kafka://HOST:PORT[,HOST:PORT]/TOPIC`.

    Args:
        group: consumers that share the work.
        redeliver: seconds after which a message that was not committed comes again; longer than a batch takes (NATS).

    Raises:
        StreamError: when the URI is another one, or the stream cannot be reached.
    """
    parts = urlsplit(uri)
    topic = parts.path.strip("/")
    if (
        parts.scheme not in ("nats", "kafka")
        or not parts.netloc
        or not topic.replace("-", "").replace("_", "").isalnum()
    ):
        raise StreamError(f"{uri!r} is no stream: give nats://HOST:PORT/STREAM or kafka://HOST:PORT/TOPIC")
    try:
        if parts.scheme == "nats":
            from croquis.events.nats_stream import NatsStream

            return NatsStream(f"nats://{parts.netloc}", topic, group, redeliver)
        from croquis.events.kafka_stream import KafkaStream

        return KafkaStream(parts.netloc, topic, group)
    except ImportError as error:
        raise StreamError(f"{uri} needs {error.name}: pip install '.[scale]'") from error
