"""The search server as a process: loads and warms up, then listens until a signal ends it.

API keys and the admin token come from the environment: CROQUIS_API_KEYS ("name=key,name=key"), CROQUIS_ADMIN_TOKEN.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable
from types import FrameType

import uvicorn

from croquis.endings import end_within
from croquis.registry.bundle_options import ModelSourceError
from croquis.serving.addresses import bound_socket, url
from croquis.serving.app import create_app
from croquis.serving.limits.connections import ConnectionGuard, GuardedServer, room_for
from croquis.serving.models.bundle_sources import BundleSource, ModelSource
from croquis.serving.models.served_models import DEFAULT_LABEL, ReloadUnderWayError, ServedModels
from croquis.serving.requests.decoding import give_memory_back
from croquis.serving.server_settings import (
    WATCH_STORE,
    ConnectionLimits,
    IngestSettings,
    Limits,
    ServeOptions,
    Settings,
    SettingsError,
    access_from_environment,
)
from croquis.serving.worker_processes import run_workers, several

logger = logging.getLogger(__name__)

FEWEST_THREADS = 2  # so that one slow query does not hold up the next one
CLOSING = 3.0  # seconds after the grace time, for the store to be closed


def serve(options: ServeOptions) -> int:
    """Serves until a signal ends it: requests that have begun are answered first.

    Raises:
        SettingsError: when options do not fit each other, or one is out of range.
        ModelSourceError: when a model cannot be loaded.
        StoreError: when the store cannot be searched.
        RefusedError: when it cannot listen at the address, e.g. as the port is taken, or files are too few.
    """
    give_memory_back()
    settings = settings_of(options)
    workers = worker_count(options)
    if workers == 1:
        _answer(options, settings, lambda: bound_socket(options.host, options.port), _say)
        return 0
    bound = bound_socket(options.host, options.port)
    return run_workers(workers, lambda ready: _answer(options, settings, lambda: bound, ready), _say)


def _say(what: str) -> None:
    print(f"serving {what}  (Ctrl-C ends it)", flush=True)


def _answer(
    options: ServeOptions, settings: Settings, place: Callable[[], socket.socket], ready: Callable[[str], None]
) -> None:
    """Loads, says what is `ready`, and answers until a signal ends it."""
    app = create_app(sources_of(options), settings)
    gc.collect()
    gc.freeze()  # what is loaded stays: no collection has to look at it again
    config = uvicorn.Config(
        app,
        access_log=False,  # ours leaves out query strings
        log_level="warning",
        server_header=False,
        proxy_headers=False,  # the app believes those that --proxies names
        timeout_graceful_shutdown=options.grace,
    )
    limits = settings.connections
    guard = ConnectionGuard(limits, room_for(limits), settings.access.proxies, app.state.meter)
    listener = place()
    listener.listen(limits.backlog)
    host, port = listener.getsockname()[:2]
    models = ", ".join(f"{label} = {model.identity}" for label, model in app.state.fleet.models().items())
    ready(f"{models} on {url(host, port)}")
    if several():
        fleet = app.state.fleet
        signal.signal(signal.SIGHUP, lambda *_: threading.Thread(target=_reload, args=(fleet,), daemon=True).start())
    _Server(config, guard).run(sockets=[listener])


def _reload(fleet: ServedModels) -> None:
    try:
        fleet.reload()
    except (ModelSourceError, ReloadUnderWayError) as error:
        logger.error("the models stay as they are: %s", error)


class _Server(GuardedServer):
    """Ends within its grace time and `CLOSING`, also when a request or the store hangs."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        end_within((self.config.timeout_graceful_shutdown or 0) + CLOSING)
        super().handle_exit(sig, frame)


def worker_count(options: ServeOptions) -> int:
    """Processes: as told, else one for each CPU where nothing but searching is asked for.

    Raises:
        SettingsError: when there are to be several, and something can be in one only.
    """
    single = {
        "--changes": options.changes is not None,
        "--ingest": options.ingest is not None,
        "--store faiss:": (options.store or "").startswith("faiss:"),
        "--rate": options.rate > 0,
    }
    alone = [name for name, given in single.items() if given]
    if options.workers is None:
        return 1 if alone else os.cpu_count() or 1
    if options.workers < 1:
        raise SettingsError(f"workers = {options.workers}, must be at least 1")
    if options.workers > 1 and alone:
        raise SettingsError(f"{', '.join(alone)}: one process keeps what belongs to it: leave out --workers")
    return options.workers


def settings_of(options: ServeOptions) -> Settings:
    """What the options of `croquis serve` say, and what stands in for those that were left out."""
    return Settings(
        threads=max(FEWEST_THREADS, (os.cpu_count() or 1) // worker_count(options), options.batch)
        if options.threads is None
        else options.threads,
        batch=options.batch,
        queue=options.queue,
        watch_seconds=(WATCH_STORE if options.store else 0.0) if options.watch is None else options.watch,
        load_seconds=options.load_seconds,
        page=options.page,
        start_decoders=True,
        changes=options.changes,
        store=options.store,
        catalogue=options.catalogue,
        ingest=IngestSettings(options.ingest, options.params, options.ingest_images, options.ingest_batch)
        if options.ingest
        else None,
        limits=Limits(image_bytes=options.max_image_bytes, pixels=options.max_pixels),
        connections=ConnectionLimits(options.connections, options.connections_per_address),
        access=access_from_environment(os.environ, options.rate, options.burst, list(options.cors), options.proxies),
    )


def sources_of(options: ServeOptions) -> dict[str, ModelSource]:
    """Label -> source, `champion` first.

    Raises:
        SettingsError: when two models have one label.
        ModelSourceError: when a URI is wrong or the registry cannot be reached.
    """
    first = BundleSource(options.bundle) if options.bundle else _registry(options.model or "")
    named: list[tuple[str, ModelSource]] = [(DEFAULT_LABEL, first)]
    named += [(uri.replace("@", "/").rpartition("/")[2], _registry(uri)) for uri in options.also]
    named += [(folder.resolve().name, BundleSource(folder)) for folder in options.also_bundle]
    labels = [label for label, _ in named]
    if len(set(labels)) < len(labels):
        raise SettingsError(f"the models have the labels {labels}, each must be there once")
    return dict(named)


def _registry(uri: str) -> ModelSource:
    from croquis.serving.models.registry_source import RegistrySource  # MLflow is imported only where it is used

    return RegistrySource.open(uri, prompt=True)
