"""Events from NATS JetStream. One thread keeps the connection, so that it is served while a batch is embedded."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

import nats
from nats.errors import MaxPayloadError
from nats.js.api import AckPolicy, ConsumerConfig, StreamConfig
from nats.js.errors import APIError, NotFoundError

from croquis.events.stream import DEAD, Message, StreamError, TooLargeError

PATIENCE = 10.0  # seconds for an answer
CONNECTING = 8.0  # seconds for the first connection
SILENCE = 6.0  # seconds, about, after which a server that says nothing counts as lost
CLOSING = 2.0  # seconds for the end of a connection
HEADER_BYTES = 100  # of a message with a header, beside the header's value
NAME_IN_USE, OVERLAP, MESSAGE_TOO_LARGE = 10058, 10065, 10054  # codes of JetStream
IN_FLIGHT = 256  # messages that are sent before their answers are waited for
T = TypeVar("T")


class NatsStream:
    """A stream, its pull consumer `group`, and the stream of bad events beside it; both streams are made when missing.

    JetStream gives the messages of a consumer to any process that fetches, whatever product they are about: let one
    process consume a stream, or give each its own stream.

    Raises:
        StreamError: when the server does not answer or has no JetStream.
    """

    def __init__(self, server: str, name: str, group: str, redeliver: float) -> None:
        self._server, self._name, self._group = server, name, group
        self._where = f"{server}/{name}"
        self._redeliver = redeliver
        self._refusal: Exception | None = None
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self._pull: Any = None
        self._early: list[Message] = []
        try:
            self._connection: Any = self._run(self._connect())
        except StreamError:
            self._loop.call_soon_threadsafe(self._end)
            raise
        self._stream = self._connection.jetstream(timeout=PATIENCE)

    def fetch(self, most: int, wait: float) -> list[Message]:
        return self._run(self._fetch(most, wait))

    def commit(self, messages: Sequence[Message]) -> None:
        async def answered() -> None:
            for message in messages:
                await message.handle.ack_sync(timeout=PATIENCE)

        self._run(answered())

    def give_back(self, messages: Sequence[Message]) -> None:
        """Nothing to do: each message is acknowledged by itself, and comes again when its time is up."""

    def reject(self, message: Message, reason: str) -> None:
        size, most = len(message.body) + len(reason.encode()) + HEADER_BYTES, self._connection.max_payload
        if size > most:  # the server would end the connection
            raise TooLargeError(f"{self._where}{DEAD}: {size} bytes are more than the server's max_payload, {most}")
        self._run(self._stream.publish(f"{self._name}{DEAD}", message.body, headers={"reason": reason}))

    def send(self, bodies: Sequence[tuple[str, bytes]]) -> None:
        async def sent() -> None:
            for start in range(0, len(bodies), IN_FLIGHT):
                some = bodies[start : start + IN_FLIGHT]
                await asyncio.gather(*(self._stream.publish(self._name, body) for _, body in some))

        self._run(sent())

    def lag(self) -> int:
        async def told() -> int:
            state = await self._stream.consumer_info(self._name, self._group)
            return int(state.num_pending + state.num_ack_pending)

        try:
            return self._run(told())
        except _MissingError:  # nothing was fetched yet
            return int(self._run(self._stream.stream_info(self._name)).state.messages)

    def close(self) -> None:
        """Ends the connection, within `CLOSING` seconds, and its thread."""
        try:
            with contextlib.suppress(StreamError):  # of a server that is gone there is nothing to close
                self._run(asyncio.wait_for(self._connection.close(), CLOSING))
        finally:
            self._loop.call_soon_threadsafe(self._end)

    def _end(self) -> None:
        """Of the loop; tasks of the client that still wait would say so when the process ends."""
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.call_soon(self._loop.stop)

    async def _connect(self) -> Any:
        options: dict[str, Any] = {
            "connect_timeout": PATIENCE,
            "max_reconnect_attempts": -1,
            "ping_interval": SILENCE / 2,
            "max_outstanding_pings": 1,
            "reconnect_time_wait": 0.5,
        }
        first = nats.connect(self._server, allow_reconnect=True, error_cb=self._note, **options)
        try:
            connection = await asyncio.wait_for(first, CONNECTING)
        except TimeoutError:  # left alone it would try for ever
            raise self._refusal or TimeoutError(f"no answer within {CONNECTING:.0f} s") from None
        stream = connection.jetstream(timeout=PATIENCE)
        for name in (self._name, f"{self._name}{DEAD}"):
            try:
                await stream.add_stream(StreamConfig(name=name, subjects=[name]))
            except APIError as error:
                if error.err_code == OVERLAP and await _is_there(stream, name):  # another has just made it
                    continue
                if error.err_code != NAME_IN_USE:  # it is there, with limits set by its owner
                    await connection.close()
                    raise
        return connection

    async def _fetch(self, most: int, wait: float) -> list[Message]:
        """nats-py gives all that has arrived, answers to earlier requests too; what is over `most` is for the next calls."""
        if not self._early:
            self._early = await self._arrived(most, wait)
        messages, self._early = self._early[:most], self._early[most:]
        return messages

    async def _arrived(self, most: int, wait: float) -> list[Message]:
        if self._pull is None:
            settings = ConsumerConfig(ack_policy=AckPolicy.EXPLICIT, ack_wait=self._redeliver, max_ack_pending=20_000)
            self._pull = await self._stream.pull_subscribe(self._name, durable=self._group, config=settings)
        try:
            return [self._message(found) for found in await self._pull.fetch(most, timeout=wait)]
        except TimeoutError:  # nothing came: nats-py raises its own kind of it, or under load asyncio's
            if not self._connection.is_connected:
                raise self._refusal or TimeoutError("the connection is lost") from None
            return []

    def _message(self, found: Any) -> Message:
        return Message(found.data, found, origin={"stream": self._name, "sequence": found.metadata.sequence.stream})

    async def _note(self, error: Exception) -> None:
        """What goes wrong in the background: it is tried again there, and calls that fail tell of it."""
        self._refusal = error

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            return asyncio.run_coroutine_threadsafe(work, self._loop).result()
        except NotFoundError as error:
            raise _MissingError(str(error)) from error
        except Exception as error:  # the client raises what its parsers and sockets do
            what = str(error) or type(error).__name__
            large = isinstance(error, MaxPayloadError) or getattr(error, "err_code", None) == MESSAGE_TOO_LARGE
            kind = TooLargeError if large else StreamError
            raise kind(f"{self._where}: {what}; is nats-server running with JetStream?") from error


async def _is_there(context: Any, name: str) -> bool:
    try:
        await context.stream_info(name)
    except NotFoundError:
        return False
    return True


class _MissingError(StreamError):
    """The server does not know what was asked for."""
