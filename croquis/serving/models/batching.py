"""Micro-batching: queries that wait for a net are answered by one run of it together."""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import Future
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from croquis.search.bundle_nets import NetRun, Nets
from croquis.search.local_retriever import LocalRetriever
from croquis.serving.models.loaded_model import LoadedModel

Array = npt.NDArray[np.float32]


class Batcher:
    """Calls that come while a net runs are joined for its next run. A call that finds it idle does not wait for others.

    Args:
        run: maps (B, ...) to (B, ...), row for row.
        most: calls that one run answers.
    """

    def __init__(self, run: NetRun, most: int) -> None:
        self._run = run
        self._most = most
        self._turn = threading.Lock()
        self._waiting: deque[tuple[Array, Future[Array]]] = deque()

    def __call__(self, images: Array) -> Array:
        """What `run` makes of `images`, or what it raises."""
        mine: Future[Array] = Future()
        self._waiting.append((images, mine))
        while not mine.done():
            with self._turn:
                if not mine.done():
                    self._run_next()
        return mine.result()

    def _run_next(self) -> None:
        calls = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
        try:
            answers = self._run(np.concatenate([images for images, _ in calls]))
            ends = np.cumsum([len(images) for images, _ in calls])
            for (_, future), answer in zip(calls, np.split(answers, ends[:-1]), strict=True):
                future.set_result(answer)
        except Exception as error:
            for _, future in calls:
                future.set_exception(error)


def batched(model: LoadedModel, most: int) -> LoadedModel:
    """`model`, whose nets answer up to `most` queries in one run where that is over 1."""
    if most == 1:
        return model
    single = model.retriever
    nets = Nets(single.bundle, lambda run: Batcher(run, most))
    return replace(model, retriever=LocalRetriever(nets, single.gallery, single.rerank))
