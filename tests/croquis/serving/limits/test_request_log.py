"""What comes from outside makes no label, no long line, no second line, no link, and no answer that a cache may keep."""

from __future__ import annotations

import http.client
import json
import logging
from urllib.parse import urlsplit

import pytest
from starlette.testclient import TestClient

from croquis.serving.limits.request_log import LONGEST_METHOD, LONGEST_PATH
from croquis.serving.server_settings import Access, Settings
from tests.support.serving.live_server import ADMIN, TOKEN, Serve, listening, samples
from tests.support.serving.raw_connections import asked, status_of

KEY = {"x-api-key": "the-key-of-the-shop"}
MADE_UP = (
    [(f"{n}{'A' * 8000}", "/") for n in range(20)]
    + [("GET", f"/made/up/{n}") for n in range(20)]
    + [("get", f"/items/made-up-{n}") for n in range(20)]
    + [("BREW", f"/similar/made-up-{n}?model=made-up-{n}") for n in range(20)]
)


def test_what_clients_make_up_adds_no_label(serve: Serve) -> None:
    client = serve()
    for method in ("BREW", "GET"):
        for path in ("/", "/other", "/items/a", "/similar/a?model=a"):
            client.request(method, path)
    before = set(samples(client)) | set(samples(client))  # asking counts too
    for method, path in MADE_UP:
        client.request(method, path)
    assert set(samples(client)) == before
    labels = {name for name in before if name.startswith("croquis_requests_total")}
    assert any('method="other"' in name for name in labels)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("A" * 9000, "/" + "b" * 6000),
        ("GET", "/items/a%0A%7B%22status%22%3A200%7D%0D%1B%5B2J%00"),
        ("GET", "/%E2%80%AE%F0%9F%91%97%ED%A0%80%FF"),
    ],
)
def test_a_line_of_the_log_is_one_line_of_ascii(
    serve: Serve, caplog: pytest.LogCaptureFixture, method: str, path: str
) -> None:
    client = serve()
    with caplog.at_level(logging.INFO, "croquis.serving.access"), listening(client.app) as address:
        assert status_of(asked(address, f"{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())) in (404, 405)
    (line,) = (record.getMessage() for record in caplog.records if record.name == "croquis.serving.access")
    assert line.isascii()
    assert line.isprintable()
    entry = json.loads(line)
    assert len(entry["method"]) <= LONGEST_METHOD
    assert len(entry["path"]) <= LONGEST_PATH


def test_answers_behind_a_key_are_kept_by_no_cache(serve: Serve) -> None:
    client = serve(Settings(access=Access(keys={"shop": KEY["x-api-key"]}, admin_token=TOKEN)))
    behind = ("/catalogue/filters", "/items/item-red-0", "/items/made-up", "/similar/item-red-0")
    answers = [client.get(path, headers=headers) for path in behind for headers in ({}, KEY)]
    answers += [client.head(behind[0], headers=KEY), client.post("/search", headers=KEY), client.post("/search")]
    answers += [client.post("/admin/reload", headers=ADMIN), client.delete("/items/a"), client.put("/items/a")]
    assert {answer.status_code for answer in answers} >= {200, 401, 404, 415}
    assert {answer.headers.get("cache-control") for answer in answers} == {"private, no-store"}
    for path in ("/healthz", "/version", "/", "/items/item-red-0/image"):
        assert "no-store" not in client.get(path).headers.get("cache-control", "")


@pytest.mark.parametrize(
    ("method", "path", "broken"),
    [
        ("GET", "/similar/item-red-0", "croquis.search.local_retriever.LocalRetriever.similar"),
        ("GET", "/catalogue/filters", "croquis.serving.models.loaded_model.LoadedModel.filter_values"),
        ("HEAD", "/catalogue/filters", "croquis.serving.models.loaded_model.LoadedModel.filter_values"),
    ],
)
def test_a_fault_is_counted_as_one_and_logged_once(
    serve: Serve,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    path: str,
    broken: str,
) -> None:
    client = serve(Settings(access=Access(keys={"shop": KEY["x-api-key"]})))
    monkeypatch.setattr(broken, lambda *_, **__: 1 / 0)
    with caplog.at_level(logging.INFO), listening(client.app) as address:
        answer = asked(
            address, f"{method} {path} HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY['x-api-key']}\r\n\r\n".encode()
        )
    assert status_of(answer) == 500
    head = answer.partition(b"\r\n\r\n")[0].lower()
    for name in (
        b"cache-control: private, no-store",
        b"x-request-id: ",
        b"content-security-policy: default-src 'none'",
    ):
        assert name in head
    (line,) = (record.getMessage() for record in caplog.records if record.name == "croquis.serving.access")
    assert json.loads(line)["status"] == 500
    assert len([record for record in caplog.records if record.exc_info]) == 1
    counted = [name for name in samples(client) if name.startswith("croquis_requests_total") and path[:5] in name]
    assert counted
    assert all('status="500"' in name for name in counted)


PATHS = (
    *("/", "/docs", "/docs/", "/healthz/", "/items/", "/search/", "/admin/reload/", "//made-up.example/"),
    *("/openapi.json", "/page", "/items/item-red-0", "/similar/item-red-0", "/not-there"),
)


@pytest.mark.parametrize(
    "host", ["made-up.example", "made-up.example:80@b", "[made-up.example", "made-up.example/..?#"]
)
def test_no_answer_repeats_the_host_that_a_client_names(client: TestClient, host: str) -> None:
    with listening(client.app) as address:
        connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=20)
        for path in PATHS:
            connection.putrequest("GET", path, skip_host=True)
            connection.putheader("Host", host)
            connection.putheader("X-Forwarded-Host", host)
            connection.endheaders()
            answer = connection.getresponse()
            text = str(answer.headers) + answer.read().decode("latin-1")
            assert answer.status in (200, 404, 405), path
            if not path.startswith("//"):  # a path of its own, which it may repeat
                assert "made-up" not in text, path
        connection.close()
