"""The web page and `GET /docs`: files that are read once, at the start, so that no request ever names a path.

`/docs` is the OpenAPI document as a page to read, without scripts and without anything from elsewhere.
"""

from __future__ import annotations

import hashlib
import mimetypes
import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from starlette.responses import HTMLResponse, Response

from croquis.serving.answers.problems import Problem

POLICY = "default-src 'none'; base-uri 'none'; frame-ancestors 'none'"


def api_page_router(app: FastAPI) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    @router.get("/docs", response_class=HTMLResponse)
    async def docs() -> HTMLResponse:
        return HTMLResponse(render(app.openapi()), headers={"Content-Security-Policy": POLICY})

    return router


def render(document: Mapping[str, Any]) -> str:
    """Every operation with its parameters, bodies and answers."""
    info = document["info"]
    operations = [
        _operation(method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">'
        f"<title>{escape(info['title'])} API</title></head><body><main><h1>{escape(info['title'])} API</h1>"
        f'<p>{escape(info.get("description", ""))} For machines: <a href="/openapi.json">openapi.json</a></p>'
        f"{''.join(operations)}</main></body></html>"
    )


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> str:
    words = operation.get("description") or operation.get("summary", "")
    parameters = [
        (each["name"], each["schema"], each.get("required", False)) for each in operation.get("parameters", [])
    ]
    bodies = operation.get("requestBody", {}).get("content", {})
    answers = "".join(
        f"<li>{escape(status)}: {escape(answer['description'])} {escape(', '.join(answer.get('content', {})))}</li>"
        for status, answer in operation["responses"].items()
    )
    return (
        f"<section><h2><code>{method.upper()} {escape(path)}</code></h2><p>{escape(words)}</p>"
        + _table("Parameters", parameters)
        + "".join(_table(f"Body, {media}", _properties(body["schema"])) for media, body in bodies.items())
        + f"<h3>Answers</h3><ul>{answers}</ul></section>"
    )


def _properties(schema: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any], bool]]:
    required = schema.get("required", [])
    return [(name, described, name in required) for name, described in schema.get("properties", {}).items()]


def _table(title: str, fields: list[tuple[str, Mapping[str, Any], bool]]) -> str:
    if not fields:
        return ""
    rows = "".join(
        f"<tr><th scope=row>{escape(name)}<td>{'needed' if needed else 'optional'}<td>{escape(_kind(schema))}"
        for name, schema, needed in fields
    )
    return f"<h3>{escape(title)}</h3><table>{rows}</table>"


def _kind(schema: Mapping[str, Any]) -> str:
    """The schema of one field in words, e.g. `integer from 1 to 100, by default 20`."""
    kinds = [each.get("type", "") for each in schema.get("anyOf", [schema])]
    words = " or ".join(kind for kind in kinds if kind != "null")
    if "enum" in schema:
        words += f": {', '.join(schema['enum'])}"
    if "maximum" in schema:
        words += f" from {schema['minimum']} to {schema['maximum']}"
    if schema.get("default") is not None:
        words += f", by default {schema['default']}"
    return f"{words}; {schema['description']}" if "description" in schema else words


INDEX = "index.html"
NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*\.(css|html|ico|js|json|png|svg|webp|woff2)")
CSP = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "font-src 'self'",
        "connect-src 'self'",
        "manifest-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)


@dataclass(frozen=True)
class PageFile:
    content: bytes
    media_type: str
    etag: str


def read_page(folder: Path) -> dict[str, PageFile]:
    """The page's files by name; folders and other kinds of files are left out."""
    if not folder.is_dir():
        return {}
    return {path.name: _read(path) for path in sorted(folder.iterdir()) if NAME.fullmatch(path.name) and path.is_file()}


def page_router(folder: Path) -> APIRouter:
    """`GET /` and `GET /page/NAME`."""
    files = read_page(folder)
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    async def index(request: Request) -> Response:
        return _answer(files, INDEX, request)

    @router.get("/page/{name}")
    async def file(name: str, request: Request) -> Response:
        return _answer(files, name, request)

    return router


def _answer(files: dict[str, PageFile], name: str, request: Request) -> Response:
    if name not in files:
        raise Problem(404, "not-found", "the page has no such file")
    file = files[name]
    # Files keep their names when they change, so that a browser asks each time whether its copy is still good.
    headers = {"Content-Security-Policy": CSP, "ETag": file.etag, "Cache-Control": "no-cache"}
    if request.headers.get("if-none-match") == file.etag:
        return Response(status_code=304, headers=headers)
    return Response(file.content, headers=headers, media_type=file.media_type)


def _read(path: Path) -> PageFile:
    content = path.read_bytes()
    media_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return PageFile(content, media_type, f'"{hashlib.sha256(content).hexdigest()[:16]}"')
