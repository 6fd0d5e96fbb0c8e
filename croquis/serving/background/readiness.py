"""Whether the server can answer, found out within a second whatever hangs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import Future

from croquis.search.gallery import SearchedGallery
from croquis.serving.answers.answer_models import Status
from croquis.serving.answers.problems import Problem
from croquis.serving.background.timed_calls import CallLimitError, TimedCalls
from croquis.serving.background.watched_task import RUNNING, WatchedTask, iso, one_line
from croquis.serving.models.served_models import ServedModels

PROBE_SECONDS = 0.7  # for the answer of a store
PROBES = 8  # of galleries that are gone and whose stores still have not answered, too


class Readiness:
    """The state of a server's parts.

    Of each store one question is under way at a time: a later asker waits for the same answer.

    Args:
        fleet: the models.
        tasks: of the background.
    """

    def __init__(self, fleet: ServedModels, tasks: Sequence[WatchedTask]) -> None:
        self._fleet = fleet
        self._tasks = tasks
        self._calls = TimedCalls("question to a store", PROBES)
        self._asked: dict[SearchedGallery, Future[None]] = {}
        self._silent: dict[SearchedGallery, float] = {}  # since when, in seconds since 1970

    async def status(self) -> Status:
        """What /readyz answers.

        Raises:
            Problem: 503, naming each store that does not answer, why, and since when.
        """
        models = self._fleet.models()
        galleries = {model.retriever.gallery: label for label, model in models.items()}
        reasons = await asyncio.gather(*map(self._trouble, galleries))
        found = {gallery: reason for gallery, reason in zip(galleries, reasons, strict=True) if reason}
        now = time.time()
        self._silent = {gallery: self._silent.get(gallery, now) for gallery in found}
        self._asked = {gallery: asked for gallery, asked in self._asked.items() if gallery in galleries}
        if found:
            told = (
                f"the store {gallery.store} of {galleries[gallery]} does not answer since {iso(self._silent[gallery])}: "
                f"{reason}"
                for gallery, reason in found.items()
            )
            raise Problem(503, "store-unavailable", "; ".join(told), headers={"Retry-After": "5"})
        stores = {label: name for label, model in models.items() if (name := model.identity.store)}
        tasks = [state for task in self._tasks if (state := task.state()).state != RUNNING]
        return Status(status="ready", stores=stores or None, stale=self._fleet.stale, tasks=tasks or None)

    async def _trouble(self, gallery: SearchedGallery) -> str | None:
        """Why a gallery cannot be searched now; None when it can."""
        if gallery.store is None:
            return None
        try:
            asked = self._asked.get(gallery)
            if asked is None or asked.done():
                asked = self._asked[gallery] = self._calls.start(gallery.ping)
            await asyncio.wait_for(asyncio.wrap_future(asked), PROBE_SECONDS)
        except TimeoutError:
            return f"no answer within {PROBE_SECONDS:g} s"
        except CallLimitError as error:
            return str(error)
        except Exception as error:  # whatever an engine raises
            return one_line(error)
        return None
