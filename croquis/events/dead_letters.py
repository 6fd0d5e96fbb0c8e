"""Bad events are put aside, whatever their size: as they came, or by reference where the dead-letter topic takes less."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

from croquis.events.stream import Message, Stream, TooLargeError

HEAD = 100  # bytes of a body or a key that a reference shows
REASON = 1000  # bytes


def put_aside(stream: Stream, message: Message, reason: str) -> None:
    """Puts a message into the dead-letter topic with its reason; it is kept there when this returns.

    Raises:
        StreamError: when the topic cannot be reached.
    """
    shown = one_line(reason)
    try:
        stream.reject(message, shown)
    except TooLargeError:
        stream.reject(replace(message, body=reference(message), key=_short(message.key)), shown)


def reference(message: Message) -> bytes:
    """What stands for a message that is too large: SHA-256, size in bytes and first bytes of its body, and where it stands
    in the stream that it came from.

    Returns:
        JSON of at most 2 kB and the origin.
    """
    body = message.body
    values = {"sha256": hashlib.sha256(body).hexdigest(), "size": len(body), **message.origin, "head": _head(body)}
    if message.key is not None:
        values["key"] = _head(message.key)
    return json.dumps(values).encode()


def one_line(reason: str) -> str:
    """A reason as the header of a message can hold it: no control characters, no half of a surrogate pair."""
    line = " ".join(reason[: 2 * REASON].split())
    shown = "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in line)
    return shown.encode()[:REASON].decode(errors="ignore").rstrip()


def _head(data: bytes) -> str:
    return data[:HEAD].decode("utf-8", "backslashreplace")


def _short(key: bytes | None) -> bytes | None:
    """A key that is too long itself is told by its head in the reference."""
    return key if key is None or len(key) <= HEAD else None
