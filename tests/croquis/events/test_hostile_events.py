"""One bad event costs itself alone: it becomes a dead letter with its reason, and the others of its batch are applied."""

from __future__ import annotations

import base64
import gc
import hashlib
import io
import json
import os
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from croquis.catalog.decode_workers import DecodeWorkers
from croquis.catalog.images import DecodeLimits, encode_png
from croquis.events.consumer import EventConsumer
from croquis.events.dead_letters import one_line
from croquis.events.event import event_body
from croquis.events.event_command import store_of
from croquis.events.event_meter import IngestMeter
from croquis.events.handler import BatchOutcome, Handler
from croquis.params import load_params
from croquis.search.local_retriever import LocalRetriever
from croquis.store.products import apply
from croquis.store.vector_store import UnfitImageError, VectorStore
from croquis.store.versions import open_stores
from tests.support.events.memory_stream import MemoryStream
from tests.support.store.product_events import upsert
from tests.support.tiny_retriever import photo, write_tiny_bundle

pytestmark = pytest.mark.scale
RULES = load_params().validate_
PICTURE = base64.b64encode(photo("red-00")).decode()


def changed(**changes: Any) -> bytes:
    sound = {"kind": "upsert", "item_id": "bad", "version": 1, "category": "dress", "images": [{"data": PICTURE}]}
    return json.dumps(sound | changes).encode()


def boxed(*numbers: Any) -> bytes:
    return changed(images=[{"data": PICTURE, "bbox": list(numbers)}])


def at(path: Any) -> bytes:
    return changed(images=[{"path": path}])


def raw(text: str) -> bytes:
    """The sound event with the number 1 of its version replaced by a text that no Python writes."""
    return changed().replace(b'"version": 1', f'"version": {text}'.encode())


HOSTILE = {
    "nothing": b"",
    "kind is a list": b'{"kind": []}',
    "kind is an object": b'{"kind": {"upsert": 1}}',
    "a number alone": b"7",
    "5,000 lists": b"[" * 5000,
    "100,000 objects": b'{"a":' * 100_000,
    "200,000 lists": changed().replace(b'"dress"', b"[" + b"[]," * 200_000 + b"1]"),
    "300,000 numbers": changed().replace(b'"dress"', b"[" + b"1," * 300_000 + b"1]"),
    "60,000 names": changed(product={str(number): number for number in range(60_000)}),
    "900 lists in a field": changed(attributes=json.loads("[" * 900 + "]" * 900)),
    "no UTF-8": b"\xff\xfe{",
    "UTF-16": changed().decode().encode("utf-16"),
    "half a surrogate pair as bytes": changed().replace(b"dress", b"\xed\xa0\x80"),
    "half a surrogate pair in the id": changed(item_id="\ud800"),
    "half a surrogate pair as a name": changed(**{"\udfff": 1}),
    "NUL in the id": changed(item_id="a\0b"),
    "a name twice": changed().replace(b'{"kind"', b'{"version": 9, "kind"'),
    "version is true": raw("true"),
    "version is 1.0": raw("1.0"),
    "version is NaN": raw("NaN"),
    "version is infinite": raw("1e400"),
    "version past the limit": raw(str(2**53)),
    "version of 400 digits": raw("9" * 400),
    "version of 5,000 digits": raw("9" * 5000),
    "version below zero": raw("-1"),
    "box over 32 bits": boxed(0, 0, 2**31, 20),
    "box over 64 bits": boxed(0, 0, 2**63, 20),
    "box of 400 digits": boxed(0, 0, 10**400, 20),
    "box below 32 bits": boxed(-(2**40), 0, 10, 20),
    "box outside": boxed(-1, 0, 10, 20),
    "box of flags": boxed(False, False, True, True),
    "box is infinite": boxed(0, 0, float("inf"), 20),
    "box of texts": boxed("0", "0", "9", "9"),
    "box is a text": changed(images=[{"data": PICTURE, "bbox": "0000"}]),
    "attributes of lists": changed(attributes=[["a"]]),
    "attributes are an object": changed(attributes={"a": 1}),
    "images are an object": changed(images={"0": {"data": PICTURE}}),
    "an image is null": changed(images=[None]),
    "data is a number": changed(images=[{"data": 7}]),
    "data is no picture": changed(images=[{"data": base64.b64encode(b"GIF89a" + bytes(50)).decode()}]),
    "NUL in a path": at("a\0.jpg"),
    "half a surrogate pair in a path": at("\ud800.jpg"),
    "loop of links": at("loop"),
    "loop of links below": at("loop/a.jpg"),
    "loop of two": at("ping"),
    "path is a folder": at("folder"),
    "path is a FIFO": at("fifo"),
    "path is a device": at("zero"),
    "path is the folder itself": at("."),
    "path is empty": at(""),
    "path is too long": at("a" * 5000),
    "path of 3,000 folders": at("a/" * 3000),
    "path is a list": at(["a"]),
    "path is through a file": at("empty/a"),
    "file is empty": at("empty"),
    "file is larger than any picture": at("large"),
}


@pytest.fixture(scope="module")
def retriever(tmp_path_factory: pytest.TempPathFactory) -> LocalRetriever:
    return LocalRetriever.load(write_tiny_bundle(tmp_path_factory.mktemp("hostile") / "bundle"))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of pictures with all that is no picture."""
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "folder").mkdir()
    for name, target in {"loop": "loop", "ping": "pong", "pong": "ping", "zero": "/dev/zero"}.items():
        (folder / name).symlink_to(target)
    os.mkfifo(folder / "fifo")
    (folder / "empty").touch()
    with (folder / "large").open("wb") as large:
        large.truncate(20_000_001)
    return folder


@pytest.fixture
def store(retriever: LocalRetriever, tmp_path: Path) -> Iterator[VectorStore]:
    stores = open_stores(f"faiss:{tmp_path / 'store'}")
    yield store_of(stores, retriever, None, True, "flat")
    stores.close()


@pytest.fixture
def handler(retriever: LocalRetriever, store: VectorStore, pictures: Path) -> Handler:
    return Handler(retriever, store, RULES, pictures)


def consumed(stream: MemoryStream, handler: Handler, batch: int = 64) -> IngestMeter:
    meter = IngestMeter()
    EventConsumer(stream, handler, meter, batch).run(threading.Event(), idle=0.0)
    return meter


@pytest.mark.parametrize("name", HOSTILE)
def test_a_bad_event_is_put_aside_alone(name: str, handler: Handler, store: VectorStore) -> None:
    good = [event_body(upsert(item_id, 1, "red-00")) for item_id in ("first", "last")]
    stream = MemoryStream([(b"first", good[0]), (None, HOSTILE[name]), (b"last", good[1])])
    consumed(stream, handler)
    assert [(key, body) for key, body, _ in stream.dead] == [(None, HOSTILE[name])]
    reason = stream.dead[0][2]
    assert 5 < len(reason) <= 1000
    assert reason.isprintable()
    reason.encode()
    assert stream.committed == [0, 1, 2]
    assert {image.item_id for images, _ in store.scan() for image in images} == {"first", "last"}


def test_a_byte_order_mark_is_read_over(handler: Handler) -> None:
    assert handler.handle([b"\xef\xbb\xbf" + changed()]).rejected == {}


def test_what_nobody_foresaw_is_a_reason_of_its_event_too(
    handler: Handler, store: VectorStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """In the check and in the nets, where pictures of several events go together."""
    calls = {"croquis.events.handler.image_reasons": "check", "croquis.events.handler.decode_inside": "encode"}
    for target, step in calls.items():
        module, name = target.rsplit(".", 1)
        before = getattr(__import__(module, fromlist=[name]), name)
        bad = photo("blue-05")

        def fails(first: Any, *more: Any, before: Any = before, bad: bytes = bad, **named: Any) -> Any:
            held = [first] if isinstance(first, bytes) else [row["image"] for row in first]
            if bad in held:
                raise ZeroDivisionError("nobody foresaw it")
            return before(first, *more, **named)

        with monkeypatch.context() as patch:
            patch.setattr(target, fails)
            bodies = [
                event_body(upsert(f"{step}-{n}", 2, name)) for n, name in enumerate(("red-01", "blue-05", "red-02"))
            ]
            older = event_body(upsert(f"{step}-1", 1, "green-03"))
            done = handler.handle([older, *bodies])
        assert done.rejected == {2: "ZeroDivisionError: nobody foresaw it"}
        assert dict(done.counts) == {"applied": 3, "stale": 0, "rejected": 1}
        assert [image.version for image in store.images_of([f"{step}-1"])] == [1]  # the older one is the newest now
        assert "nobody foresaw it" in caplog.text


def test_a_picture_that_a_switched_off_rule_lets_pass_is_a_reason_too(
    retriever: LocalRetriever, store: VectorStore
) -> None:
    lax = RULES.model_copy(update={"disabled": ["decodable", "box_inside", "whole_file", "short_side"]})
    outside, none = boxed(500, 500, 600, 600), changed(images=[{"data": base64.b64encode(b"no picture").decode()}])
    done = Handler(retriever, store, lax).handle([event_body(upsert("a", 1, "red-00")), outside, none])
    assert sorted(done.rejected) == [1, 2]
    assert done.rejected[1].startswith("bbox [500, 500, 600, 600] holds no pixel")
    assert store.count() == 1


def test_what_the_engine_can_never_keep_is_put_aside(
    handler: Handler, store: VectorStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(kept: VectorStore, states: Any, known: Any) -> int:
        if any(state.item_id == "b" for state in states):
            raise UnfitImageError("too large for this engine", "b")
        return apply(kept, states, known)

    monkeypatch.setattr("croquis.events.handler.apply", refuses)
    done = handler.handle([event_body(upsert(item_id, 1, "red-00")) for item_id in "abc"])
    assert (done.rejected, done.counts["applied"], store.count()) == ({1: "too large for this engine"}, 2, 2)


@pytest.mark.parametrize("size", [3_000, 100_000, 3_000_000])
@pytest.mark.parametrize("sign", [b"[", b"\xff", b"\\", b'"', b"\0"])
def test_a_bad_event_of_any_size_is_put_aside_by_reference(handler: Handler, size: int, sign: bytes) -> None:
    body = sign * size
    stream = MemoryStream([(b"k" * size, body), (b"k", body)], largest=5_000)
    consumed(stream, handler)
    assert stream.committed == [0, 1]
    for offset, (key, letter, reason) in enumerate(stream.dead):
        assert reason.startswith("not JSON") or "must be an object" in reason
        if letter == body:
            continue
        told = json.loads(letter)
        assert (told["sha256"], told["size"]) == (hashlib.sha256(body).hexdigest(), size)
        assert (told["topic"], told["partition"], told["offset"]) == ("products", 0, offset)
        assert told["head"].startswith(sign.decode("utf-8", "backslashreplace"))
        assert key == (None, b"k")[offset]
    assert json.loads(stream.dead[0][1])["key"] == "k" * 100


def test_an_outage_of_the_dead_letter_topic_is_no_reason_to_shorten_a_letter(handler: Handler) -> None:
    stream = MemoryStream([(None, b"{")], outages=2)
    meter = consumed(stream, handler)
    assert [body for _, body, _ in stream.dead] == [b"{"]
    assert meter.registry.get_sample_value("croquis_ingest_failures_total", {"of": "stream"}) == 2
    assert meter.registry.get_sample_value("croquis_ingest_connected") == 1


@pytest.mark.parametrize("reason", ["a\nb\r\n\0c", "\ud800" * 3, "x" * 10**6, "\u202e\x1b[31m", "é" * 5000])
def test_a_reason_fits_a_header(reason: str) -> None:
    line = one_line(reason)
    assert line.isprintable()
    assert len(line.encode()) <= 1000
    assert "\n" not in line


def test_a_batch_is_done_in_parts_that_hold_so_many_bytes(
    retriever: LocalRetriever, store: VectorStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    size, held = len(photo("red-00")), []
    before = Handler._faults

    def noted(self: Handler, events: Any) -> Any:
        held.append(sum(each.bytes for each in events))
        return before(self, events)

    monkeypatch.setattr(Handler, "_faults", noted)
    handler = Handler(retriever, store, RULES, held_bytes=2 * size + size // 2)
    bodies = [event_body(upsert(f"item-{number}", 1, "red-00")) for number in range(8)]
    done = handler.handle(
        [*bodies, event_body(upsert("item-0", 3, "red-01")), event_body(upsert("item-0", 2, "red-02"))]
    )
    assert max(held) <= 3 * size + size // 2
    assert len(held) >= 3
    assert (done.counts["rejected"], done.images) == (0, 9)
    assert [image.version for image in store.images_of(["item-0"])] == [3]


def test_a_photo_is_let_go_before_the_next_one_is_decoded(handler: Handler, monkeypatch: pytest.MonkeyPatch) -> None:
    alive: list[Any] = []

    class Watched(np.ndarray[Any, Any]):
        """An array that weak references can tell of."""

    def decoded(*_: object, **__: object) -> Any:
        assert [found for found in alive if found() is not None] == []
        made = np.full((40, 40, 3), len(alive), dtype=np.uint8).view(Watched)
        alive.append(weakref.ref(made))
        return made

    monkeypatch.setattr("croquis.events.handler.decode_inside", decoded)
    gc.disable()
    try:
        done: BatchOutcome = handler.handle([event_body(upsert(f"i{n}", 1, "red-00", "red-01")) for n in range(20)])
    finally:
        gc.enable()
    assert (done.rejected, done.images, len(alive)) == ({}, 40, 40)


def test_a_picture_over_the_limit_is_refused_by_its_header(retriever: LocalRetriever, store: VectorStore) -> None:
    wide = base64.b64encode(encode_png(np.zeros((64, 2000, 3), dtype=np.uint8))).decode()
    small = RULES.model_copy(update={"max_megapixels": 0.1})
    done = Handler(retriever, store, small).handle([changed(images=[{"data": wide}]), changed(item_id="good")])
    assert list(done.rejected) == [0]
    assert "no_decompression_bomb: the image is 2000 x 64 pixels, the limit is 100000" in done.rejected[0]


def large(side: int = 3000) -> str:
    stream = io.BytesIO()
    Image.linear_gradient("L").resize((side, side)).save(stream, "JPEG")
    return base64.b64encode(stream.getvalue()).decode()


def test_a_picture_that_takes_too_long_costs_its_event_alone(retriever: LocalRetriever, store: VectorStore) -> None:
    """Decoded in a process that is killed, so that the consumer goes on."""
    handler = Handler(retriever, store, RULES, decode_seconds=0.02)
    done = handler.handle([changed(images=[{"data": large()}]), changed(item_id="good")])
    handler.close()
    assert list(done.rejected) == [0]
    assert "takes more than 0.02 s to decode" in done.rejected[0]
    assert [image.item_id for image in store.images_of(["bad", "good"])] == ["good"]


def test_a_picture_that_ends_its_process_costs_its_event_alone(
    retriever: LocalRetriever, store: VectorStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("croquis.catalog.decode_workers.WORKER_MEMORY", 10_000_000)
    monkeypatch.setattr("croquis.catalog.decode_workers.MEMORY_PER_PIXEL", 0)
    handler = Handler(retriever, store, RULES)
    done = handler.handle([changed(images=[{"data": large()}]), changed(item_id="good")])
    handler.close()
    assert list(done.rejected) == [0]
    assert [image.item_id for image in store.images_of(["bad", "good"])] == ["good"]


@pytest.mark.slow
def test_only_large_pictures_are_tried_by_a_process(
    retriever: LocalRetriever, store: VectorStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[int] = []
    before = DecodeWorkers.decoded

    def noted(self: DecodeWorkers, data: bytes, limits: DecodeLimits) -> Any:
        tried.append(len(data))
        return before(self, data, limits)

    monkeypatch.setattr(DecodeWorkers, "decoded", noted)
    handler = Handler(retriever, store, RULES)
    done = handler.handle([changed(item_id="small"), changed(item_id="large", images=[{"data": large()}])])
    handler.close()
    assert (len(tried), done.counts["applied"]) == (1, 2)
