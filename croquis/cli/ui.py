"""Opens the MLflow UI on this project's store: `make ui`, or `python -m croquis.cli.ui --port 5001`."""

from __future__ import annotations

import argparse
import os
import sys

from croquis.tracking.environment import quiet
from croquis.tracking.tracking_store import open_store

VIEW = "?workflowType=machine_learning"  # the UI opens in its GenAI mode otherwise


def main(arguments: list[str] | None = None) -> None:
    asked = argparse.ArgumentParser(prog="python -m croquis.cli.ui", description=__doc__)
    asked.add_argument("--port", type=int, default=5000)
    asked.add_argument("--host", default="127.0.0.1")
    options = asked.parse_args(arguments)
    quiet()
    store = open_store()
    if not store.is_local:
        print(f"the runs are on a server already: open {store.uri}/{VIEW}")
        return
    print(f"MLflow UI: http://{options.host}:{options.port}/{VIEW}  (Ctrl-C ends it)", flush=True)
    os.chdir(store.root)  # artifact locations are relative to it
    server = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store.uri, "--workers", "1"]
    os.execv(sys.executable, [*server, "--host", options.host, "--port", str(options.port)])


if __name__ == "__main__":
    main()
