"""The page's folder on the web: what is there is served with a strict policy, and nothing else is."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from croquis.serving.server_settings import Settings
from tests.support.serving.live_server import Serve

INDEX = (
    '<!doctype html><title>t</title><link rel="stylesheet" href="/page/style.css"><script src="/page/a.js"></script>'
)


@pytest.fixture
def page(serve: Serve, tmp_path: Path) -> TestClient:
    folder = tmp_path / "page"
    (folder / "folder.js").mkdir(parents=True)
    (folder / "index.html").write_text(INDEX)
    (folder / "style.css").write_text("body { margin: 0 }")
    (folder / "a.js").write_text("export const one = 1;")
    (folder / ".hidden.js").write_text("secret")
    (folder / "notes.txt").write_text("secret")
    (tmp_path / "outside.js").write_text("secret")
    return serve(Settings(page=folder))


def test_the_page_comes_with_a_strict_policy(page: TestClient) -> None:
    response = page.get("/")
    assert response.text == INDEX
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    policy = dict(part.strip().split(" ", 1) for part in response.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["img-src"] == "'self' data: blob:"
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["x-frame-options"] == "DENY"
    assert response.headers["referrer-policy"] == "no-referrer"


def test_files_have_their_types_and_are_kept_until_they_change(page: TestClient) -> None:
    assert page.get("/page/style.css").headers["content-type"].startswith("text/css")
    script = page.get("/page/a.js")
    assert script.headers["content-type"].startswith("text/javascript")
    again = page.get("/page/a.js", headers={"if-none-match": script.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.slow
@pytest.mark.parametrize(
    "path",
    [
        "/page/",
        "/page/.hidden.js",
        "/page/notes.txt",
        "/page/folder.js",
        "/page/nothing.js",
        "/page/%2e%2e%2foutside.js",
        "/page/..%2foutside.js",
        "/page/../outside.js",
        "/page//etc/passwd",
        "/page/a.js%00",
    ],
)
def test_nothing_else_is_served(page: TestClient, path: str) -> None:
    response = page.get(path)
    assert response.status_code == 404
    assert "secret" not in response.text


def test_a_server_without_a_page_is_an_api(serve: Serve, tmp_path: Path) -> None:
    client = serve(Settings(page=tmp_path / "nothing"))
    assert client.get("/").status_code == 404
    assert client.get("/healthz").status_code == 200
