"""Models of the registry: aliases, promotion and rollback while serving, and what is refused."""

from __future__ import annotations

import shutil
import threading
from itertools import groupby
from pathlib import Path
from typing import Self

import httpx
import pytest

from croquis.bundle import Bundle
from croquis.cli import main
from croquis.registry.bundle_options import ModelSourceError
from croquis.registry.evaluation_reports import EvaluationReport
from croquis.registry.promotion import rollback
from croquis.serving.answers.answer_models import ModelName
from croquis.serving.app import create_app
from croquis.serving.client import Client
from croquis.serving.models.loaded_model import load_model
from croquis.serving.models.registry_source import RegistrySource, own_metrics, painting_finds_more
from croquis.serving.server_settings import Access, Settings
from croquis.store.fill import fill
from croquis.store.versions import open_stores
from croquis.tracking.record import mlflow_name
from tests.support.registry.evaluated_project import MODEL, Project, begun_project, copied
from tests.support.serving.live_server import ADMIN, TOKEN, listening, wait_for
from tests.support.tiny_retriever import photo, write_tiny_bundle

URI = f"models:/{MODEL}@champion"
CLIENTS = 4


class Searching:
    """Clients that search for as long as the block runs.

    Attributes:
        models: which model answered, in the order of the answers.
        failures: whatever was no answer.
    """

    def __init__(self, address: str) -> None:
        self.models: list[ModelName] = []
        self.failures: list[Exception] = []
        self._address, self._ended = address, threading.Event()
        self._threads = [threading.Thread(target=self._search) for _ in range(CLIENTS)]

    def until(self, version: str) -> None:
        """Waits until a version answers."""
        seen = len(self.models)
        wait_for(lambda: any(model.version == version for model in self.models[seen:]) or bool(self.failures))

    def _search(self) -> None:
        with Client(self._address) as client:
            while not self._ended.is_set():
                try:
                    self.models.append(client.search(photo(), k=3).model)
                except Exception as error:
                    self.failures.append(error)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()


@pytest.fixture
def project(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project with a champion, version 1, and a better challenger, version 2."""
    made = copied(begun_project(tmp_path_factory), tmp_path, monkeypatch)
    made.offer_a_challenger()
    return made


def test_the_generator_comes_first_where_drawings_of_val_found_more_by_it(tmp_path: Path) -> None:
    def logged(split: str, gan: float, direct: float) -> dict[str, float]:
        runs = [
            {"pair": "sketch->shop", "path": path, "rerank": "none", "metrics": {"hit@1": {"value": value}}}
            for path, value in (("gan", gan), ("direct", direct))
        ]
        report = EvaluationReport("siamese", "", {split: {"runs": runs}}, tmp_path)
        return {mlflow_name(name): value for name, value in report.headline_figures()}

    found, turned = logged("val", 0.3, 0.2), logged("test", 0.3, 0.2) | logged("val", 0.2, 0.3)
    earlier = {f"siamese/{name}": value for name, value in found.items()}
    assert len(found) == 2
    for metrics, paints in ((found, True), (earlier, True), (turned, False), ({}, False)):
        assert painting_finds_more(own_metrics(metrics, "siamese", "val")) == paints
    bundle = write_tiny_bundle(tmp_path / "bundle")
    for paints, modes in ((True, ["photo", "sketch", "sketch-direct"]), (False, ["photo", "sketch-direct", "sketch"])):
        assert load_model(bundle, paints=paints).modes == modes


@pytest.mark.slow
def test_promotion_and_rollback_reach_the_server_without_a_lost_request(project: Project) -> None:
    registry = project.registry
    hashes = {str(number): registry.version(number).bundle_hash for number in (1, 2)}
    if registry.aliases()["champion"] == 2:
        rollback(registry)
    source = RegistrySource.open(URI, project.root)
    settings = Settings(threads=2, watch_seconds=0.2, access=Access(admin_token=TOKEN))
    with listening(create_app({"champion": source}, settings)) as address, Client(address) as client:
        (info,) = client.version().models
        assert (info.name, info.version, info.bundle) == (MODEL, "1", hashes["1"])
        logged = registry.metrics(1)
        assert info.metrics["consumer_to_shop/hit_at_1"] == logged["test/consumer_to_shop/hit_at_1"]
        assert {f"test/{name}" for name in info.metrics} <= set(logged)
        with Searching(address) as searching:
            searching.until("1")
            for arguments, version in (
                (["promote", "--version", "2"], "2"),
                (["rollback"], "1"),
                (["rollback"], "2"),
            ):
                assert main(["registry", *arguments]) == 0
                searching.until(version)  # the watcher saw it
                swaps = httpx.post(f"{address}/admin/reload", headers=ADMIN, timeout=60, trust_env=False).json()
                assert [swap["changed"] for swap in swaps] == [False]
    assert not searching.failures
    assert {(model.version, model.bundle) for model in searching.models} == set(hashes.items())
    order = [version for version, _ in groupby(model.version for model in searching.models)]
    assert len(searching.models) > 40
    assert order[0] == "1"
    assert order[-1] == "2"


@pytest.mark.slow
def test_a_champion_and_the_one_before_search_their_versions_of_the_store(project: Project, tmp_path: Path) -> None:
    registry, uri = project.registry, f"faiss:{tmp_path / 'store'}"
    if registry.aliases()["champion"] == 2:
        rollback(registry)
    stores, versions = open_stores(uri), {}
    for number in (1, 2):
        versions[str(number)] = fill(stores, Bundle.load(registry.bundle_folder(number))).name
        stores.publish(versions[str(number)])
    stores.close()
    settings = Settings(threads=2, store=uri, watch_seconds=0.2)
    with listening(create_app({"champion": RegistrySource.open(URI, project.root)}, settings)) as address:
        with Searching(address) as searching:
            searching.until("1")
            for arguments, version in ((["promote", "--version", "2"], "2"), (["rollback"], "1")):
                assert main(["registry", *arguments]) == 0
                searching.until(version)
        assert not searching.failures
        assert {model.version: model.store for model in searching.models} == versions
        assert len({(model.version, model.store) for model in searching.models}) == 2


@pytest.mark.slow
def test_a_version_that_is_not_what_the_registry_says_is_refused(project: Project) -> None:
    registry = project.registry
    assert RegistrySource.open(f"models:/{MODEL}/2", project.root).load()[0] == "2"
    registry.tag(2, {"bundle_hash": "0" * 64})
    with pytest.raises(ModelSourceError, match="holds another bundle"):
        RegistrySource.open(f"models:/{MODEL}/2", project.root).load()
    shutil.rmtree(registry.bundle_folder(1))
    with pytest.raises(ModelSourceError, match=r"version 1 .* cannot be loaded"):
        RegistrySource.open(f"models:/{MODEL}/1", project.root).load()
    with pytest.raises(ModelSourceError, match="has no version 9"):
        RegistrySource.open(f"models:/{MODEL}/9", project.root).current()
    with pytest.raises(ModelSourceError, match=r"has no alias nobody; it has \w+ \(version \d\)"):
        RegistrySource.open(f"models:/{MODEL}@nobody", project.root).current()


@pytest.mark.parametrize(
    "uri", ["runs:/1/model", "models:/a", "models:/a@b@c", "models:/a/latest", "models:/a/0", "/tmp"]
)
def test_another_uri_is_refused(uri: str) -> None:
    with pytest.raises(ModelSourceError, match="write models:/NAME@ALIAS or models:/NAME/NUMBER"):
        RegistrySource.open(uri)
