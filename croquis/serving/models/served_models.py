"""The models that are served, each under a label, and how one takes another's place while requests run."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Mapping

from croquis.registry.bundle_options import ModelSourceError
from croquis.serving.answers.answer_models import Swap
from croquis.serving.answers.problems import invalid_field
from croquis.serving.limits.http_meter import Meter
from croquis.serving.models.batching import batched
from croquis.serving.models.bundle_sources import ModelSource
from croquis.serving.models.loaded_model import LoadedModel

logger = logging.getLogger(__name__)

DEFAULT_LABEL = "champion"


class ServedModels:
    """Label -> model; loaded by the constructor, in the order of `sources`.

    A request takes its model once, at its start, and keeps it to its end; `reload` puts another one in its place, which only
    later requests see.

    Args:
        sources: where the models come from.
        meter: is told of models and reloads.
        batch: queries that one run of a net may answer.
    """

    def __init__(self, sources: Mapping[str, ModelSource], meter: Meter, batch: int = 1) -> None:
        self._sources = dict(sources)
        self._meter = meter
        self._batch = batch
        self._loading = threading.Lock()
        self._loaded = {label: self._load(label) for label in self._sources}
        meter.set_models(self.models())

    def models(self) -> dict[str, LoadedModel]:
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

        Takes as long as a start; call it outside the event loop.

        Raises:
            ModelSourceError: of the first source that failed.
        """
        with self._loading:
            return [self._reload_one(label) for label in self._sources]

    def _reload_one(self, label: str) -> Swap:
        identity, before = self._loaded[label]
        try:
            changed = self._sources[label].current() != identity
            if changed:
                self._loaded[label] = self._load(label)
        except ModelSourceError:
            self._meter.reloads.labels("failed").inc()
            raise
        after = self._loaded[label][1]
        if changed:
            self._meter.reloads.labels("swapped").inc()
            self._meter.set_models(self.models())
            logger.info("%s: %s -> %s", label, before.identity, after.identity)
        return Swap(label=label, before=before.identity, after=after.identity, changed=changed)

    def _load(self, label: str) -> tuple[str, LoadedModel]:
        """What the source holds now, and what it calls it."""
        identity, model = self._sources[label].load()
        return identity, batched(model, self._batch)

    async def watch(self, seconds: float) -> None:
        """Reloads every so often, for ever; a source that fails is tried again."""
        while True:
            await asyncio.sleep(seconds)
            try:
                await asyncio.to_thread(self.reload)
            except ModelSourceError as error:
                logger.warning("the models stay as they are: %s", error)
