"""What the consumer needs of a stream, and the streams that there are, by URI."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import urlsplit

from croquis.credentials import without_credentials

DEAD = "-dead"  # what the name of a dead-letter topic ends with
MESSAGE_BYTES = 16_000_000  # largest message: a product with its pictures
CLIENTS = {"nats": "nats", "kafka": "confluent_kafka"}  # scheme -> the package that speaks to it


class StreamError(RuntimeError):
    """A stream cannot be reached or refuses; the message names it and the fix. Trying again later may help."""

    def __init__(self, message: str) -> None:
        super().__init__(without_credentials(message))


class TooLargeError(StreamError):
    """A topic takes no message of this size; the same one will never be taken."""


@dataclass(frozen=True)
class Message:
    """One event as it came.

    Attributes:
        handle: the stream's own.
        key: of the event, where the stream has keys.
        origin: where it stands, e.g. topic, partition and offset.
    """

    body: bytes
    handle: Any
    key: bytes | None = None
    origin: Mapping[str, Any] = field(default_factory=dict)


class Stream(Protocol):
    """A durable stream of events with a place that a group of consumers has reached, and a topic for bad ones.

    `close` ends the connection; what was not committed comes again to the next consumer.
    """

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
        """Puts a message's key and body into the dead-letter topic; they are kept there when this returns.

        Raises:
            TooLargeError: when the topic takes no message of this size.
        """
        ...

    def send(self, bodies: Sequence[tuple[str, bytes]]) -> None:
        """Appends events, each with its product's id as the key; they are kept when this returns."""
        ...

    def lag(self) -> int:
        """Events that wait, those under way included."""
        ...

    def close(self) -> None: ...


def check_stream(uri: str) -> tuple[str, str, str]:
    """Scheme, server and topic of a stream's URI, which is not connected to.

    Raises:
        StreamError: when it is no such URI, or the package that it needs is not installed.
    """
    try:
        parts = urlsplit(uri)
    except ValueError as error:
        raise StreamError(f"{uri!r} is no stream: {error}") from error
    topic = parts.path.strip("/")
    if parts.scheme not in CLIENTS or not parts.netloc or not topic.replace("-", "").replace("_", "").isalnum():
        raise StreamError(f"{uri!r} is no stream: give nats://HOST:PORT/STREAM or kafka://HOST:PORT/TOPIC")
    if parts.scheme == "kafka" and "@" in parts.netloc:
        raise StreamError(f"{uri} came with a user: this client logs in to no Kafka, give kafka://HOST:PORT/TOPIC")
    try:
        importlib.import_module(CLIENTS[parts.scheme])
    except ImportError as error:
        raise StreamError(f"{uri} needs {error.name}: pip install '.[scale]'") from error
    return parts.scheme, parts.netloc, topic


def open_stream(uri: str, group: str = "ingest", redeliver: float = 120.0) -> Stream:
    """`nats://HOST:PORT/STREAM` or `kafka://HOST:PORT[,HOST:PORT]/TOPIC`.

    Args:
        group: consumers that share the work.
        redeliver: seconds after which a message that was not committed comes again; longer than a batch takes (NATS).

    Raises:
        StreamError: when the URI is another one, or the stream cannot be reached within seconds.
    """
    scheme, server, topic = check_stream(uri)
    if scheme == "nats":
        from croquis.events.nats_stream import NatsStream

        return NatsStream(f"nats://{server}", topic, group, redeliver)
    from croquis.events.kafka_stream import KafkaStream

    return KafkaStream(server, topic, group)
