"""`croquis platform up`: starts, takes an event, answers a search, and leaves no process behind."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from croquis.cli import child_processes, main
from croquis.cli.child_processes import Program, children
from croquis.events import local_brokers
from croquis.events.event import event_body
from croquis.events.stream import open_stream
from croquis.refusals import RefusedError
from croquis.serving.client import Client
from tests.support.environment import REPOSITORY
from tests.support.serving.live_server import wait_for
from tests.support.store.product_events import upsert
from tests.support.tiny_retriever import photo, write_tiny_bundle

PATIENCE = 120  # seconds
MARK = "CROQUIS_TEST_PLATFORM"
ANY_PORTS = ("--port", "0", "--mlflow-port", "0", "--broker-port", "0")


def marked(mark: str) -> set[int]:
    """Processes that have it in their environment, orphans included; zombies have none."""
    found = set()
    for place in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"{MARK}={mark}".encode() in place.read_bytes().split(b"\0"):
                found.add(int(place.parent.name))
        except OSError:  # it has ended, or is somebody else's
            continue
    return found


@pytest.mark.slow
@pytest.mark.scale
@pytest.mark.parametrize(
    ("broker", "store", "number"), [("nats", "faiss", signal.SIGINT), ("tansu", "milvus-lite", signal.SIGTERM)]
)
def test_it_starts_takes_an_event_searches_and_leaves_nothing(
    broker: str, store: str, number: int, tmp_path: Path
) -> None:
    try:
        local_brokers.find_broker(broker)
    except local_brokers.StreamError as error:
        pytest.skip(str(error))
    bundle, mark, params = write_tiny_bundle(tmp_path / "bundle"), uuid4().hex, REPOSITORY / "params.yaml"
    command = [sys.executable, "-m", "croquis", "platform", "up", "--bundle", str(bundle), "--params", str(params)]
    command += ["--broker", broker, "--store", store, "--folder", str(tmp_path / "platform"), *ANY_PORTS]
    variables = {**os.environ, "PYTHONPATH": str(REPOSITORY), MARK: mark}
    with subprocess.Popen(command, cwd=tmp_path, env=variables, text=True, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        said = ""
        while "Ctrl-C ends it" not in said:
            line = process.stdout.readline()
            assert line, said
            said += line
        assert len(marked(mark)) >= 4  # the command and its three programs
        (address,) = re.findall(r"search page +(http://\S+)", said)
        (pages,) = re.findall(r"runs and registry +(http://\S+)", said)
        (uri,) = re.findall(r"broker +\w+ +(\S+)", said)
        assert httpx.get(f"{pages}/health", trust_env=False).status_code == 200
        stream = open_stream(uri)
        stream.send([("new", event_body(upsert("new", 1, "blue-13")))])
        stream.close()
        with Client(address) as client:
            wait_for(lambda: client.search(photo("blue-13"), k=1).results[0].item_id == "new", PATIENCE)
        process.send_signal(number)
        assert process.wait(timeout=PATIENCE) == 0
    wait_for(lambda: not marked(mark))  # what was killed is gone in a moment
    assert {path.name for path in (tmp_path / "platform/logs").iterdir()} == {"broker.log", "mlflow.log", "server.log"}


def test_one_that_ends_by_itself_ends_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mark = uuid4().hex
    monkeypatch.setenv(MARK, mark)
    lasting = Program("lasting", ["sh", "-c", "sleep 600 & wait"], lambda: True, tmp_path)
    failing = Program("failing", ["sh", "-c", "echo no room left; exit 3"], lambda: False, tmp_path)
    with children(tmp_path) as running:
        running.start(lasting)
        wait_for(lambda: len(marked(mark)) == 2)  # it and its own child
        with pytest.raises(RefusedError, match=r"failing ended with 3: .*failing\.log\nno room left"):
            running.start(failing)
    wait_for(lambda: not marked(mark))  # what was killed is gone in a moment


def test_a_signal_ends_programs_that_hang_or_do_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One ignores signals and is stopped, another is still waited for: both are killed after the grace time."""
    mark = uuid4().hex
    monkeypatch.setenv(MARK, mark)
    monkeypatch.setattr(child_processes, "GRACE", 0.2)
    monkeypatch.setattr(child_processes, "LEAST_GRACE", 0.1)
    deaf = Program("deaf", ["sh", "-c", "trap '' TERM; kill -STOP $$; sleep 600"], lambda: bool(marked(mark)), tmp_path)
    silent = Program("silent", ["sh", "-c", "trap '' TERM; sleep 600 & wait; wait"], lambda: False, tmp_path)
    with children(tmp_path) as running:
        running.start(deaf)
        threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGTERM)).start()
        running.start(silent)
        assert running.ending
        running.watch()
    wait_for(lambda: not marked(mark))


def test_what_is_missing_or_taken_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    bundle = str(write_tiny_bundle(tmp_path / "bundle"))
    usual = ("platform", "up", "--bundle", bundle, "--params", str(REPOSITORY / "params.yaml"), *ANY_PORTS)
    (tmp_path / "nats-server").write_text("#!/bin/sh\n")
    (tmp_path / "nats-server").chmod(0o755)

    def refused(*more: str) -> str:
        assert main([*usual, *more]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        return line

    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(local_brokers, "SYSTEM_PROGRAMS", "")
    assert refused("--broker", "nats") == "error: no nats is installed here: apt-get install nats-server"
    monkeypatch.setattr(local_brokers, "SYSTEM_PROGRAMS", str(tmp_path))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert refused("--broker", "nats", "--port", port) == (
            f"error: --port {port} of 127.0.0.1 is taken: give another --port"
        )
    monkeypatch.setattr("croquis.cli.commands.platform.NEEDED", ("no_such_package",))
    assert refused("--broker", "nats") == (
        "error: not installed: no_such_package; pip install 'croquis[pipeline,scale,serving]'"
    )
    assert not (tmp_path / "platform").exists()
