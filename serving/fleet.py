"""The models that are served, each under a label, and how one takes another's place while requests run."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass

from serving.answers import Swap
from serving.loaded import LoadedModel
from serving.meter import Meter
from serving.problems import invalid_field
from serving.sources import ModelSource, SourceError

logger = logging.getLogger(__name__)

DEFAULT_LABEL = "champion"


@dataclass(frozen=True)
class _Loaded:
    """A model and what its source called it."""

    identity: str
    model: LoadedModel


class Fleet:
    """Label -> model; loaded by the constructor, in the order of `sources`.

    A request takes its model once, at its start, and keeps it to its end; `reload` puts another one in its place, which
    only later requests see.
    """

    def __init__(self, sources: Mapping[str, ModelSource], meter: Meter) -> None:
        self._sources = dict(sources)
        self._meter = meter
        self._loading = threading.Lock()
        self._loaded = {label: _Loaded(*source.load()) for label, source in self._sources.items()}
        meter.set_models(self.models())

    def models(self) -> dict[str, LoadedModel]:
        return {label: loaded.model for label, loaded in self._loaded.items()}

    def get(self, label: str = DEFAULT_LABEL) -> LoadedModel:
        """The model of a label.

        Raises:
            Problem: 422 when there is none.
        """
        if label not in self._loaded:
            raise invalid_field("model", label, f"is not loaded; loaded: {', '.join(self._loaded)}")
        return self._loaded[label].model

    def reload(self) -> list[Swap]:
        """Loads what the sources hold now, where it is another model; nothing changes for a label whose source fails.

        Takes as long as a start; call it outside the event loop.

        Raises:
            SourceError: of the first source that failed.
        """
        with self._loading:
            return [self._reload_one(label) for label in self._sources]

    def _reload_one(self, label: str) -> Swap:
        source, before = self._sources[label], self._loaded[label]
        try:
            if source.current() != before.identity:
                self._loaded[label] = _Loaded(*source.load())
        except SourceError:
            self._meter.reloads.labels("failed").inc()
            raise
        after = self._loaded[label]
        if after is not before:
            self._meter.reloads.labels("swapped").inc()
            self._meter.set_models(self.models())
            logger.info("%s: %s -> %s", label, before.model.identity, after.model.identity)
        return Swap(label=label, before=before.model.identity, after=after.model.identity, changed=after is not before)

    async def watch(self, seconds: float) -> None:
        """Reloads every so often, for ever; a source that fails is tried again."""
        while True:
            await asyncio.sleep(seconds)
            try:
                await asyncio.to_thread(self.reload)
            except SourceError as error:
                logger.warning("the models stay as they are: %s", error)
