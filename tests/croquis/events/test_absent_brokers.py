"""A broker that is absent, silent or lost is told in time, without the password of its address; a signal ends the wait."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from croquis.endings import FORCED
from croquis.events import event_command
from croquis.events.dead_letters import put_aside
from croquis.events.event_command import ConsumeOptions, consume
from croquis.events.kafka_stream import KafkaStream
from croquis.events.nats_stream import NatsStream
from croquis.events.stream import Message, Stream, StreamError, TooLargeError, check_stream, open_stream
from croquis.store.vector_store import StoreError
from croquis.store.versions import open_stores
from tests.support.engine_servers import broker_server, running
from tests.support.environment import REPOSITORY
from tests.support.tiny_retriever import write_tiny_bundle

pytestmark = pytest.mark.scale
PATIENCE = 240  # seconds


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("nats")
    pytest.importorskip("confluent_kafka")
    monkeypatch.setattr("croquis.events.nats_stream.CONNECTING", 0.6)
    monkeypatch.setattr("croquis.events.kafka_stream.ANSWERING", 0.6)


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a port that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"127.0.0.1:{listening.getsockname()[1]}"


@pytest.mark.parametrize("scheme", ["nats", "kafka"])
def test_an_absent_broker_is_told(scheme: str) -> None:
    with pytest.raises(StreamError, match=f"^{scheme}://127.0.0.1:9/products: .*(Failed|Errno 111)"):
        open_stream(f"{scheme}://127.0.0.1:9/products")


@pytest.mark.parametrize("scheme", ["nats", "kafka"])
def test_a_silent_broker_is_told(scheme: str, silent: str) -> None:
    with pytest.raises(StreamError, match=rf"^{scheme}://{silent}/products: .*(no answer|no broker answered) within"):
        open_stream(f"{scheme}://{silent}/products")


@pytest.mark.parametrize(
    "uri",
    [
        "nats://shop:hunter2@127.0.0.1:9/products",
        "nats://hunter2@127.0.0.1:9/products",
        "nats://shop:hunter2@no-such-host.invalid/products",
        "nats://shop:hunter2@127.0.0.1:port/products",
        "nats://shop:hunter2@[::1/products",
        "nats://shop:hunter2@127.0.0.1:9",
        "kafka://shop:hunter2@127.0.0.1:9/products",
        "redis://shop:hunter2@127.0.0.1/products",
    ],
)
def test_no_message_shows_a_password(uri: str) -> None:
    with pytest.raises(StreamError) as refused:
        open_stream(uri)
    assert "hunter2" not in str(refused.value)
    assert "shop" not in str(refused.value)


@pytest.mark.parametrize(
    "uri",
    [
        "ftp://root:hunter2@127.0.0.1/a",
        "milvus:ftp://root:hunter2@127.0.0.1/a",
        "milvus:http://root:hunter2@127.0.0.1:1",
    ],
)
def test_no_message_of_a_store_shows_a_password(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("croquis.store.milvus_link.TIMEOUT", 0.5)
    with pytest.raises(StoreError, match=r"127\.0\.0\.1") as refused:
        open_stores(uri)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_wait_for_a_broker(
    number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def waits(*_: Any) -> Stream:
        signal.raise_signal(number)
        raise AssertionError("the wait went on")

    forced: list[tuple[float, int]] = []  # else this process would be ended seconds later
    monkeypatch.setattr(event_command, "end_within", lambda *told: forced.append(told))
    monkeypatch.setattr(event_command, "open_stream", waits)
    bundle = write_tiny_bundle(tmp_path / "bundle")
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(SystemExit) as ended:
            consume(ConsumeOptions("nats://127.0.0.1:9/products", f"faiss:{tmp_path / 'store'}", bundle, create=True))
    finally:
        signal.signal(signal.SIGTERM, before[0])
        signal.signal(signal.SIGINT, before[1])
    assert ended.value.code == 128 + number
    assert forced == [(event_command.CLOSING, 128 + number)]
    assert capsys.readouterr().err == ""


HANGS = """
import sys, threading
from pathlib import Path
from croquis.endings import FORCED
from croquis.events import event_command
from croquis.events.event import event_body
from croquis.store.faiss_store import FaissStore
from tests.support.events.memory_stream import MemoryStream
from tests.support.store.product_events import upsert

def hang(*_):
    print("hangs", flush=True)
    threading.Event().wait()

stream = MemoryStream([(b"a", event_body(upsert("a", 1, "red-00")))])
event_command.open_stream = lambda *_: stream
setattr(FaissStore, sys.argv[1], hang)
bundle, store, params = sys.argv[2:]
event_command.consume(event_command.ConsumeOptions(
    "nats://127.0.0.1:9/products", store, Path(bundle), params=Path(params), create=True, grace=0.3, metrics_port=0
))
"""


@pytest.mark.slow
@pytest.mark.parametrize("call", ["images_of", "change"])
def test_sigterm_ends_a_consumer_whose_store_hangs(call: str, tmp_path: Path) -> None:
    bundle = write_tiny_bundle(tmp_path / "bundle")
    words = [call, str(bundle), f"faiss:{tmp_path / 'store'}", str(REPOSITORY / "params.yaml")]
    command = [sys.executable, "-c", HANGS, *words]
    with subprocess.Popen(
        command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        said = [process.stdout.readline(), process.stdout.readline()]
        assert said[1] == "hangs\n", said
        process.terminate()
        _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == FORCED
    assert "ended by force: not done 0 s after the signal: MainThread" in errors


def test_a_stream_is_checked_without_a_connection() -> None:
    assert check_stream("kafka://a:1,b:2/some-topic") == ("kafka", "a:1,b:2", "some-topic")


def for_ever(ask: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        ask()


@pytest.mark.slow
def test_a_lost_server_is_told_and_found_again(tmp_path: Path) -> None:
    with running(broker_server("nats", tmp_path)) as server:
        stream = open_stream(server.uri)
        stream.send([("a", b"1")])
        assert [message.body for message in stream.fetch(5, 2.0)] == [b"1"]
        server.kill()
        with pytest.raises(StreamError, match=f"^{server.uri}: "):
            for_ever(lambda: stream.fetch(5, 0.2))
        server.start()
        deadline, found = time.monotonic() + PATIENCE, []
        while not found and time.monotonic() < deadline:
            try:
                stream.send([("b", b"2")])
                found = stream.fetch(5, 2.0)
            except StreamError:
                time.sleep(0.1)
        assert b"2" in [message.body for message in found]
        stream.close()


@pytest.mark.slow
def test_a_frozen_kafka_broker_is_told_and_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its connections stand, and nothing comes from them."""
    monkeypatch.setattr("croquis.events.kafka_stream.SILENCE", 1.0)
    monkeypatch.setattr("croquis.events.kafka_stream.ANSWERING", 30.0)
    with running(broker_server("tansu", tmp_path)) as server:
        stream = open_stream(server.uri)
        stream.send([("a", b"1")])
        found: list[Message] = []
        while not found:
            found = stream.fetch(5, 2.0)
        with server.frozen():
            with pytest.raises(StreamError, match=f"^{server.uri}: no broker answered within 1 s"):
                for_ever(lambda: stream.fetch(5, 0.2))
            stream.close()


@pytest.mark.slow
def test_a_letter_that_nats_does_not_take_is_a_reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As large as the server takes without the reason; and larger than the limit of a stream that somebody made before."""
    monkeypatch.setattr("croquis.events.local_brokers.MESSAGE_BYTES", 50_000)
    with running(broker_server("nats", tmp_path)) as server:
        stream = open_stream(server.uri)
        assert isinstance(stream, NatsStream)
        stream.send([("a", b"[" * 50_000), ("b", b"[" * 20_000)])
        found: list[Message] = []
        while len(found) < 2:
            found += stream.fetch(2, 2.0)
        put_aside(stream, found[0], "not JSON")
        limited = stream._stream.stream_info(f"{stream._name}-dead")
        config = stream._run(limited).config
        config.max_msg_size = 10_000
        stream._run(stream._stream.update_stream(config))
        with pytest.raises(TooLargeError):
            stream.reject(found[1], "not JSON")
        put_aside(stream, found[1], "not JSON")
        stream.close()
        again = open_stream(server.uri)  # the stream of dead letters has limits of its own by now
        again.close()
        dead = open_stream(f"{server.uri}-dead")
        letters: list[dict[str, Any]] = []
        while len(letters) < 2:
            letters += [json.loads(message.body) for message in dead.fetch(2, 2.0)]
        told = [(letter["size"], letter["stream"], letter["sequence"], letter["head"]) for letter in letters]
        assert told == [(50_000, "products", 1, "[" * 100), (20_000, "products", 2, "[" * 100)]
        dead.close()


@pytest.mark.slow
def test_a_letter_that_kafka_does_not_take_is_a_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client's limit is below what the broker brought, and the key is as large as the body."""
    from confluent_kafka import Consumer, Producer, TopicPartition

    monkeypatch.setattr("croquis.events.kafka_stream.ANSWERING", 30.0)
    cluster = Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "none", "log_level": 2})
    broker = next(iter(cluster.list_topics(timeout=30).brokers.values()))
    sender = Producer({"bootstrap.servers": f"{broker.host}:{broker.port}", "log_level": 2})
    sender.produce("products", b"[" * 40_000, b"k" * 40_000, partition=0)
    sender.produce("products", b"{", partition=0)
    sender.flush(PATIENCE)
    monkeypatch.setattr("croquis.events.kafka_stream.MESSAGE_BYTES", 5_000)
    stream = open_stream(f"kafka://{broker.host}:{broker.port}/products")
    assert isinstance(stream, KafkaStream)
    found: list[Message] = []
    while len(found) < 2:
        found += stream.fetch(2, 1.0)
    assert [message.key for message in found] == [b"k" * 40_000, None]
    with pytest.raises(TooLargeError):
        stream.reject(found[0], "not JSON")
    for message in found:
        put_aside(stream, message, "not JSON")
    stream.commit(found)
    stream.close()
    dead = Consumer({"bootstrap.servers": f"{broker.host}:{broker.port}", "group.id": "look", "log_level": 2})
    dead.assign([TopicPartition("products-dead", partition, 0) for partition in range(4)])
    letters: list[Any] = []
    while len(letters) < 2:
        letters += [letter for letter in dead.consume(2, 1.0) if not letter.error()]
    dead.close()
    told = json.loads(next(letter.value() for letter in letters if letter.value() != b"{"))
    assert (told["size"], told["topic"], told["partition"], told["offset"]) == (40_000, "products", 0, 0)
    assert told["key"] == "k" * 100
    assert {letter.key() for letter in letters} == {None}
