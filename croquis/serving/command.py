"""`python -m croquis.serving`: loads and warms up, then listens.

    python -m croquis.serving --model models:/fashion-retriever@champion --port 8000
    python -m croquis.serving --bundle models/bundles/siamese
    python -m croquis.serving --bundle models/bundles/siamese --store faiss:models/store --ingest nats://127.0.0.1:4222/products

API keys and the admin token come from the environment: CROQUIS_API_KEYS ("name=key,name=key"), CROQUIS_ADMIN_TOKEN.
"""

from __future__ import annotations

import argparse
import logging
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

import uvicorn

from croquis.registry.bundle_options import ModelSourceError
from croquis.serving.app import create_app
from croquis.serving.changes.change_log import ChangeLogError
from croquis.serving.models.bundle_sources import BundleSource, ModelSource
from croquis.serving.models.served_models import DEFAULT_LABEL
from croquis.serving.requests.decoding import give_memory_back
from croquis.serving.server_settings import (
    PAGE,
    IngestSettings,
    Limits,
    Settings,
    SettingsError,
    access_from_environment,
)
from croquis.store.vector_store import StoreError

WATCH_STORE = 5.0  # seconds; a version that is published is searched as soon


def main(arguments: Sequence[str] | None = None) -> None:
    """Serves until a signal ends it: requests that have begun are answered first.

    Raises:
        SystemExit: 2 for wrong arguments, 1 when a model cannot be loaded or the port is taken, with the reason on stderr.
    """
    options = parser().parse_args(arguments)
    give_memory_back()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    logging.getLogger("great_expectations").setLevel(logging.WARNING)  # of --ingest: it tells what it does not register
    try:
        settings = settings_of(options)
        app = create_app(sources_of(options), settings)
    except SettingsError as error:
        parser().error(str(error))
    except (ModelSourceError, ChangeLogError, StoreError) as error:
        sys.exit(f"error: {error}")
    config = uvicorn.Config(
        app,
        host=options.host,
        port=options.port,
        access_log=False,  # ours leaves out query strings
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=options.grace,
        backlog=2048,
    )
    listener = listening_socket(config)
    host, port = listener.getsockname()[:2]
    models = ", ".join(f"{label} = {model.identity}" for label, model in app.state.fleet.models().items())
    print(f"serving {models} on http://{host}:{port}  (Ctrl-C ends it)", flush=True)
    uvicorn.Server(config).run(sockets=[listener])


def listening_socket(config: uvicorn.Config) -> socket.socket:
    """Where clients may connect from now on; they are answered as soon as the server runs."""
    listener = config.bind_socket()
    # Connections inherit it. asyncio sets it only where a socket was made with TCP's number, which uvicorn's is not; without
    # it each answer on a kept connection waits 40 ms for an acknowledgement.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.listen(config.backlog)
    return listener


def parser() -> argparse.ArgumentParser:
    asked = argparse.ArgumentParser(
        prog="python -m croquis.serving", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    model = asked.add_mutually_exclusive_group(required=True)
    model.add_argument("--model", metavar="URI", help="models:/NAME@ALIAS or models:/NAME/NUMBER of the registry")
    model.add_argument("--bundle", metavar="FOLDER", type=Path, help="a bundle folder; MLflow is not used at all")
    add = asked.add_argument
    add("--also", metavar="URI", action="append", default=[], help="one more model; its label is the alias or number")
    add(
        "--also-bundle", metavar="FOLDER", action="append", default=[], type=Path, help="its label is the folder's name"
    )
    add("--host", default="127.0.0.1")
    add("--port", type=int, default=8000, help="0 for any free one")
    add(
        "--workers",
        type=int,
        help="queries worked on at a time (default: CPUs, or --batch if more)",
    )
    add("--batch", type=int, default=1, metavar="N", help="queries that one run of a net may answer")
    add("--queue", type=int, default=Settings().queue, help="queries that may wait; more are answered 429")
    add(
        "--watch",
        type=float,
        metavar="SECONDS",
        help=f"look models and store up anew this often; 0: never (default: {WATCH_STORE:g} with --store, else 0)",
    )
    add("--changes", metavar="FOLDER", type=Path, help="keep changes of the catalogue here, and allow them")
    add(
        "--store",
        metavar="URI",
        help="search the current version of faiss:FOLDER, milvus:FILE.db or milvus:http://HOST:PORT",
    )
    add("--catalogue", default=Settings().catalogue, help="name of the catalogue in the store")
    add(
        "--ingest",
        metavar="URI",
        help="take product events from nats://... or kafka://... into the store, in this process",
    )
    add("--ingest-images", metavar="FOLDER", type=Path, help="what paths of pictures in events are relative to")
    add("--ingest-batch", type=int, default=IngestSettings("").batch, metavar="N", help="events embedded together")
    add(
        "--params",
        type=Path,
        default=IngestSettings("").params,
        help="of --ingest: whose `validate` block has thresholds",
    )
    add("--rate", type=float, default=0.0, help="requests per second of one client; 0: any number")
    add("--burst", type=int, default=20, help="requests that a client may send at once after a pause")
    add("--cors", metavar="ORIGIN", action="append", default=[], help="a web origin that browsers may call from")
    add("--max-image-bytes", type=int, default=Limits().image_bytes)
    add("--max-pixels", type=int, default=Limits().pixels)
    add("--page", metavar="FOLDER", type=Path, default=PAGE, help="files of the web page")
    add("--grace", type=int, default=30, metavar="SECONDS", help="for requests that run when the server is ended")
    return asked


def settings_of(options: argparse.Namespace) -> Settings:
    return Settings(
        workers=max(os.cpu_count() or 1, options.batch) if options.workers is None else options.workers,
        batch=options.batch,
        queue=options.queue,
        watch_seconds=(WATCH_STORE if options.store else 0.0) if options.watch is None else options.watch,
        page=options.page,
        changes=options.changes,
        store=options.store,
        catalogue=options.catalogue,
        ingest=IngestSettings(options.ingest, options.params, options.ingest_images, options.ingest_batch)
        if options.ingest
        else None,
        limits=Limits(image_bytes=options.max_image_bytes, pixels=options.max_pixels),
        access=access_from_environment(os.environ, options.rate, options.burst, options.cors),
    )


def sources_of(options: argparse.Namespace) -> dict[str, ModelSource]:
    """Label -> source, `champion` first.

    Raises:
        SettingsError: when two models have one label.
        ModelSourceError: when a URI is wrong or the registry cannot be reached.
    """
    first = _registry(options.model) if options.model else BundleSource(options.bundle)
    named: list[tuple[str, ModelSource]] = [(DEFAULT_LABEL, first)]
    named += [(uri.replace("@", "/").rpartition("/")[2], _registry(uri)) for uri in options.also]
    named += [(folder.resolve().name, BundleSource(folder)) for folder in options.also_bundle]
    labels = [label for label, _ in named]
    if len(set(labels)) < len(labels):
        raise SettingsError(f"the models have the labels {labels}, each must be there once")
    return dict(named)


def _registry(uri: str) -> ModelSource:
    from croquis.serving.models.registry_source import RegistrySource  # MLflow is imported only where it is used

    return RegistrySource.open(uri)
