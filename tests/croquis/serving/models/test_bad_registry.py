"""A registry that answers wrongly, late or not at all: every look-up is one error of ours, and a process ends in time."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from mlflow import MlflowClient

from croquis.registry.bundle_options import ModelSourceError
from croquis.registry.registry import Registry
from croquis.serving.limits.http_meter import Meter
from croquis.serving.models import served_models
from croquis.serving.models.bundle_sources import BundleSource
from croquis.serving.models.registry_source import RegistrySource
from croquis.serving.models.served_models import ServedModels
from croquis.tracking.environment import PROMPT, SENSIBLE, quiet
from croquis.tracking.tracking_store import Store
from tests.support.environment import REPOSITORY
from tests.support.serving.bad_registry import ANSWERS, BadRegistry, bad_registry
from tests.support.serving.live_server import wait_for
from tests.support.serving.store_answers import filled

SECRET = "paper-doll"


class Moving(BundleSource):
    """A bundle first, then what another source has."""

    then: RegistrySource

    def current(self) -> str:
        return self.then.current()

    def load(self) -> tuple[str, object]:  # type: ignore[override]
        return "1", super().load()[1]


def source_of(registry: BadRegistry, root: Path) -> RegistrySource:
    uri = registry.address.replace("//", f"//keeper:{SECRET}@")
    store = Store(uri, root, MlflowClient(tracking_uri=uri, registry_uri=uri))
    return RegistrySource(Registry(store, "coats"), "models:/coats@champion")


@pytest.mark.parametrize("manner", [*ANSWERS, "absent"])
def test_every_wrong_answer_is_a_failed_reload_within_seconds(
    manner: str, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setattr(served_models, "LOOK_UP_SECONDS", 2.0)
    with bad_registry("hangs" if manner == "absent" else manner) as registry:
        if manner == "absent":
            registry.close()
        moving = Moving(bundle)
        object.__setattr__(moving, "then", source_of(registry, tmp_path))
        fleet = ServedModels({"champion": moving}, Meter())
        with pytest.raises(ModelSourceError) as told:
            fleet.reload()
    assert SECRET not in str(told.value)
    assert fleet.stale is not None
    assert SECRET not in fleet.stale.reason
    assert fleet.get().version == "local"


def test_a_server_asks_the_registry_with_little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the process that started it has set the usual patience; what a person sets counts."""
    for name in PROMPT:
        monkeypatch.delenv(name, raising=False)
    quiet()
    assert {name: os.environ.get(name) for name in PROMPT} == {name: SENSIBLE.get(name) for name in PROMPT}
    quiet(prompt=True)
    assert {name: os.environ[name] for name in PROMPT} == PROMPT
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "77")
    quiet(prompt=True)
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "77"


ENDS = """
import sys, threading, time
from pathlib import Path
from croquis.registry.registry import Registry
from croquis.serving.models.bundle_sources import BundleSource
from croquis.serving import command
from croquis.serving.server_settings import ServeOptions
from croquis.store.faiss_store import FaissStore

class Hanging(BundleSource):
    asked = False
    def current(self):
        if sys.argv[2] == "registry":
            print("hangs", flush=True)
            threading.Event().wait()
        return super().current()

def hang(*_):
    print("hangs", flush=True)
    threading.Event().wait()

command.sources_of = lambda options: {"champion": Hanging(Path(sys.argv[1]))}
command.CLOSING = 1.0
store = None
if sys.argv[2] == "store":
    FaissStore.close = hang  # as a lock that is never given up
    store = sys.argv[3]
command.serve(ServeOptions(bundle=Path(sys.argv[1]), port=0, watch=0.05, store=store, grace=1, workers=1))
"""


def answers(address: str) -> bool:
    try:
        return httpx.get(f"{address}/healthz", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.slow
@pytest.mark.parametrize("part", ["registry", "store"])
def test_sigterm_ends_a_server_whose_part_hangs(part: str, bundle: Path, tmp_path: Path) -> None:
    filled(f"faiss:{tmp_path}", bundle)
    command = [sys.executable, "-c", ENDS, str(bundle), part, f"faiss:{tmp_path}"]
    process = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    address = re.search(r"http://[\d.:]+", process.stdout.readline())
    assert address is not None
    wait_for(lambda: answers(address[0]))
    if part == "registry":
        assert process.stdout.readline() == "hangs\n"
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == (-signal.SIGTERM if part == "registry" else 1), errors
    if part == "store":
        assert "ended by force: not done 2 s after the signal: " in errors


LOSES = """
import threading, time
from croquis.events import event_command

def look_up(*_):
    print("hangs", flush=True)
    while True:
        try:
            time.sleep(60)
        except BaseException:  # as Python itself does in a finaliser
            pass

def leave_a_thread(*_):
    threading.Thread(target=time.sleep, args=(60,)).start()
    print("hangs", flush=True)
    time.sleep(60)

def turn(*_):
    print("hangs", flush=True)
    try:
        time.sleep(60)
    except BaseException as error:  # as extension modules do that fail to load
        raise RuntimeError("it was lost") from error

event_command.CLOSING = 30 if LOOK_UP is turn else 0.5
event_command.bundle_folder = LOOK_UP
event_command.consume(event_command.ConsumeOptions("nats://127.0.0.1:1/p", "faiss:store", model="models:/coats@champion"))
"""


@pytest.mark.slow
@pytest.mark.parametrize("look_up", ["look_up", "leave_a_thread", "turn"])
def test_sigterm_ends_an_intake_that_loses_or_turns_the_exception_or_leaves_a_thread(
    look_up: str, tmp_path: Path
) -> None:
    (tmp_path / "params.yaml").write_bytes((REPOSITORY / "params.yaml").read_bytes())
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-c", LOSES.replace("LOOK_UP", look_up)]
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "hangs\n"
    process.terminate()
    assert process.wait(30) == 128 + signal.SIGTERM


@pytest.mark.slow
@pytest.mark.parametrize(
    "words", [["serve", "--watch", "1"], ["events", "consume", "--from=nats://127.0.0.1:1/p", "--to=a"]]
)
def test_sigterm_ends_a_process_that_waits_for_a_registry(words: list[str], tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_bytes((REPOSITORY / "params.yaml").read_bytes())
    with bad_registry("hangs") as registry:
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "MLFLOW_TRACKING_URI": registry.address}
        command = [sys.executable, "-m", "croquis", *words, "--model", "models:/coats@champion"]
        process = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True)
        wait_for(lambda: registry.asked > 0, 120)
        time.sleep(0.1)
        process.terminate()
        _, told = process.communicate(timeout=30)
    assert process.returncode in (-signal.SIGTERM, 128 + signal.SIGTERM), told
