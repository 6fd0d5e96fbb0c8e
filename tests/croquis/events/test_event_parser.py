"""No bytes make the parser of events raise anything but its own error, and none that it takes fail further on."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from croquis.catalog.product import LARGEST_VERSION
from croquis.events.dead_letters import one_line, put_aside, reference
from croquis.events.event import FIELDS, EventError, event_body, parse_event
from croquis.events.stream import Message
from tests.support.events.memory_stream import MemoryStream
from tests.support.mutations import tried
from tests.support.tiny_retriever import photo

pytestmark = pytest.mark.scale
WILD = st.characters(exclude_categories=())  # halves of surrogate pairs too
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(WILD, max_size=5)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(WILD, max_size=3), inner, max_size=3),
    max_leaves=8,
)
PICTURES = st.fixed_dictionaries(
    {},
    optional={
        "data": ANYTHING | st.just(base64.b64encode(photo()).decode()),
        "path": ANYTHING | st.sampled_from(["../x", "/etc/passwd", "a\0b", ".", "~", "a" * 5000]),
        "bbox": ANYTHING | st.lists(st.integers(-(2**70), 2**70) | st.booleans(), min_size=3, max_size=5),
    },
)
NEARLY = st.fixed_dictionaries(
    {"kind": st.sampled_from([*FIELDS]) | ANYTHING},
    optional={
        "item_id": st.just("a") | ANYTHING,
        "version": st.integers(0, 2**60) | ANYTHING,
        "category": st.just("coat") | ANYTHING,
        "attributes": st.lists(st.text(max_size=3), max_size=3) | ANYTHING,
        "images": st.lists(PICTURES | ANYTHING, min_size=1, max_size=3) | ANYTHING,
        "product": st.dictionaries(st.text(max_size=3), SCALARS, max_size=3) | ANYTHING,
        "more": ANYTHING,
    },
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    made = tmp_path_factory.mktemp("pictures")
    (made / "a").write_bytes(photo())
    (made / "loop").symlink_to("loop")
    return made


def check(body: bytes, folder: Any) -> None:
    for where in (None, folder):
        try:
            event = parse_event(body, where)
        except EventError as error:
            one_line(str(error)).encode()
            continue
        assert 1 <= event.version <= LARGEST_VERSION
        assert type(event.version) is int
        assert parse_event(event_body(event)) == event  # so that texts are no halves of pairs, numbers no floats


@pytest.mark.slow
@tried(150)
@given(st.binary(max_size=200))
@example(b"[" * 5000)
@example(b'{"kind": []}')
@example(b'{"kind":"delete","item_id":"a","version":1e999}')
@example(b'{"kind":"delete","item_id":"a","version":-0}')
@example(b'{"kind":"delete","kind":"upsert"}')
@example(b'{"\xed\xa0\x80": 1}')
def test_any_bytes_are_an_event_or_refused(folder: Any, body: bytes) -> None:
    check(body, folder)


@pytest.mark.slow
@tried(150)
@given(NEARLY)
@example({"kind": "upsert", "item_id": "a", "version": 1, "category": "c", "images": [{"path": "\ud800"}]})
@example({"kind": "upsert", "item_id": "a", "version": 1, "category": "c", "images": [{"path": "loop"}]})
@example(
    {"kind": "upsert", "item_id": "a", "version": 1, "category": "c", "images": [{"data": "", "bbox": [10**400] * 4}]}
)
@example({"kind": "delete", "item_id": "\udfff", "version": 1, "\ud800": 1})
@example({"kind": {"a": 1}, "version": True})
def test_what_is_nearly_an_event_is_one_or_refused(folder: Any, values: dict[str, Any]) -> None:
    for ascii_only in (True, False):
        check(json.dumps(values, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass"), folder)


@tried(150)
@given(
    st.none() | st.binary(max_size=600),
    st.binary(max_size=600),
    st.text(WILD),
    st.dictionaries(st.text(max_size=5), st.none() | st.integers(), max_size=3),
    st.integers(3_000, 5_000),
)
@example(b"\xff" * 600, b"\\" * 600, "\r\n\0\ud800" * 300, {}, 3_000)
def test_any_message_can_be_put_aside(
    key: bytes | None, body: bytes, reason: str, origin: dict[str, Any], largest: int
) -> None:
    stream = MemoryStream([], largest)
    for times in (1, 100):
        put_aside(stream, Message(body * times, 0, key and key * times, origin), reason)
    assert stream.dead[0] == (key, body, one_line(reason))
    letter = stream.dead[1][1]
    assert letter == body * 100 or json.loads(letter)["size"] == len(body) * 100
    assert len(reference(Message(body * 100, 0, key, origin))) < 3_000


@pytest.mark.parametrize("many", [b"[]," * 50_000, b"1," * 50_000, b'{"a":[]},' * 20_000])
def test_an_event_of_too_many_values_is_not_parsed(many: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("croquis.events.event.json.loads", lambda *_, **__: pytest.fail("parsed"))
    with pytest.raises(EventError, match="more than 50000 values"):
        parse_event(b'{"kind":[' + many + b"1]}")
