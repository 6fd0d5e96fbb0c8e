"""The web page, and Swagger UI at `/docs`: files that are read once, at the start, so that no request ever names a path."""

from __future__ import annotations

import base64
import hashlib
import mimetypes
import re
from dataclasses import dataclass
from pathlib import Path

import fastapi_offline
from fastapi import APIRouter, FastAPI, Request
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import Response

from croquis.serving.answers.problems import Problem

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
    """A file of the page; `etag` changes with its content."""

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


def docs_router(app: FastAPI) -> APIRouter:
    """`GET /docs`, FastAPI's page of Swagger UI, and its files, which FastAPI would have browsers load from elsewhere."""
    files = read_page(Path(fastapi_offline.__file__).with_name("static"))
    page = get_swagger_ui_html(
        openapi_url="openapi.json",
        title=f"{app.title} API",
        swagger_js_url="docs/swagger-ui-bundle.js",
        swagger_css_url="docs/swagger-ui.css",
        swagger_favicon_url="docs/favicon.png",
        swagger_ui_parameters={"validatorUrl": None},
    )
    router = APIRouter(include_in_schema=False)

    @router.get("/docs")
    async def docs() -> Response:
        return page

    @router.get("/docs/{name}")
    async def file(name: str, request: Request) -> Response:
        return _answer(files, name, request)

    (script,) = re.findall(rb"<script>(.*?)</script>", page.body, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script).digest()).decode()
    page.headers["Content-Security-Policy"] = CSP.replace("script-src", f"script-src 'sha256-{digest}'")
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
