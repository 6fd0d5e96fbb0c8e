"""Keys, rates, headers and what the log says."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest
from starlette.requests import Request

from croquis.serving.answers.problems import Problem
from croquis.serving.limits.access import AccessControl
from croquis.serving.limits.http_meter import Meter
from croquis.serving.server_settings import Access, Settings, SettingsError, access_from_environment
from tests.support.serving.live_server import Serve
from tests.support.tiny_retriever import photo

KEYS = {"shop": "the-key-of-the-shop", "app": "the-key-of-the-app!"}


def test_searching_needs_a_key_when_there_are_keys(serve: Serve) -> None:
    client = serve(Settings(access=Access(keys=KEYS)))
    asked = {"files": {"image": photo()}}
    for headers in ({}, {"x-api-key": ""}, {"x-api-key": "the-key-of-the-shop "[:-2]}, {"x-api-key": "é" * 19}):
        response = client.post("/search", headers={k: v.encode("latin-1") for k, v in headers.items()}, **asked)
        assert (response.status_code, response.json()["field"]) == (401, "X-API-Key")
    for path in ("/items/item-red-0", "/similar/item-red-0", "/catalogue/filters"):
        assert client.get(path).status_code == 401
        assert client.get(path, headers={"x-api-key": KEYS["app"]}).status_code == 200
    for path in ("/healthz", "/readyz", "/version", "/metrics", "/items/item-red-0/image"):
        assert client.get(path).status_code == 200
    assert client.post("/search", headers={"x-api-key": KEYS["shop"]}, **asked).status_code == 200


def gatekeeper(clock: list[float], **rules: float) -> AccessControl:
    return AccessControl(Access(keys=KEYS, **rules), Meter(), clock=lambda: clock[0])  # type: ignore[arg-type]


def take(keeper: AccessControl, key: str) -> float | None:
    """Seconds to wait, None when let through."""
    try:
        asyncio.run(keeper.client(Request({"type": "http", "state": {}}), key))
    except Problem as problem:
        return float((problem.headers or {})["Retry-After"])
    return None


def test_each_key_has_its_own_rate() -> None:
    clock = [100.0]
    keeper = gatekeeper(clock, rate=0.5, burst=2)
    assert [take(keeper, KEYS["shop"]) for _ in range(4)] == [None, None, 2.0, 2.0]
    assert take(keeper, KEYS["app"]) is None
    clock[0] += 1.0
    assert take(keeper, KEYS["shop"]) == 1.0
    clock[0] += 1.0
    assert [take(keeper, KEYS["shop"]) for _ in range(2)] == [None, 2.0]
    clock[0] += 1000.0
    assert [take(keeper, KEYS["shop"]) for _ in range(3)] == [None, None, 2.0]


def test_the_log_holds_neither_keys_nor_pictures(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    client = serve(Settings(access=Access(keys=KEYS, admin_token="the-token-of-the-admin")))
    with caplog.at_level(logging.DEBUG):
        client.post("/search?secret=query", headers={"x-api-key": KEYS["shop"]}, files={"image": photo()})
        client.post("/search", headers={"x-api-key": "wrong-key-that-somebody-sent"}, files={"image": photo()})
        client.post("/admin/reload", headers={"authorization": "Bearer the-token-of-the-admin"})
    lines = [record for record in caplog.records if record.name.startswith("croquis.serving")]
    text = " ".join(record.getMessage() for record in lines)
    for secret in (*KEYS.values(), "wrong-key", "the-token", "secret", "PNG"):
        assert secret not in text
    first = json.loads(lines[0].getMessage())
    assert (first["path"], first["status"], first["client"]) == ("/search", 200, "shop")


def test_answers_carry_an_id_that_may_be_given(serve: Serve) -> None:
    client = serve()
    assert client.get("/healthz", headers={"x-request-id": "abc-1"}).headers["x-request-id"] == "abc-1"
    made = client.get("/healthz", headers={"x-request-id": "a b\t<script>"}).headers["x-request-id"]
    assert len(made) == 32


def test_other_origins_are_let_in_only_by_name(serve: Serve) -> None:
    asked = {"origin": "https://shop.example", "access-control-request-method": "POST"}
    closed = serve()
    assert "access-control-allow-origin" not in closed.options("/search", headers=asked).headers
    assert "access-control-allow-origin" not in closed.get("/healthz", headers=asked).headers
    opened = serve(Settings(access=Access(origins=("https://shop.example",))))
    assert opened.options("/search", headers=asked).headers["access-control-allow-origin"] == asked["origin"]
    stranger = {**asked, "origin": "https://evil.example"}
    assert "access-control-allow-origin" not in opened.get("/healthz", headers=stranger).headers


def test_secrets_come_from_the_environment() -> None:
    variables = {"CROQUIS_API_KEYS": "a=0123456789abcdef, b=fedcba9876543210", "CROQUIS_ADMIN_TOKEN": "t" * 16}
    access = access_from_environment(variables, 1.0, 5, [])
    assert access.keys == {"a": "0123456789abcdef", "b": "fedcba9876543210"}
    assert access.admin_token == "t" * 16
    assert "0123456789abcdef" not in repr(access)
    assert "t" * 16 not in repr(access)
    assert access_from_environment({}, 0, 5, []).admin_token is None


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"CROQUIS_API_KEYS": "0123456789abcdef"}, "name=key pairs"),
        ({"CROQUIS_API_KEYS": "a=0123456789abcdef,a=fedcba9876543210"}, "each name once"),
        ({"CROQUIS_API_KEYS": "a=short"}, "shorter than 16"),
        ({"CROQUIS_ADMIN_TOKEN": ""}, "shorter than 16"),
    ],
)
def test_weak_or_malformed_secrets_are_refused(variables: dict[str, str], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        access_from_environment(variables, 0, 5, [])


def test_settings_out_of_range_are_named() -> None:
    with pytest.raises(SettingsError, match="threads = 0, must be at least 1"):
        Settings(threads=0)
    with pytest.raises(SettingsError, match="rate = -1, must be at least 0"):
        Settings(access=Access(rate=-1))
