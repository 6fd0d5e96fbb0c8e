"""Micro-batching: queries that wait for a net are answered by one run of it together."""

from __future__ import annotations

import copy
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from croquis.bundle import Bundle
from croquis.nets.classifier import AttributeClassifier
from croquis.nets.encoder import Encoder
from croquis.nets.generator import Generator
from croquis.serving.models.loaded_model import LoadedModel

Array = npt.NDArray[np.float32]
T = TypeVar("T")


class Batcher:
    """Calls that come while a net runs are joined for its next run. A call that finds it idle does not wait for others.

    Args:
        run: maps (B, ...) to (B, ...), row for row.
        most: calls that one run answers.
    """

    def __init__(self, run: Callable[[Array], Array], most: int) -> None:
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


class BatchedBundle(Bundle):
    """A bundle whose nets answer up to `most` queries in one run."""

    def __init__(self, base: Bundle, most: int) -> None:
        super().__init__(base.folder, base.manifest, base.threads)
        self._joined_encoder = _joined(base.encoder, "encode", most)
        self._joined_generator = _joined(base.generator, "generate", most)
        self._joined_classifier = _joined(base.classifier, "probabilities", most)

    @property
    def encoder(self) -> Encoder:
        return self._joined_encoder

    @property
    def generator(self) -> Generator | None:
        return self._joined_generator

    @property
    def classifier(self) -> AttributeClassifier | None:
        return self._joined_classifier


def batched(model: LoadedModel, most: int) -> LoadedModel:
    """`model` with joined runs where `most` is over 1."""
    if most == 1:
        return model
    joined = BatchedBundle(model.retriever.bundle, most)
    return replace(model, retriever=model.retriever.with_nets_of(joined))


def _joined(part: T, method: str, most: int) -> T:
    """A copy of `part`, whose method runs the calls of several threads together; None stays None."""
    if part is None:
        return part
    joined: Any = copy.copy(part)
    setattr(joined, method, Batcher(getattr(part, method), most))
    return joined  # type: ignore[no-any-return]
