"""The server keeps to its own OpenAPI document, whatever is sent: drawn requests, answers checked against their schemas."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as drawing
from hypothesis import strategies as st

from croquis.serving.app import create_app
from croquis.serving.models.bundle_sources import BundleSource
from croquis.serving.server_settings import Access, Settings
from tests.support.serving.live_server import ADMIN, TOKEN, listening
from tests.support.tiny_retriever import photo

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")

EXAMPLES = 10  # of requests that fit the document, and as many that do not, for each operation
OPERATIONS = [
    "DELETE /items/{item_id}",
    "GET /catalogue/filters",
    "GET /healthz",
    "GET /items/{item_id}",
    "GET /items/{item_id}/image",
    "GET /metrics",
    "GET /readyz",
    "GET /similar/{item_id}",
    "GET /version",
    "POST /admin/reload",
    "POST /items",
    "POST /search",
    "PUT /items/{item_id}",
]
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)

pytestmark = pytest.mark.slow


WITHOUT_INPUT = ("GET /healthz", "GET /metrics", "GET /readyz", "GET /version", "POST /admin/reload")


@pytest.fixture(scope="module")
def operations(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """The operations of the document of a server that listens; some of the drawn files are pictures."""
    pictures = st.sampled_from([photo(), photo("blue-05")])
    schemathesis.openapi.format("binary", st.one_of(st.binary(max_size=200), pictures))
    schemathesis.openapi.format("byte", st.one_of(st.text(max_size=20), pictures.map(as_base64)))
    settings = Settings(threads=1, changes=tmp_path_factory.mktemp("changes"), access=Access(admin_token=TOKEN))
    with listening(create_app({"champion": BundleSource(bundle)}, settings)) as address:
        document = schemathesis.openapi.from_url(f"{address}/openapi.json")
        yield {found.ok().label: found.ok() for found in document.get_all_operations()}


def as_base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def make_sensible(case: Any) -> None:
    """Puts what is there in the place of ids, labels and words that nobody has; the rest stays as it was drawn."""
    if "item_id" in case.path_parameters:
        case.path_parameters["item_id"] = "item-green-1" if case.method == "DELETE" else "item-blue-1"
    for name in ("model", "image_id", "version"):
        (case.query or {}).pop(name, None)
    if isinstance(case.body, dict):
        for name in ("filters", "crop", "attributes", "version"):
            case.body.pop(name, None)
        case.body["image"] = photo() if "multipart" in case.media_type else as_base64(photo())
        for name in {"category", "item_id"} & set(case.body):
            case.body[name] = f"a-{name}-{len(str(case.body))}"


def check(operation: Any, *, fits: bool) -> list[int]:
    """Sends drawn requests, checks the answers, and gives their statuses."""
    statuses: list[int] = []
    mode = schemathesis.GenerationMode.POSITIVE if fits else schemathesis.GenerationMode.NEGATIVE
    checks = [getattr(schemathesis.checks, name) for name in CHECKS]

    @drawing(
        max_examples=EXAMPLES,
        derandomize=True,  # the same requests every time
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode), data=st.data())
    def ask(case: Any, data: Any) -> None:
        if fits and data.draw(st.booleans()):
            make_sensible(case)
        response = case.call(headers=ADMIN)
        statuses.append(response.status_code)
        case.validate_response(response, checks=checks)

    ask()
    return statuses


def test_every_operation_is_asked(operations: dict[str, Any]) -> None:
    assert sorted(operations) == OPERATIONS


@pytest.mark.parametrize("label", OPERATIONS)
def test_what_fits_the_document_is_answered_as_documented(operations: dict[str, Any], label: str) -> None:
    assert min(check(operations[label], fits=True)) < 300  # not only refusals


@pytest.mark.parametrize("label", [label for label in OPERATIONS if label not in WITHOUT_INPUT])
def test_what_does_not_fit_is_answered_as_documented(operations: dict[str, Any], label: str) -> None:
    assert check(operations[label], fits=False)
