"""Health, version, metrics, and how another model takes over."""

from __future__ import annotations

import re
import threading
from dataclasses import fields
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from croquis.bundle import Bundle
from croquis.catalog.filters import Filters
from croquis.registry.bundle_options import ModelSourceError
from croquis.search.query import MODES
from croquis.serving.limits.http_meter import Meter
from croquis.serving.models.bundle_sources import BundleSource
from croquis.serving.models.served_models import ServedModels
from croquis.serving.routes.page_files import CSP
from croquis.serving.server_settings import Access, Settings
from tests.support.serving.live_server import ADMIN, TOKEN, Serve, replace_bundle, samples, wait_for
from tests.support.tiny_retriever import photo, write_tiny_bundle


def hash_of(client: TestClient) -> str:
    response = client.post("/search", files={"image": photo()})
    assert response.status_code == 200, response.text
    return str(response.json()["model"]["bundle"])


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    """Two bundles that differ."""
    return write_tiny_bundle(tmp_path / "one"), write_tiny_bundle(tmp_path / "two", classifier_folder=None)


@pytest.mark.slow
def test_health_and_version(client: TestClient, bundle: Path) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").json() == {"status": "ready"}
    version = client.get("/version").json()
    identity = {"name": "siamese", "version": "local", "bundle": Bundle.load(bundle).hash, "store": None}
    assert version["models"] == [{"label": "champion", **identity, "method": "siamese", "metrics": {}, "colours": None}]
    assert version["modes"] == ["photo", "sketch-direct", "sketch"]
    assert version["limits"]["k"] == 100


def test_the_api_is_documented_by_files_of_this_server_under_a_strict_policy(client: TestClient) -> None:
    page = client.get("/docs")
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    files = re.findall(r'(?:href|src)="(.*?)"', page.text)
    assert len(files) == 3
    for name in files:
        answer = client.get(f"/{name}")
        assert (answer.status_code, answer.headers["content-security-policy"]) == (200, CSP)
    assert client.get("/docs/nothing.js").status_code == 404


def test_the_document_says_what_a_search_takes_in_either_form(client: TestClient) -> None:
    content = client.get("/openapi.json").json()["paths"]["/search"]["post"]["requestBody"]["content"]
    form, values = (content[media]["schema"]["properties"] for media in ("multipart/form-data", "application/json"))
    for properties, kind in ((form, "binary"), (values, "byte")):
        one, several = properties.pop("image")["anyOf"]
        assert one["format"] == several["items"]["format"] == kind
    assert form.keys() == values.keys()
    assert {name for name in form if form[name] != values[name]} == {"crop", "filters"}
    assert (form["k"]["minimum"], form["k"]["maximum"], form["k"]["default"]) == (1, 100, 20)
    assert form["mode"]["enum"] == list(MODES)
    assert values["filters"]["propertyNames"]["enum"] == [field.name for field in fields(Filters)]


def test_modes_are_those_that_a_model_has(serve: Serve, tmp_path: Path) -> None:
    without = write_tiny_bundle(tmp_path / "without", generator_folder=None)
    assert serve(champion=without).get("/version").json()["modes"] == ["photo", "sketch-direct"]
    photos_only = write_tiny_bundle(tmp_path / "photos-only", generator_folder=None, drawings=False)
    assert serve(champion=photos_only).get("/version").json()["modes"] == ["photo"]


def test_metrics_count_requests_steps_scores_and_refusals(serve: Serve, bundle: Path) -> None:
    client = serve()
    for k in (1, 2, "x"):
        client.post("/search", files={"image": photo()}, data={"k": k})
    client.get("/items/item-red-0")
    client.get("/items/item-red-1")
    found = samples(client)
    assert found['croquis_requests_total{method="POST",route="/search",status="200"}'] == 2
    assert found['croquis_requests_total{method="POST",route="/search",status="422"}'] == 1
    assert found['croquis_requests_total{method="GET",route="/items/{item_id:path}",status="200"}'] == 2
    for step in ("queue", "decode", "encode", "search", "rerank"):
        assert found[f'croquis_step_seconds_count{{step="{step}"}}'] == 2
    # A gallery photo finds itself.
    assert found['croquis_best_score_bucket{le="0.99",model="champion"}'] == 0
    assert found['croquis_best_score_count{model="champion"}'] == 2
    (info,) = (name for name in found if name.startswith("croquis_model_info"))
    assert Bundle.load(bundle).hash in info
    assert found["croquis_queue_running"] == found["croquis_queue_waiting"] == 0


def test_reload_swaps_and_a_second_reload_does_nothing(serve: Serve, two: tuple[Path, Path]) -> None:
    served, other = two
    client = serve(Settings(access=Access(admin_token=TOKEN)), champion=served)
    before = hash_of(client)
    replace_bundle(served, other)
    assert hash_of(client) == before
    (swap,) = client.post("/admin/reload", headers=ADMIN).json()
    assert (swap["label"], swap["changed"]) == ("champion", True)
    assert (swap["before"]["bundle"], swap["after"]["bundle"]) == (before, hash_of(client))
    assert hash_of(client) == Bundle.load(other).hash != before
    (again,) = client.post("/admin/reload", headers=ADMIN).json()
    assert not again["changed"]
    assert samples(client)['croquis_reloads_total{outcome="swapped"}'] == 1


def test_a_damaged_bundle_does_not_take_over(serve: Serve, two: tuple[Path, Path]) -> None:
    served, other = two
    client = serve(Settings(access=Access(admin_token=TOKEN)), champion=served)
    before = hash_of(client)
    replace_bundle(served, other)
    (served / "encoder.onnx").write_bytes(b"damaged")
    response = client.post("/admin/reload", headers=ADMIN)
    assert response.status_code == 503
    assert "encoder.onnx was changed" in response.json()["detail"]
    assert hash_of(client) == before
    assert samples(client)['croquis_reloads_total{outcome="failed"}'] == 1


def test_admin_needs_the_token(serve: Serve) -> None:
    assert serve().post("/admin/reload").json()["type"] == "urn:croquis:problem:admin-off"
    client = serve(Settings(access=Access(admin_token=TOKEN)))
    for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": f"Basic {TOKEN}"}, {"x-api-key": TOKEN}):
        response = client.post("/admin/reload", headers=headers)
        assert response.status_code == 401
        assert response.headers["www-authenticate"] == "Bearer"
    assert client.post("/admin/reload", headers=ADMIN).status_code == 200


@pytest.mark.slow
def test_the_watcher_takes_over_and_survives_a_broken_bundle(serve: Serve, two: tuple[Path, Path]) -> None:
    served, other = two
    client = serve(Settings(watch_seconds=0.05), champion=served)
    before = hash_of(client)
    (served / "manifest.json").write_text("{")
    wait_for(lambda: samples(client).get('croquis_reloads_total{outcome="failed"}', 0) >= 2)
    assert hash_of(client) == before
    replace_bundle(served, other)
    wait_for(lambda: hash_of(client) == Bundle.load(other).hash)


@pytest.mark.slow
def test_no_request_fails_or_mixes_models_while_they_swap(serve: Serve, two: tuple[Path, Path], tmp_path: Path) -> None:
    link = tmp_path / "served"
    link.symlink_to(two[0])
    client = serve(Settings(threads=2, access=Access(admin_token=TOKEN)), champion=link)
    # Without a classifier no attributes are predicted, which tells the two apart in every answer.
    described = {Bundle.load(two[0]).hash: True, Bundle.load(two[1]).hash: False}
    ended, answers = threading.Event(), []

    def ask() -> None:
        while not ended.is_set():
            response = client.post("/search", files={"image": photo()}, data={"describe": "true"})
            answers.append((response.status_code, response.json()))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    swapped = []
    for target in (two[1], two[0], two[1], two[0]):
        fresh = link.with_name("next")
        fresh.symlink_to(target)
        fresh.replace(link)
        swapped += client.post("/admin/reload", headers=ADMIN).json()
        already = len(answers)
        wait_for(lambda start=already: len(answers) > start + 3)
    ended.set()
    for thread in threads:
        thread.join()
    assert [swap["changed"] for swap in swapped] == [True] * 4
    assert {status for status, _ in answers} == {200}
    assert all(bool(body["query_attributes"]) == described[body["model"]["bundle"]] for _, body in answers)
    assert {body["model"]["bundle"] for _, body in answers} == set(described)


def test_a_model_that_cannot_be_loaded_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelSourceError, match=r"is not a bundle: it has no manifest\.json"):
        ServedModels({"champion": BundleSource(tmp_path)}, Meter())
