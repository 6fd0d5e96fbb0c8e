"""`mlflow models serve` as the documentation says it, and a request to it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.environment import OUTSIDE


@contextlib.contextmanager
def mlflow_serving(root: Path, uri: str) -> Iterator[str]:
    """The address of MLflow's server on the model `uri` of the project in `root`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if name not in OUTSIDE}
    environment |= {"MLFLOW_TRACKING_URI": "sqlite:///mlruns/mlflow.db", "MLFLOW_DISABLE_TELEMETRY": "true"}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    command = ["mlflow", "models", "serve", "-m", uri, "--env-manager", "local", "--host", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, cwd=root, env=environment, start_new_session=True, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_until_up(process, address)
        yield address
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)


def post(address: str, request: dict[str, Any]) -> tuple[int, Any]:
    """Status and parsed body of `POST /invocations`."""
    body = urllib.request.Request(
        f"{address}/invocations", json.dumps(request).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(body, timeout=30) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def _wait_until_up(process: subprocess.Popen[bytes], address: str) -> None:
    for _ in range(720):  # seconds of work, shared with other tests
        try:
            urllib.request.urlopen(f"{address}/ping", timeout=5).close()
            return
        except OSError:
            if process.poll() is not None:
                break
            time.sleep(0.25)
    pytest.fail("the server did not start")
