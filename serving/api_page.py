"""`GET /docs`: the OpenAPI document as a page to read, without scripts and without anything from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from fastapi import APIRouter, FastAPI
from starlette.responses import HTMLResponse

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
