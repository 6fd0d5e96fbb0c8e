"""The team's set-up: MLflow's server as deploy/compose.yaml starts it, with users, on PostgreSQL."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from multiprocessing import Pipe
from pathlib import Path

import pytest

from croquis.bundle import Bundle
from croquis.catalog.table import Catalog
from croquis.registry.bundle_options import bundle_folder
from croquis.registry.model_files import pull_model
from croquis.registry.promotion import NOTE_TAG, promote
from croquis.registry.registry import CHAMPION, PREVIOUS, Registry
from croquis.serving.client import Client
from croquis.tracking.tracking_store import STAGE_EXPERIMENT, TrackingError, open_store
from tests.support.pipeline.small_project import TINY, clone, commit, git, module
from tests.support.registry.promoters import first_change, promoter, told_changes
from tests.support.registry.team_server import ADMIN, READER, READER_SECRET, SECRET, TeamServer, team_server
from tests.support.serving.server_process import server_process

pytestmark = pytest.mark.slow
NAME = "fashion-retriever"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TeamServer]:
    pytest.importorskip("flask_wtf", reason="pip install 'croquis[team]'")
    with team_server(tmp_path_factory.mktemp("server")) as started:
        yield started


@pytest.mark.parametrize("password", [None, "wrong"])
def test_nobody_gets_in_without_the_password(
    server: TeamServer, password: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = server.address
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"{address}/api/2.0/mlflow/experiments/search?max_results=1", timeout=30)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    if password:
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", ADMIN)
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", password)
    with pytest.raises(TrackingError, match=f"{address} cannot be used.*(401|[Aa]uthenticat)"):
        open_store(tmp_path)


def test_other_hosts_reach_it_by_the_names_that_compose_allows(server: TeamServer) -> None:
    """Not of /health, which any host may ask."""
    port = server.address.rpartition(":")[2]
    for host, code in ((f"mlflow:{port}", 200), ("elsewhere.example", 403)):
        asked = f"{server.address}/api/2.0/mlflow/experiments/search?max_results=1"
        request = urllib.request.Request(asked, headers={"Host": host})
        request.add_header("Authorization", "Basic " + b64encode(f"{ADMIN}:{SECRET}".encode()).decode())
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                found = response.status
        except urllib.error.HTTPError as error:
            found = error.code
        assert found == code, host


def test_the_user_of_serving_pulls_a_version_and_can_change_nothing(
    server: TeamServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in server.variables.items():
        monkeypatch.setenv(name, value)
    keeper = Registry(open_store(tmp_path), "read")
    run = keeper.store.client.create_run(keeper.store.experiment("read"))
    (tmp_path / "model/artifacts/coats").mkdir(parents=True)
    (tmp_path / "model/model.py").write_text("1")
    keeper.store.client.log_artifacts(run.info.run_id, str(tmp_path / "model"), "model")
    keeper.store.client.create_registered_model("read")
    source = f"{run.info.artifact_uri}/model"
    keeper.store.client.create_model_version("read", source, run_id=run.info.run_id, tags={"bundle_hash": "1" * 64})
    keeper.set_alias(CHAMPION, 1)

    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", READER)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", READER_SECRET)
    reader = Registry(open_store(tmp_path), "read")
    assert reader.named(f"models:/read@{CHAMPION}").number == 1
    assert reader.metrics(1) == {}
    pulled = pull_model(reader.store, reader.store.client.get_model_version_download_uri("read", "1"))
    assert (pulled / "model.py").read_text() == "1"
    client = reader.store.client
    for change in (
        lambda: client.set_registered_model_alias("read", CHAMPION, "1"),
        lambda: client.delete_registered_model_alias("read", CHAMPION),
        lambda: client.set_model_version_tag("read", "1", "bundle_hash", "2" * 64),
        lambda: client.delete_model_version("read", "1"),
        lambda: client.delete_registered_model("read"),
        lambda: client.log_metric(run.info.run_id, "hit", 1.0),
        lambda: client.delete_run(run.info.run_id),
        lambda: client.log_artifacts(run.info.run_id, str(tmp_path / "model"), "model"),
    ):
        with pytest.raises(Exception, match=r"403|[Pp]ermission"):
            change()
    assert keeper.aliases() == {CHAMPION: 1}


def test_processes_of_two_workspaces_that_promote_at_once_leave_a_champion_and_nothing_half_done(
    server: TeamServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server has no lock; what whoever is overtaken is told: tests/croquis/registry/test_promotion.py."""
    for name, value in server.variables.items():
        monkeypatch.setenv(name, value)
    registry = Registry(open_store(tmp_path), "raced")
    registry.store.client.create_registered_model("raced")
    for number in (1, 2, 3):
        tags = {"bundle_hash": f"{number}" * 64, "method": "siamese"}
        registry.store.client.create_model_version("raced", "croquis://models/nothing", tags=tags)
    promote(registry, 1)
    hear, tell = Pipe(duplex=False)
    places = [tmp_path / name for name in ("one", "another") for _ in range(2)]
    started = []
    for number, place in enumerate(places):
        place.mkdir(exist_ok=True)
        started.append(promoter(str(place), server.variables, "raced", [2 + number % 2] * 2, tell))
        started[-1].start()
    seen = set()
    while any(process.is_alive() for process in started):
        seen.add(registry.aliases().get(CHAMPION))
    assert None not in seen, "a reader saw no champion"
    assert [process.exitcode for process in started] == [0] * 4
    assert told_changes(hear)
    aliases = registry.aliases()
    assert aliases[CHAMPION] in {2, 3}
    assert aliases[PREVIOUS] in {1, 2, 3}
    assert NOTE_TAG not in registry.store.client.get_registered_model("raced").tags

    worker = promoter(str(places[0]), server.variables, "raced", [2, 3] * 1000, tell)
    worker.start()
    first_change(hear)
    time.sleep(0.3)
    worker.kill()
    worker.join()
    assert registry.aliases()[CHAMPION] in (2, 3)
    promote(registry, 1)  # from a third workspace
    assert registry.aliases()[CHAMPION] == 1
    assert NOTE_TAG not in registry.store.client.get_registered_model("raced").tags


@pytest.fixture(scope="module")
def pipelines(server: TeamServer, tmp_path_factory: pytest.TempPathFactory, programs: Path) -> tuple[Path, Path]:
    """Two workspaces of one repository, each after `dvc repro` against the server; they share DVC's cache."""
    first = clone(tmp_path_factory.mktemp("first"), TINY)
    second = tmp_path_factory.mktemp("second") / "clone"
    module(first, "dvc", "repro", "-q", programs=programs, variables=server.variables)
    commit(first, "results")
    git(first, "clone", "-q", str(first), str(second))
    module(second, "dvc", "config", "--local", "cache.dir", str(first / ".dvc/cache"), programs=programs)
    params, made_with = (second / "params.yaml").read_text(), "  grid: 3\n"
    assert params.count(made_with) == 1
    (second / "params.yaml").write_text(params.replace(made_with, "  grid: 2\n"))
    commit(second, "another grid")
    module(second, "dvc", "repro", "-q", programs=programs, variables=server.variables)
    return first, second


def test_a_pipeline_ends_on_the_server_and_another_workspace_promotes_over_it(
    server: TeamServer, pipelines: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = pipelines
    for name, value in server.variables.items():
        monkeypatch.setenv(name, value)
    ours, theirs = (Registry(open_store(root), NAME) for root in pipelines)
    versions = ours.versions()
    assert [version.number for version in versions] == [1, 2]
    for root, version in zip(pipelines, versions, strict=True):
        assert version.tags["git.commit"] == git(root, "rev-parse", "HEAD~1" if root == first else "HEAD")
        assert json.loads((root / "reports/registration.json").read_text())["bundle"] == version.bundle_hash
        assert not (root / "mlruns/mlflow.db").exists()
        assert not (root / "mlruns/artifacts").exists()
    store = ours.store
    stages = {run.data.tags["dvc.stage"] for run in store.client.search_runs([store.experiment(STAGE_EXPERIMENT)])}
    assert {"ingest", "train_gan", "evaluate@histogram"} <= stages
    assert store.client.get_model_version(NAME, "1").description.startswith("# version 1")
    assert len(list(server.artifacts.rglob("model_card.md"))) == 2

    assert theirs.aliases()[CHAMPION] == 1
    module(second, "croquis", "registry", "promote", "--version", "2", "--force", variables=server.variables)
    assert ours.aliases() == {CHAMPION: 2, PREVIOUS: 1}
    assert Bundle.load(bundle_folder(None, f"models:/{NAME}@{CHAMPION}")).hash == versions[1].bundle_hash

    (tmp_path / "elsewhere").mkdir()  # neither a workspace nor a clone
    catalog = Catalog.open(first / "data/catalog")
    row = int(catalog.select(split="test", domain="shop", role="gallery")[0])
    asked = ("--model", f"models:/{NAME}@{CHAMPION}")
    with server_process(tmp_path, *asked, cwd=tmp_path / "elsewhere", **server.variables) as serving:
        with Client(serving.address) as client:
            answer = client.search(next(catalog.images([row])), k=3)
        serving.end()
    assert answer.model.version == "2"
    assert answer.results[0].image_id == catalog.column("image_id")[row]
    assert not serving.modules & {"torch", "dvc", "pytorch_lightning"}
