"""Serves a model over HTTP, by default the champion of this project.

    croquis serve                                                       the champion
    croquis serve --model models:/fashion-retriever/3 --port 8000
    croquis serve models/bundles/siamese                                a bundle, no registry; as --bundle
    croquis serve --bundle models/bundles/siamese --store faiss:models/store --ingest nats://127.0.0.1:4222/products

API keys and the admin token come from the environment: CROQUIS_API_KEYS ("name=key,name=key"), CROQUIS_ADMIN_TOKEN.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from croquis.cli.command_line import PATH, Invocation, command, option
from croquis.refusals import RefusedError
from croquis.serving.server_settings import WATCH_STORE, ServeOptions, SettingsError

USUAL = ServeOptions()


def champion_uri(root: Path) -> str:
    """The alias that the registry's model of this project serves by.

    Raises:
        RefusedError: outside a project.
    """
    from croquis.params import ParamsError, load_params
    from croquis.registry.registry import CHAMPION

    try:
        return f"models:/{load_params(root / 'params.yaml').register_.model_name}@{CHAMPION}"
    except ParamsError as error:
        raise RefusedError(f"{error}\nor say what to serve: --bundle FOLDER or --model URI") from error


def _option(name: str, says: str, **settings: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """An option of `ServeOptions`; its default stands there."""
    usual = getattr(USUAL, name.removeprefix("--").replace("-", "_"))
    return option(name, default=usual, multiple=isinstance(usual, tuple), help=says, **settings)


@command(__doc__)
@click.argument("folder", required=False, type=PATH, metavar="[BUNDLE]")
@_option("--model", "models:/NAME@ALIAS or models:/NAME/NUMBER of the registry", metavar="URI")
@_option("--bundle", "a bundle folder; MLflow is not used at all", metavar="FOLDER", type=PATH)
@_option("--also", "one more model; its label is the alias or number", metavar="URI")
@_option("--also-bundle", "one more bundle; its label is the folder's name", metavar="FOLDER", type=PATH)
@_option("--host", "address that it listens at")
@_option("--port", "port; 0 for any free one")
@_option(
    "--workers", "processes that answer (default: CPUs; 1 with --changes, --ingest, --rate or a FAISS store)", type=int
)
@_option("--threads", "queries that a process works on at a time (default: CPUs, or --batch if more)", type=int)
@_option("--batch", "queries that one run of a net may answer", metavar="N")
@_option("--queue", "queries that may wait; more are answered 429")
@_option(
    "--watch",
    f"look models and store up again this often; 0: never (default: {WATCH_STORE:g} with --store, else 0)",
    metavar="SECONDS",
    type=float,
)
@_option("--load-seconds", "time limit to pull, verify and try one model")
@_option("--changes", "search a FAISS store here, whose products requests may change", metavar="FOLDER", type=PATH)
@_option(
    "--store", "search the current version of faiss:FOLDER, milvus:FILE.db or milvus:http://HOST:PORT", metavar="URI"
)
@_option("--catalogue", "name of the catalogue in the store")
@_option(
    "--ingest", "take product events from nats://... or kafka://... into the store, in this process", metavar="URI"
)
@_option("--ingest-images", "what paths of pictures in events are relative to", metavar="FOLDER", type=PATH)
@_option("--ingest-batch", "events embedded together", metavar="N")
@_option("--params", "params file whose `validate` block has the thresholds of --ingest", type=PATH)
@_option("--rate", "requests per second of one client; 0: any number")
@_option("--burst", "requests that a client may send at once after a pause")
@_option("--cors", "a web origin that browsers may call from", metavar="ORIGIN")
@_option("--proxies", "whose X-Forwarded-For is believed, commas between them", metavar="ADDRESS|NETWORK,...")
@_option("--connections", "connections open at a time; idle ones are closed where room is needed")
@_option("--connections-per-address", "open at a time (default: half of all)", type=int)
@_option("--max-image-bytes", "largest file of a picture")
@_option("--max-pixels", "largest width x height of a picture")
@_option(
    "--page", "files of the web page (default: the package's own)", metavar="FOLDER", type=PATH, show_default=False
)
@_option("--grace", "time that running requests get when the server stops", metavar="SECONDS")
@click.pass_obj
def serve_command(invocation: Invocation, /, folder: Path | None, **given: Any) -> int:
    if folder is not None and given["bundle"] is not None:
        raise click.UsageError("give only one of BUNDLE and --bundle")
    given["bundle"] = folder or given["bundle"]
    if given["model"] is not None and given["bundle"] is not None:
        raise click.UsageError("give only one of --model and --bundle")
    if given["model"] is None and given["bundle"] is None:
        given["model"] = champion_uri(invocation.project)
    from croquis.serving.command import serve  # here: `croquis serve --help` needs no server

    invocation.set_up_logging(logging.INFO)
    try:
        return serve(ServeOptions(**given))
    except SettingsError as error:
        raise click.UsageError(str(error)) from error
