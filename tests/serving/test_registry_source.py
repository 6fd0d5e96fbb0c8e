"""Models of the registry: aliases, promotion and rollback while serving, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from serving.app import create_app
from serving.registry_source import RegistrySource
from serving.settings import Access, Settings
from serving.sources import SourceError
from tests.registry_world import MODEL, Project, begun_project, copied
from tests.serving.test_operations import ADMIN, TOKEN
from tracking.promotion import promote, rollback

URI = f"models:/{MODEL}@champion"


@pytest.fixture
def project(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project with a champion, version 1, and a better challenger, version 2."""
    made = copied(begun_project(tmp_path_factory), tmp_path, monkeypatch)
    made.offer_a_challenger()
    return made


def served(client: TestClient) -> tuple[str, str]:
    """Version and bundle that answer a search."""
    model = client.get("/similar/test-0?k=1").json()["model"]
    return model["version"], model["bundle"]


@pytest.mark.slow
def test_promotion_and_rollback_reach_the_server(project: Project) -> None:
    registry = project.registry
    one, two = (registry.version(number) for number in (1, 2))
    if registry.aliases()["champion"] == 2:
        rollback(registry)
    source = RegistrySource.open(URI, project.root)
    app = create_app({"champion": source}, Settings(access=Access(admin_token=TOKEN)))
    with TestClient(app) as client:
        assert served(client) == ("1", one.bundle_hash)
        (info,) = client.get("/version").json()["models"]
        assert (info["name"], info["version"]) == (MODEL, "1")
        logged = registry.metrics(1)
        assert (
            info["metrics"]["consumer_to_shop/encoder/hit_at_1"]
            == logged["siamese/test/consumer_to_shop/encoder/hit_at_1"]
        )
        assert {f"siamese/test/{name}" for name in info["metrics"]} <= set(logged)
        promote(registry, 2)
        assert served(client) == ("1", one.bundle_hash)
        (swap,) = client.post("/admin/reload", headers=ADMIN).json()
        assert (swap["before"]["version"], swap["after"]["version"]) == ("1", "2")
        assert served(client) == ("2", two.bundle_hash)
        rollback(registry)
        client.post("/admin/reload", headers=ADMIN)
        assert served(client) == ("1", one.bundle_hash)


@pytest.mark.slow
def test_a_version_that_is_not_what_the_registry_says_is_refused(project: Project) -> None:
    registry = project.registry
    assert RegistrySource.open(f"models:/{MODEL}/2", project.root).load()[0] == "2"
    registry.tag(2, {"bundle_hash": "0" * 64})
    with pytest.raises(SourceError, match="holds another bundle"):
        RegistrySource.open(f"models:/{MODEL}/2", project.root).load()
    shutil.rmtree(registry.bundle_folder(1))
    with pytest.raises(SourceError, match=r"version 1 .* cannot be loaded"):
        RegistrySource.open(f"models:/{MODEL}/1", project.root).load()
    with pytest.raises(SourceError, match="has no version 9"):
        RegistrySource.open(f"models:/{MODEL}/9", project.root).current()
    with pytest.raises(SourceError, match="has no nobody: run `make repro`"):
        RegistrySource.open(f"models:/{MODEL}@nobody", project.root).current()


@pytest.mark.parametrize(
    "uri", ["runs:/1/model", "models:/a", "models:/a@b@c", "models:/a/latest", "models:/a/0", "/tmp"]
)
def test_another_uri_is_refused(uri: str) -> None:
    with pytest.raises(SourceError, match="write models:/NAME@ALIAS or models:/NAME/NUMBER"):
        RegistrySource.open(uri)
