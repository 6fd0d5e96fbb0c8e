"""Serves a registered model over HTTP: `make serve`, or `python -m stages.serve --model URI --port 8000`.

The alias is resolved once, at the start: a server keeps its version until it is started anew.
"""

from __future__ import annotations

import argparse
import os
import sys

from params import load_params
from tracking.environment import quiet
from tracking.registry import CHAMPION, Registry
from tracking.store import open_store


def main(arguments: list[str] | None = None) -> None:
    asked = argparse.ArgumentParser(prog="python -m stages.serve", description=__doc__)
    asked.add_argument("--model", help="an MLflow model URI; the champion by default")
    asked.add_argument("--port", type=int, default=8000)
    asked.add_argument("--host", default="127.0.0.1")
    options = asked.parse_args(arguments)
    quiet()
    store = open_store()
    uri = options.model or champion_uri(Registry(store, load_params().register_.model_name))
    print(f"serving {uri}: POST http://{options.host}:{options.port}/invocations  (Ctrl-C ends it)", flush=True)
    os.environ["MLFLOW_TRACKING_URI"] = store.uri
    os.chdir(store.root)  # artifact locations are relative to it
    server = [sys.executable, "-m", "mlflow", "models", "serve", "-m", uri, "--env-manager", "local"]
    os.execv(sys.executable, [*server, "--host", options.host, "--port", str(options.port)])


def champion_uri(registry: Registry) -> str:
    """The champion's URI by version number.

    Raises:
        SystemExit: when there is no champion, saying how to get one.
    """
    champion = registry.holder(CHAMPION)
    if champion is None:
        raise SystemExit(f"{registry.model} has no champion: run `make repro`, or name a model with --model")
    return f"models:/{registry.model}/{champion.number}"


if __name__ == "__main__":
    main()
