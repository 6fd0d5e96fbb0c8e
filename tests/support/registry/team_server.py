"""The MLflow server of deploy/compose.yaml, started here: its launcher and options, on a PostgreSQL of the test's own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tests.support.deploy.compose_file import services, started_with
from tests.support.deploy.mlflow_launcher import SCRIPT
from tests.support.engine_servers import free_port
from tests.support.postgres import PASSWORD, USER, postgres
from tests.support.started_server import answer

ADMIN, SECRET = "keeper", "100%-a-long-password"
READER, READER_SECRET = "serving", "a-long-password-of-serving"


@dataclass(frozen=True)
class TeamServer:
    """Attributes:
    address: e.g. `http://127.0.0.1:40123`.
    artifacts: the folder that only the server writes to.
    """

    address: str
    artifacts: Path

    @property
    def variables(self) -> dict[str, str]:
        """What a workspace has to know."""
        names = {"URI": self.address, "USERNAME": ADMIN, "PASSWORD": SECRET}
        return {f"MLFLOW_TRACKING_{name}": value for name, value in names.items()}


@contextmanager
def team_server(folder: Path) -> Iterator[TeamServer]:
    port = free_port()
    with postgres("mlflow", "mlflow_users") as database:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
        environment = {
            "POSTGRES_ADDRESS": f"127.0.0.1:{urlsplit(database).port}",
            "POSTGRES_USER": USER,
            "POSTGRES_PASSWORD": PASSWORD,
            "MLFLOW_ADMIN_USERNAME": ADMIN,
            "MLFLOW_ADMIN_PASSWORD": SECRET,
            "MLFLOW_READERS": f"{READER}={READER_SECRET},ingest=a-long-password-of-ingest",
            "MLFLOW_FLASK_SERVER_SECRET_KEY": "of-this-test",
            "TMPDIR": str(folder),
        }
        here = {
            "--artifacts-destination=/artifacts": f"--artifacts-destination={folder / 'artifacts'}",
            "--host=0.0.0.0": "--host=127.0.0.1",
            "--port=5000": f"--port={port}",
            "--workers=2": "--workers=1",  # a worker takes seconds to start
        }
        asked = [here.get(word, word.replace(":5000", f":{port}")) for word in started_with(services()["mlflow"])]
        command = [sys.executable, str(SCRIPT), *asked]
        with (folder / "log").open("wb") as log:
            started = subprocess.Popen(command, cwd=folder, env={**kept, **environment}, stdout=log, stderr=log)
        try:
            answer(f"http://127.0.0.1:{port}/health", started)
            yield TeamServer(f"http://127.0.0.1:{port}", folder / "artifacts")
        finally:
            started.terminate()
            started.wait(timeout=60)
