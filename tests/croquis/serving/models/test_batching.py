"""Queries that come together are answered by one run of a net, each with its own answer."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from croquis.search.local_retriever import LocalRetriever
from croquis.serving.command import settings_of
from croquis.serving.models.batching import Batcher, batched
from croquis.serving.models.loaded_model import load_model
from croquis.serving.server_settings import ServeOptions, Settings
from tests.support.serving.live_server import Serve
from tests.support.tiny_retriever import gallery_rows, photo, picture_of


class Net:
    """Doubles its input; holds the first run until it is let go, and notes how many rows each run had."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.begun, self.let_go = threading.Event(), threading.Event()

    def __call__(self, images: np.ndarray) -> np.ndarray:
        self.sizes.append(len(images))
        self.begun.set()
        assert self.let_go.wait(60)
        if (images < 0).any():
            raise ValueError("a negative picture")
        return 2 * images


def asked_together(net: Net, batcher: Batcher, batches: list[np.ndarray]) -> list[np.ndarray | BaseException]:
    """The answers to `batches`: the first call runs alone, the others come while it runs."""
    with ThreadPoolExecutor(len(batches)) as pool:
        calls = [pool.submit(batcher, batches[0])]
        assert net.begun.wait(60)
        calls += [pool.submit(batcher, batch) for batch in batches[1:]]
        while len(batcher._waiting) < len(batches) - 1:
            threading.Event().wait(0.002)
        net.let_go.set()
        return [call.exception() or call.result() for call in calls]


def test_what_waits_runs_together_and_each_gets_its_own() -> None:
    net = Net()
    batches = [np.full((1 + number % 2, 3), number, dtype=np.float32) for number in range(7)]
    answers = asked_together(net, Batcher(net, 4), batches)
    for batch, answer in zip(batches, answers, strict=True):
        np.testing.assert_array_equal(answer, 2 * batch)
    assert len(net.sizes) == 3  # one alone, four together, the last two
    assert sum(net.sizes) == sum(map(len, batches))


def test_a_fault_is_told_to_all_who_were_in_that_run() -> None:
    net = Net()
    good, bad = np.ones((1, 2), dtype=np.float32), -np.ones((1, 2), dtype=np.float32)
    answers = asked_together(net, Batcher(net, 2), [good, bad, good, good])
    assert sum(isinstance(answer, ValueError) for answer in answers) in (1, 2)
    np.testing.assert_array_equal(answers[0], 2 * good)


def test_a_lone_call_does_not_wait() -> None:
    net = Net()
    net.let_go.set()
    batcher = Batcher(net, 8)
    for number in range(3):
        batcher(np.full((1, 2), number, dtype=np.float32))
    assert net.sizes == [1, 1, 1]


def test_a_batched_model_answers_like_a_single_one(bundle: Path, retriever: LocalRetriever) -> None:
    model = batched(load_model(bundle), 4)
    ids = [row["image_id"] for row in gallery_rows()]

    def ask(searched: LocalRetriever, image_id: str) -> list[tuple[str, float, tuple[str, ...]]]:
        mode = ("photo", "sketch")[len(image_id) % 2]
        hits = searched.search(picture_of(image_id), k=5, mode=mode, rerank=True)
        return [(hit.image_id, round(hit.score, 6), hit.shared_attributes) for hit in hits]

    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda image_id: ask(model.retriever, image_id), ids))
    assert together == [ask(retriever, image_id) for image_id in ids]


def test_the_server_takes_the_option(serve: Serve) -> None:
    client = serve(Settings(threads=8, batch=8))
    with ThreadPoolExecutor(8) as pool:
        found = list(
            pool.map(lambda _: client.post("/search", files={"image": photo()}, data={"k": 1}).json(), range(24))
        )
    assert {answer["results"][0]["image_id"] for answer in found} == {"red-00"}
    assert settings_of(ServeOptions(batch=64)).threads == 64
    assert settings_of(ServeOptions(batch=4, threads=2)).threads == 2
    with pytest.raises(ValueError, match="batch = 0, must be at least 1"):
        settings_of(ServeOptions(batch=0))
