"""Opens the MLflow UI on this project's runs.

    croquis ui --port 5001

With a tracking server (MLFLOW_TRACKING_URI) it says where that server's pages are.
"""

from __future__ import annotations

import os
import sys

import click

from croquis.cli.command_line import Invocation, command, option
from croquis.serving.addresses import url
from croquis.tracking.tracking_store import open_store


@command(__doc__)
@option("--host", default="127.0.0.1", help="address that it listens at")
@option("--port", default=5000)
@click.pass_obj
def ui_command(invocation: Invocation, host: str, port: int) -> None:
    store = open_store(invocation.project)
    if not store.is_local:
        print(f"the runs are on a server already: open {store.shown}/{store.address_of_runs()}")
        return
    print(f"MLflow UI: {url(host, port)}/{store.address_of_runs()}  (Ctrl-C ends it)", flush=True)
    os.chdir(store.root)  # artifact locations are relative to it
    server = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store.uri, "--workers", "1"]
    os.execv(sys.executable, [*server, "--host", host, "--port", str(port)])
