"""The models that are served, each under a label, and how one takes another's place while requests run."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

from croquis.registry.bundle_options import ModelSourceError
from croquis.serving.answers.answer_models import Stale, Swap
from croquis.serving.answers.problems import invalid_field
from croquis.serving.background.timed_calls import CallLimitError, CallTimeoutError, TimedCalls
from croquis.serving.background.watched_task import WatchedTask, iso, one_line
from croquis.serving.limits.http_meter import Meter
from croquis.serving.models.batching import batched
from croquis.serving.models.bundle_sources import ModelSource
from croquis.serving.models.loaded_model import LoadedModel
from croquis.serving.server_settings import Settings

T = TypeVar("T")
logger = logging.getLogger(__name__)

DEFAULT_LABEL = "champion"
LOOK_UP_SECONDS = 10.0  # of one source
TURN_SECONDS = 1.0  # that a reload waits for another
CALLS = 4  # at a time: the one that is waited for, and those that were given up and hang


class ReloadUnderWayError(RuntimeError):
    """Another reload has not ended yet."""


class ServedModels:
    """Label -> model; loaded by the constructor, in the order of `sources`.

    A request takes its model once, at its start, and keeps it to its end; `reload` puts another one in its place, which only
    later requests see.

    Args:
        sources: where the models come from.
        meter: records models and reloads.
        batch: queries that one run of a net may answer.
        load_seconds: that pulling and loading one model may take.

    Raises:
        ModelSourceError: of the first source that failed.
    """

    def __init__(
        self,
        sources: Mapping[str, ModelSource],
        meter: Meter,
        batch: int = 1,
        load_seconds: float = Settings.load_seconds,
    ) -> None:
        self._sources = dict(sources)
        self._meter = meter
        self._batch = batch
        self._load_seconds = load_seconds
        self._calls = TimedCalls("registry", CALLS)
        self._turn = threading.Lock()
        self._stale: Stale | None = None
        self._loaded = {label: self._load(label) for label in self._sources}
        meter.set_models(self.models())
        meter.checked.set_to_current_time()

    @property
    def stale(self) -> Stale | None:
        """Why the models may not be the newest, when the last look-up failed."""
        return self._stale

    def models(self) -> dict[str, LoadedModel]:
        """The loaded models by label; a copy, which no reload changes."""
        return {label: model for label, (_, model) in self._loaded.items()}

    def get(self, label: str = DEFAULT_LABEL) -> LoadedModel:
        """The model of a label.

        Raises:
            Problem: 422 when there is none.
        """
        if label not in self._loaded:
            raise invalid_field("model", label, f"is not loaded; loaded: {', '.join(self._loaded)}")
        return self._loaded[label][1]

    def reload(self) -> list[Swap]:
        """Loads what the sources hold now, where it is another model; nothing changes for a label whose source fails.

        Each source has `LOOK_UP_SECONDS` to name its model and `load_seconds` to load another one; what comes later is
        dropped. Call it outside the event loop.

        Raises:
            ReloadUnderWayError: when another reload is not done within `TURN_SECONDS`.
            ModelSourceError: of the first source that failed.
        """
        if not self._turn.acquire(timeout=TURN_SECONDS):
            raise ReloadUnderWayError("another reload is under way: it ends by itself, and finds what this one would")
        try:
            swaps = [self._reload_one(label) for label in self._sources]
        except ModelSourceError as error:
            self._meter.reloads.labels("failed").inc()
            since = self._stale.since if self._stale else iso(time.time())
            self._stale = Stale(since=since, reason=one_line(error))
            raise
        finally:
            self._turn.release()
        self._stale = None
        self._meter.checked.set_to_current_time()
        return swaps

    def watch(self, task: WatchedTask, seconds: float) -> None:
        """Reloads every so often, and at once after a failure, until the task is to end or a source fails."""
        while not task.ending.wait(0 if task.failing else seconds):
            try:
                self.reload()
            except ReloadUnderWayError:
                continue
            task.well()

    def _reload_one(self, label: str) -> Swap:
        identity, before = self._loaded[label]
        changed = self._within(label, self._sources[label].current, LOOK_UP_SECONDS) != identity
        if changed:
            self._loaded[label] = self._load(label)
        after = self._loaded[label][1]
        if changed:
            self._meter.reloads.labels("swapped").inc()
            self._meter.set_models(self.models())
            logger.info("%s: %s -> %s", label, before.identity, after.identity)
        return Swap(label=label, before=before.identity, after=after.identity, changed=changed)

    def _load(self, label: str) -> tuple[str, LoadedModel]:
        """What the source holds now, and what it calls it."""
        identity, model = self._within(label, self._sources[label].load, self._load_seconds)
        return identity, batched(model, self._batch)

    def _within(self, label: str, call: Callable[[], T], seconds: float) -> T:
        """What a source says, in a thread of its own and within a time.

        Raises:
            ModelSourceError: whatever the source raises.
        """
        try:
            return self._calls.wait(call, seconds)
        except ModelSourceError:
            raise
        except (CallTimeoutError, CallLimitError) as error:
            raise ModelSourceError(f"the source of {label} does not answer: {error}") from error
        except Exception as error:  # registries, stores and file systems share no base class
            raise ModelSourceError(f"the source of {label} failed: {one_line(error)}") from error
