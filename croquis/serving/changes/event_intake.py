"""Product events taken into the store by the server's own process: what a store that one process may open needs."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from croquis.events.consumer import EventConsumer
from croquis.events.event_meter import IngestMeter
from croquis.events.stream import Stream, StreamError, open_stream
from croquis.params import load_params
from croquis.registry.bundle_options import ModelSourceError
from croquis.serving.limits.http_meter import Meter
from croquis.serving.models.served_models import ServedModels
from croquis.serving.server_settings import IngestSettings, SettingsError
from croquis.store.stored_gallery import StoreGallery
from croquis.store.vector_store import VectorStore

logger = logging.getLogger(__name__)

WAIT = 0.2  # seconds that a fetch waits for the first event
PAUSE = 5.0  # seconds after a failure that nobody foresaw


class OwnIngest:
    """A thread that consumes a stream into the version that the champion searches, and follows it to the next version.

    Each version has a consumer group of its name: what a version has not seen comes to it, whoever filled it before.

    Args:
        fleet: its champion's encoder embeds.
        settings: of the stream.
        meter: shows the counts of `IngestMeter` too.

    Raises:
        SettingsError: when the file of params cannot be used.
        ModelSourceError: when the stream cannot be reached.
    """

    def __init__(self, fleet: ServedModels, settings: IngestSettings, meter: Meter) -> None:
        self._fleet = fleet
        self._settings = settings
        self._counts = IngestMeter()
        try:
            self._rules = load_params(settings.params).validate_
            self._first: Stream | None = self._opened(self._gallery().kept)
        except StreamError as error:
            raise ModelSourceError(str(error)) from error
        except (ValueError, OSError) as error:
            raise SettingsError(f"{settings.params}: {error}") from error
        meter.join(self._counts.registry)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ingest", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Returns when the batch under way is committed."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                self._consume(self._gallery().kept)
            except Exception as error:  # a thread that ended would do so without a word
                self._counts.failures.labels("consumer").inc()
                logger.error("events are taken again in %.0f s", PAUSE, exc_info=error)
                self._ended.wait(PAUSE)

    def _consume(self, store: VectorStore) -> None:
        """Until the server ends or another version is searched."""
        from croquis.events.handler import Handler

        stream = self._first or self._opened(store)
        self._first = None
        try:
            handler = Handler(self._fleet.get().retriever, store, self._rules, self._settings.images)
            moved = _Moved(self._ended, lambda: self._gallery().kept is store)
            EventConsumer(stream, handler, self._counts, self._settings.batch, WAIT).run(moved)
        finally:
            stream.close()

    def _gallery(self) -> StoreGallery:
        gallery = self._fleet.get().retriever.gallery
        if not isinstance(gallery, StoreGallery):
            raise SettingsError("--ingest needs --store: where the products go")
        return gallery

    def _opened(self, store: VectorStore) -> Stream:
        return open_stream(self._settings.stream, group=store.name)


class _Moved(threading.Event):
    """Set when the server ends or another version is searched."""

    def __init__(self, ended: threading.Event, here: Callable[[], bool]) -> None:
        super().__init__()
        self._ended, self._here = ended, here

    def is_set(self) -> bool:
        return self._ended.is_set() or not self._here()

    def wait(self, timeout: float | None = None) -> bool:
        """Ends early only when the server ends."""
        return self._ended.wait(timeout) or self.is_set()
