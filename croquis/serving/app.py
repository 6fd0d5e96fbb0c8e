"""The web application: models, limits and page in, an ASGI app out."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from croquis.serving.answers.problems import IN_OPENAPI, install_handlers
from croquis.serving.background.readiness import Readiness
from croquis.serving.background.timed_calls import CallTimeoutError, TimedCalls
from croquis.serving.background.watched_task import WatchedTask
from croquis.serving.changes.live_catalogue import LiveCatalogue
from croquis.serving.changes.live_stores import LiveSource, LiveStores
from croquis.serving.limits.access import KEY_HEADER, AccessControl
from croquis.serving.limits.head_requests import HeadMiddleware
from croquis.serving.limits.http_meter import Meter
from croquis.serving.limits.request_log import RequestLogMiddleware
from croquis.serving.limits.work_queue import WorkQueue
from croquis.serving.models.bundle_sources import ModelSource, StoredSource
from croquis.serving.models.served_models import LOOK_UP_SECONDS, TURN_SECONDS, ServedModels
from croquis.serving.requests.decoding import PictureDecoder
from croquis.serving.routes.catalogue_routes import catalogue_router
from croquis.serving.routes.change_routes import change_router
from croquis.serving.routes.operations_routes import operations_router
from croquis.serving.routes.page_files import docs_router, page_router
from croquis.serving.routes.search_routes import search_router
from croquis.serving.server_settings import Settings, SettingsError
from croquis.store.versions import open_stores

if TYPE_CHECKING:
    from croquis.serving.changes.event_intake import OwnIngest

logger = logging.getLogger(__name__)

CLOSING_SECONDS = 10.0  # for a batch of events under way, and for the store to be closed
SILENT_INGEST = 60.0  # seconds; a batch takes less
SILENT_DECODERS = 120.0  # seconds; as long as two processes take to start on a busy machine
RULES_NEED = ("pydantic", "ruamel")  # of --ingest
DESCRIPTION = "Photos, drawings and filters in; ranked products out. Errors are problem details (RFC 9457)."

TAGS = {
    "search": "Search by photos, drawings and words.",
    "catalogue": "Products, their thumbnails, products like them, and values that can be filtered by.",
    "changes": "Add, replace and delete products; needs the admin token and a server with `--changes FOLDER`.",
    "operations": "Health, version, metrics, and the reload of models, for those who run the server.",
}


def create_app(sources: Mapping[str, ModelSource], settings: Settings) -> FastAPI:
    """Loads every model, so that the app is ready when this returns.

    Args:
        sources: label -> where its model comes from; `champion` answers when a request names none.
        settings: everything else.

    Raises:
        ModelSourceError: when a model cannot be loaded.
        StoreError: when the store cannot be opened.
        SettingsError: when events are to be taken, and a package or the file of params is not there.
    """
    meter, limits = Meter(), settings.limits
    live_stores = None if settings.changes is None else LiveStores(settings.changes)
    stores = None if settings.store is None else open_stores(settings.store, settings.catalogue)
    placed = dict(sources)
    if live_stores is not None:
        placed = {label: LiveSource(label, source, live_stores) for label, source in sources.items()}
    elif stores is not None:
        placed = {label: StoredSource(source, stores) for label, source in sources.items()}
    opened = live_stores or stores
    try:
        fleet = ServedModels(placed, meter, settings.batch, settings.load_seconds)
        if live_stores is not None:
            live_stores.drop_unused()
        own_ingest = _own_ingest(fleet, settings, meter)
    except Exception:  # whichever it is, it goes on to the caller; only the store is given back
        if opened is not None:
            opened.close()
        raise
    decoder = PictureDecoder(limits)
    live = None if live_stores is None else LiveCatalogue(fleet, live_stores, decoder)
    queue = WorkQueue(settings.threads, settings.queue, limits.waiting_bytes, meter, limits.work_seconds)
    gatekeeper = AccessControl(settings.access, meter)

    tasks = _tasks(fleet, own_ingest, decoder, settings, meter)

    def close() -> None:
        """Waits for what is under way, then gives the store back."""
        for task in tasks:
            task.stop()
        queue.close()
        decoder.close()
        if opened is not None:
            opened.close()

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        for task in tasks:
            task.start()
        app.state.ready = True
        yield
        app.state.ready = False
        for task in tasks:
            task.ending.set()
        try:
            await TimedCalls("end of the server", 1).run(close, CLOSING_SECONDS)
        except CallTimeoutError:
            logger.error("what was under way has not ended within %.0f s and is left", CLOSING_SECONDS)

    app = FastAPI(
        title="Croquis",
        description=DESCRIPTION,
        openapi_tags=[{"name": name, "description": words} for name, words in TAGS.items()],
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # a redirect's address would be made of the Host that the client sent
        lifespan=lifespan,
        responses={
            "4XX": {"description": "The request cannot be answered; `detail` says why.", **IN_OPENAPI},
            "5XX": {"description": "The server could not answer; its log says why.", **IN_OPENAPI},
        },
    )
    app.state.ready = False
    app.state.fleet, app.state.meter, app.state.stores = fleet, meter, stores
    install_handlers(app)
    app.include_router(search_router(fleet, queue, gatekeeper, meter, limits, decoder))
    app.include_router(catalogue_router(fleet, gatekeeper))
    changes = change_router(live, queue, gatekeeper, meter, limits, stored=stores is not None)
    app.include_router(changes)
    app.include_router(operations_router(fleet, Readiness(fleet, tasks), gatekeeper, meter, limits))
    app.include_router(docs_router(app))
    app.include_router(page_router(settings.page))
    app.add_middleware(HeadMiddleware)
    if settings.access.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.access.origins,
            allow_methods=["GET", "POST"],
            allow_headers=[KEY_HEADER, "content-type"],
        )
    app.add_middleware(RequestLogMiddleware, meter=meter)
    if settings.access.proxies:
        app.add_middleware(ProxyHeadersMiddleware, trusted_hosts=list(settings.access.proxies))
    return app


def _tasks(
    fleet: ServedModels, own_ingest: OwnIngest | None, decoder: PictureDecoder, settings: Settings, meter: Meter
) -> list[WatchedTask]:
    """Everything that runs beside the requests."""
    tasks = []
    if seconds := settings.watch_seconds:
        patience = seconds + len(fleet.models()) * (LOOK_UP_SECONDS + settings.load_seconds) + TURN_SECONDS
        tasks.append(WatchedTask("watch", lambda task: fleet.watch(task, seconds), meter, patience))
    if own_ingest is not None:
        tasks.append(WatchedTask("ingest", own_ingest.run, meter, SILENT_INGEST, finishes=True))
    if settings.start_decoders:
        tasks.append(WatchedTask("decoders", decoder.keep, meter, SILENT_DECODERS))
    return tasks


def _own_ingest(fleet: ServedModels, settings: Settings, meter: Meter) -> OwnIngest | None:
    if settings.ingest is None:
        return None
    absent = [name for name in RULES_NEED if importlib.util.find_spec(name) is None]
    if absent:
        raise SettingsError(f"--ingest needs {', '.join(absent)}: pip install '.[scale]'")
    from croquis.serving.changes.event_intake import OwnIngest  # its packages are imported only where they are used

    return OwnIngest(fleet, settings.ingest, meter)
