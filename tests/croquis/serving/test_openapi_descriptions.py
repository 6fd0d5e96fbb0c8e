"""openapi.json describes everything it names, and its examples are valid requests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from croquis.serving.requests.request_models import ItemRequest, NewItemRequest, RequestFields, SearchRequest
from croquis.serving.server_settings import Limits

OF_FASTAPI = {"Successful Response", "Validation Error"}  # its words where a route has none


@pytest.fixture(scope="module")
def document(client: TestClient) -> dict[str, Any]:
    return client.get("/openapi.json").json()


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def properties(place: str, node: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """The properties of every schema in a part of the document."""
    if isinstance(node, list):
        for each in node:
            yield from properties(place, each)
    elif isinstance(node, dict):
        if node.get("type") == "object":
            yield from ((f"{place} {name}", schema) for name, schema in node.get("properties", {}).items())
        for name, each in node.items():
            if name not in ("example", "examples", "default"):
                yield from properties(place, each)


def parts(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Everything that needs a description, by its place."""
    yield from ((f"tag {tag['name']}", tag) for tag in document["tags"])
    components = document["components"]
    for kind in ("schemas", "securitySchemes"):
        yield from ((f"{kind} {name}", schema) for name, schema in components[kind].items())
    yield from properties("schemas", components["schemas"])
    for label, operation in operations(document):
        yield label, operation
        yield from ((f"{label} {each['name']}", each) for each in operation.get("parameters", []))
        yield from ((f"{label} {status}", each) for status, each in operation["responses"].items())
        if "requestBody" in operation:
            yield f"{label} body", operation["requestBody"]
        yield from properties(label, operation)


def test_everything_has_a_description(document: dict[str, Any]) -> None:
    found = list(parts(document))
    assert len(found) > 200
    assert [place for place, part in found if part.get("description", "") in {"", *OF_FASTAPI}] == []


def test_every_operation_has_a_tag_that_is_described_and_a_summary_of_words(document: dict[str, Any]) -> None:
    tags = {tag["name"] for tag in document["tags"]}
    for label, operation in operations(document):
        assert set(operation["tags"]) <= tags, label
        of_fastapi = operation["operationId"].split("__")[0].replace("_", " ").lower()
        assert not of_fastapi.startswith(operation["summary"].lower()), label  # made of the function's name


@pytest.mark.parametrize("model", [SearchRequest, ItemRequest, NewItemRequest])
def test_the_example_of_a_json_body_is_a_valid_request(model: type[RequestFields]) -> None:
    assert model.model_validate(model.example, context=Limits())


def test_an_optional_text_of_a_form_has_a_default_which_swagger_ui_sends_instead_of_an_example(
    document: dict[str, Any],
) -> None:
    for label, operation in operations(document):
        content = operation.get("requestBody", {}).get("content", {})
        form = content.get("multipart/form-data", {}).get("schema", {"properties": {}})
        optional = set(form["properties"]) - set(form.get("required", []))
        texts = [form["properties"][name] for name in optional if form["properties"][name].get("type") == "string"]
        assert all("default" in schema for schema in texts), label
