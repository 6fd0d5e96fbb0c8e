"""The models that are served, each under a label, and how one takes another's place while requests run."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace

from croquis.catalog.images import ImageError
from croquis.registry.bundle_options import ModelSourceError
from croquis.search.changed_gallery import ChangedEntry, ChangedGallery
from croquis.serving.answers.answer_models import Swap
from croquis.serving.answers.problems import invalid_field
from croquis.serving.changes.change_log import ChangeLog
from croquis.serving.limits.http_meter import Meter
from croquis.serving.models.batching import batched
from croquis.serving.models.bundle_sources import ModelSource
from croquis.serving.models.loaded_model import LoadedModel

logger = logging.getLogger(__name__)

DEFAULT_LABEL = "champion"


@dataclass(frozen=True)
class _Loaded:
    """A model with its gallery as it is now, and what its source called it."""

    identity: str
    model: LoadedModel
    gallery: ChangedGallery

    def over(self, gallery: ChangedGallery) -> _Loaded:
        return _Loaded(self.identity, replace(self.model, retriever=gallery.retriever), gallery)


class ServedModels:
    """Label -> model; loaded by the constructor, in the order of `sources`.

    A request takes its model once, at its start, and keeps it to its end; `reload` and `publish` put another one in its
    place, which only later requests see.

    Args:
        sources: where the models come from.
        meter: is told of models and reloads.
        log: changes of the catalogue, which every model's gallery is brought up to.
        batch: queries that one run of a net may answer.

    Attributes:
        changing: whoever writes to `log` holds it until the change is published.
    """

    def __init__(
        self, sources: Mapping[str, ModelSource], meter: Meter, log: ChangeLog | None = None, batch: int = 1
    ) -> None:
        self._sources = dict(sources)
        self._meter = meter
        self._log = log
        self._batch = batch
        self._loading = threading.Lock()
        self.changing = threading.Lock()
        self._loaded = {label: self._load(label)[0] for label in self._sources}
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

    def galleries(self) -> dict[str, ChangedGallery]:
        return {label: loaded.gallery for label, loaded in self._loaded.items()}

    def publish(self, galleries: Mapping[str, ChangedGallery]) -> None:
        """Lets later requests search in these galleries; hold `changing` since you took the ones that they come from."""
        self._loaded |= {label: self._loaded[label].over(gallery) for label, gallery in galleries.items()}

    def reload(self) -> list[Swap]:
        """Loads what the sources hold now, where it is another model; nothing changes for a label whose source fails.

        Takes as long as a start; call it outside the event loop.

        Raises:
            ModelSourceError: of the first source that failed.
        """
        with self._loading:
            return [self._reload_one(label) for label in self._sources]

    def _reload_one(self, label: str) -> Swap:
        before = self._loaded[label]
        try:
            changed = self._sources[label].current() != before.identity
            if changed:
                fresh, sequence = self._load(label)
                with self.changing:
                    self._loaded[label], _ = self._caught_up(fresh, sequence)
        except ModelSourceError:
            self._meter.reloads.labels("failed").inc()
            raise
        after = self._loaded[label]
        if changed:
            self._meter.reloads.labels("swapped").inc()
            self._meter.set_models(self.models())
            logger.info("%s: %s -> %s", label, before.model.identity, after.model.identity)
        return Swap(label=label, before=before.model.identity, after=after.model.identity, changed=changed)

    def _load(self, label: str) -> tuple[_Loaded, int]:
        """What the source holds after the changes so far; see `_caught_up`."""
        identity, single = self._sources[label].load()
        model = batched(single, self._batch)
        return self._caught_up(_Loaded(identity, model, ChangedGallery(model.retriever)), 0)

    def _caught_up(self, loaded: _Loaded, sequence: int) -> tuple[_Loaded, int]:
        """`loaded` after the changes that are later than `sequence`, and the sequence after which others may have come."""
        if self._log is None:
            return loaded, sequence
        entries: dict[str, ChangedEntry | None] = {}
        reached = self._log.sequence
        for change in self._log.since(sequence):
            try:
                described = None if change.product is None else loaded.gallery.entry_of(change.product)
            except ImageError as error:
                raise ModelSourceError(
                    f"{change.item_id!r} of the changed catalogue cannot be encoded: {error}"
                ) from error
            entries[change.item_id] = described
        return (loaded.over(loaded.gallery.changed(entries)) if entries else loaded), reached

    async def watch(self, seconds: float) -> None:
        """Reloads every so often, for ever; a source that fails is tried again."""
        while True:
            await asyncio.sleep(seconds)
            try:
                await asyncio.to_thread(self.reload)
            except ModelSourceError as error:
                logger.warning("the models stay as they are: %s", error)
