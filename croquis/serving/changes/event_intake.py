"""Product events taken into the store by the server's own process: what a store that one process may open needs."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from croquis.events.consumer import EventConsumer
from croquis.events.event_meter import IngestMeter
from croquis.events.stream import StreamError, check_stream, open_stream
from croquis.params import load_params
from croquis.registry.bundle_options import ModelSourceError
from croquis.serving.limits.http_meter import Meter
from croquis.serving.models.served_models import ServedModels
from croquis.serving.server_settings import IngestSettings, SettingsError
from croquis.store.stored_gallery import StoreGallery
from croquis.store.vector_store import StoreError, VectorStore

logger = logging.getLogger(__name__)

WAIT = 0.2  # seconds that a fetch waits for the first event
PAUSE = 2.0  # seconds after a failure, doubled with each that follows it
LONGEST_PAUSE = 30.0
LONGEST_END = 20.0  # seconds for the batch under way


class OwnIngest:
    """A thread that consumes a stream into the version that the champion searches, and follows it to the next version.

    Each version has a consumer group of its name: what a version has not seen comes to it, whoever filled it before.

    Args:
        fleet: its champion's encoder embeds.
        settings: of the stream.
        meter: shows the counts of `IngestMeter` too.

    Raises:
        SettingsError: when the file of params cannot be used.
        ModelSourceError: when the URI is of no stream. A stream that does not answer is looked for again and again.
    """

    def __init__(self, fleet: ServedModels, settings: IngestSettings, meter: Meter) -> None:
        self._fleet = fleet
        self._settings = settings
        self._counts = IngestMeter()
        try:
            self._rules = load_params(settings.params).validate_
            check_stream(settings.stream)
            self._gallery()
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
        """Returns when the batch under way is committed, or after `LONGEST_END`: it then comes again."""
        self._ended.set()
        self._thread.join(LONGEST_END)

    def _run(self) -> None:
        pause = PAUSE
        while not self._ended.is_set():
            begun = time.monotonic()
            try:
                self._consume(self._gallery().kept)
            except Exception as error:  # a thread that ended would do so without a word
                foreseen = isinstance(error, StreamError | StoreError)
                lasted = time.monotonic() - begun
                pause = PAUSE if lasted > LONGEST_PAUSE else min(2 * pause, LONGEST_PAUSE)
                self._counts.failures.labels("stream" if isinstance(error, StreamError) else "consumer").inc()
                self._counts.connected.set(0)
                logger.error("%s; events are taken again in %.0f s", error, pause, exc_info=None if foreseen else error)
                self._ended.wait(pause)

    def _consume(self, store: VectorStore) -> None:
        """Until the server ends or another version is searched."""
        from croquis.events.handler import Handler

        stream = open_stream(self._settings.stream, group=store.name)
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
