"""Product events taken into the store by the server's own process: what a store that one process may open needs."""

from __future__ import annotations

import threading
from collections.abc import Callable

from croquis.events.consumer import EventConsumer
from croquis.events.event_meter import IngestMeter
from croquis.events.stream import StreamError, check_stream, open_stream
from croquis.params import load_params
from croquis.registry.bundle_options import ModelSourceError
from croquis.serving.background.watched_task import WatchedTask
from croquis.serving.limits.http_meter import Meter
from croquis.serving.models.served_models import ServedModels
from croquis.serving.server_settings import IngestSettings, SettingsError
from croquis.store.stored_gallery import StoreGallery
from croquis.store.vector_store import VectorStore

WAIT = 0.2  # seconds that a fetch waits for the first event


class OwnIngest:
    """Consumes a stream into the version that the champion searches, and follows it to the next version.

    Each version has a consumer group of its name: what a version has not seen comes to it, however it was filled before.

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

    def run(self, task: WatchedTask) -> None:
        """Until the task is to end, when the batch under way is committed first; raises whatever fails."""
        try:
            while not task.ending.is_set():
                self._consume(self._gallery().kept, task)
        except Exception as error:
            self._counts.failures.labels("stream" if isinstance(error, StreamError) else "consumer").inc()
            self._counts.connected.set(0)
            task.connected = False
            raise

    def _consume(self, store: VectorStore, task: WatchedTask) -> None:
        """Until the task is to end or another version is searched."""
        from croquis.events.handler import Handler

        handler = Handler(self._fleet.get().retriever, store, self._rules, self._settings.images)
        stream = open_stream(self._settings.stream, group=store.name)
        try:
            moved = _Moved(task, lambda: self._gallery().kept is store)
            consumer = EventConsumer(stream, handler, self._counts, self._settings.batch, WAIT, moved.told)
            consumer.run(moved)
        finally:
            handler.close()
            stream.close()

    def _gallery(self) -> StoreGallery:
        gallery = self._fleet.get().retriever.gallery
        if not isinstance(gallery, StoreGallery):
            raise SettingsError("--ingest needs --store: where the products go")
        return gallery


class _Moved(threading.Event):
    """Set when the task is to end or another version is searched."""

    def __init__(self, task: WatchedTask, here: Callable[[], bool]) -> None:
        super().__init__()
        self._task, self._here = task, here

    def told(self, failure: Exception | None) -> None:
        """The outcome of a step of the consumer, which continues by itself after a failure."""
        self._task.connected = not isinstance(failure, StreamError)
        if failure is None:
            self._task.well()
        else:
            self._task.trouble(failure)

    def is_set(self) -> bool:
        return self._task.ending.is_set() or not self._here()

    def wait(self, timeout: float | None = None) -> bool:
        """Ends early only when the task is to end."""
        return self._task.ending.wait(timeout) or self.is_set()
