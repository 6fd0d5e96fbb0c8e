"""Events from Kafka. A product's events share a partition, as its id is their key, and a partition has one consumer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from croquis.events.stream import DEAD, MESSAGE_BYTES, Message, StreamError, TooLargeError

PATIENCE = 10.0  # seconds for an answer
SILENCE = 10.0  # seconds after which a connection without an answer is given up; a group may take 5 s to rebalance
ANSWERING = 8.0  # seconds in which a broker must answer at the start
TOLD_IN = 1.0  # seconds in which brokers that were down must answer to count as back
CRITICAL = 2  # of syslog: librdkafka logs each of its 20 tries a second at a lower level; ours are told by errors


class KafkaStream:
    """A topic, the consumer group `group`, and the topic of bad events beside it.

    Offsets are committed by `commit` alone. The consumer joins its group with the first `fetch`.

    Raises:
        StreamError: when no broker answers.
    """

    def __init__(self, servers: str, topic: str, group: str) -> None:
        common = {
            "bootstrap.servers": servers,
            "message.max.bytes": MESSAGE_BYTES,
            "enable.metrics.push": False,
            "socket.timeout.ms": int(1000 * SILENCE),
            "log_level": CRITICAL,
            "error_cb": self._note,
        }
        self._where, self._topic = f"kafka://{servers}/{topic}", topic
        self._all_down = False
        self._producer = Producer({**common, "enable.idempotence": True, "acks": "all"})
        # The heartbeat has a thread of its own: a slow batch is alive, and a consumer that died is found out in seconds.
        settings: dict[str, Any] = {
            "session.timeout.ms": 10_000,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "queued.max.messages.kbytes": 65_536,
        }
        self._consumer = Consumer({**common, **settings, "group.id": group})
        self._joined = False
        self._ask_brokers(ANSWERING)

    def fetch(self, most: int, wait: float) -> list[Message]:
        if not self._joined:
            self._consumer.subscribe([self._topic])
            self._joined = True
        try:
            found = self._consumer.consume(most, wait)
        except KafkaException as error:
            raise StreamError(f"{self._where}: {error}") from error
        faults = [fault for message in found if (fault := message.error()) is not None]
        lasting = [fault for fault in faults if fault.code() not in _PASSING]
        messages = [_message(part) for part in found if not part.error()]
        if lasting:
            self.give_back(messages)
            raise StreamError(f"{self._where}: {lasting[0]}")
        if self._all_down and not messages:
            self._ask_brokers(TOLD_IN)
        self._all_down = False
        return messages

    def give_back(self, messages: Sequence[Message]) -> None:
        mine = {part.partition for part in self._consumer.assignment()}
        starts: dict[int, int] = {}
        for message in messages:
            partition = message.handle.partition()
            starts[partition] = min(starts.get(partition, message.handle.offset()), message.handle.offset())
        try:
            for partition in starts.keys() & mine:
                self._consumer.seek(TopicPartition(self._topic, partition, starts[partition]))
        except KafkaException as error:
            raise StreamError(f"{self._where}: events could not be asked for again: {error}") from error

    def commit(self, messages: Sequence[Message]) -> None:
        ends: dict[int, int] = {}
        for message in messages:
            partition = message.handle.partition()
            ends[partition] = max(ends.get(partition, 0), message.handle.offset() + 1)
        offsets = [TopicPartition(self._topic, partition, end) for partition, end in ends.items()]
        try:
            for done in self._consumer.commit(offsets=offsets, asynchronous=False) or ():
                if done.error:
                    raise KafkaException(done.error)
        except KafkaException as error:
            raise StreamError(f"{self._where}: what was done could not be committed: {error}") from error

    def reject(self, message: Message, reason: str) -> None:
        self._deliver([(message.key, message.body)], self._topic + DEAD, {"reason": reason})

    def send(self, bodies: Sequence[tuple[str, bytes]]) -> None:
        self._deliver([(key.encode(), body) for key, body in bodies], self._topic, {})

    def lag(self) -> int:
        """Of the partitions that this consumer has."""
        try:
            here = self._consumer.committed(self._consumer.assignment(), timeout=PATIENCE)
            return sum(self._behind(part) for part in here)
        except KafkaException as error:
            raise StreamError(f"{self._where}: {error}") from error

    def close(self) -> None:
        """Leaves the group and drops what was not sent yet, whose sender has had an error."""
        self._consumer.close()
        self._producer.purge()  # what was not taken was told

    def _note(self, fault: Any) -> None:
        """What librdkafka meets in the background: it tries again by itself, and `fetch` tells of it."""
        self._all_down = self._all_down or fault.code() == KafkaError._ALL_BROKERS_DOWN

    def _ask_brokers(self, seconds: float) -> None:
        try:
            self._consumer.list_topics(self._topic, timeout=seconds)
        except KafkaException as error:
            raise StreamError(f"{self._where}: no broker answered within {seconds:.0f} s: {_text(error)}") from error

    def _behind(self, part: Any) -> int:
        """By the newer of two ends: Tansu 0.6 answers with that of the last batch but one, and a fetch knows the last."""
        where = TopicPartition(self._topic, part.partition)
        low, high = self._consumer.get_watermark_offsets(where, timeout=PATIENCE)
        fetched = self._consumer.get_watermark_offsets(where, cached=True)[1]
        return int(max(high, fetched) - max(low, part.offset))

    def _deliver(self, messages: Sequence[tuple[bytes | None, bytes]], topic: str, headers: dict[str, str]) -> None:
        faults: list[KafkaError] = []

        def told(fault: KafkaError | None, _: Any) -> None:
            if fault is not None:
                faults.append(fault)

        for key, body in messages:
            while True:
                try:
                    self._producer.produce(topic, body, key, headers=dict(headers), on_delivery=told)
                    break
                except BufferError:  # the queue is full: wait for answers
                    self._producer.poll(0.5)
                except KafkaException as error:
                    faults.append(error.args[0])
                    break
        left = self._producer.flush(PATIENCE)
        if left or faults:
            kind = TooLargeError if any(fault.code() in _TOO_LARGE for fault in faults) else StreamError
            raise kind(f"{self._where}: {left + len(faults)} messages were not taken: {faults[:1]}")


def _message(part: Any) -> Message:
    """As librdkafka gives it; a deletion in Kafka's sense has no body."""
    origin = {"topic": part.topic(), "partition": part.partition(), "offset": part.offset()}
    return Message(part.value() or b"", part, part.key(), origin)


def _text(error: KafkaException) -> str:
    return str(error.args[0].str())


_TOO_LARGE = (KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_MSG_SIZE, KafkaError.RECORD_LIST_TOO_LARGE)
_PASSING = (
    KafkaError._PARTITION_EOF,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._TRANSPORT,
)
"""Faults that the client recovers from, or that mean that nothing has been sent yet."""
