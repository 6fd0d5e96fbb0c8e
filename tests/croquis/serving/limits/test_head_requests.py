"""HEAD answers as GET does, without a body, on every route; over a socket too."""

from __future__ import annotations

import http.client

import pytest
from starlette.testclient import TestClient

from tests.support.serving.live_server import listening, samples


@pytest.mark.slow
def test_every_path_that_answers_get_answers_head(client: TestClient) -> None:
    documented = client.get("/openapi.json").json()["paths"]
    paths = {path for path, methods in documented.items() if "get" in methods}
    assert {"/healthz", "/readyz", "/version", "/items/{item_id}"} <= paths
    for path in sorted(paths | {"/", "/docs", "/openapi.json", "/page/style.css", "/not-there"}):
        asked = path.replace("{item_id}", "item-000")
        got, head = client.get(asked), client.head(asked)
        assert head.status_code == got.status_code, asked
        assert head.content == b""
        assert head.headers["content-type"] == got.headers["content-type"]


def test_over_a_socket_the_next_answer_is_not_torn_and_the_route_is_counted(client: TestClient) -> None:
    counter = 'croquis_requests_total{method="HEAD",route="/version",status="200"}'
    before = samples(client).get(counter, 0)
    with listening(client.app) as address:
        connection = http.client.HTTPConnection(address.removeprefix("http://"))
        for _ in range(3):
            connection.request("HEAD", "/version")
            head = connection.getresponse()
            assert (head.status, head.read()) == (200, b"")
            connection.request("GET", "/version")
            got = connection.getresponse()
            assert len(got.read()) == int(head.headers["content-length"])
    assert samples(client)[counter] == before + 3


def test_a_path_that_takes_no_get_takes_no_head(client: TestClient) -> None:
    assert client.head("/search").status_code == 405
