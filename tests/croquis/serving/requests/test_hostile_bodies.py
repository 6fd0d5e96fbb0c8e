"""A few thousand malformed bodies against a real server: no fault of ours, bounded memory, right answers after them."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from croquis.search.local_retriever import LocalRetriever
from croquis.serving.client import Client
from croquis.serving.server_settings import Limits
from tests.support.serving.hostile_bodies import FORM, Body, form, hostile_bodies, largest_pictures
from tests.support.serving.server_process import server_process
from tests.support.tiny_retriever import photo

CORPUS = 2400
EXPECTED = {200, 413, 415, 422}
MOST_MEMORY = 1_000_000_000

pytestmark = pytest.mark.slow


def post(http: httpx.Client, body: Body) -> int:
    return http.post("/search", content=body.content, headers={"content-type": body.media}).status_code


def test_hostile_bodies_are_answered_and_do_no_harm(bundle: Path, retriever: LocalRetriever, tmp_path: Path) -> None:
    with server_process(tmp_path, "--bundle", str(bundle), "--threads", "2") as server:
        with httpx.Client(base_url=server.address, timeout=60, trust_env=False) as http:
            with ThreadPoolExecutor(4) as pool:
                statuses = Counter(pool.map(lambda body: post(http, body), hostile_bodies(CORPUS)))
            assert statuses.total() == CORPUS
            assert set(statuses) <= EXPECTED, statuses
            assert statuses[422] > CORPUS / 4  # it is a hostile corpus
            assert server.process.poll() is None
            assert server.peak_bytes < MOST_MEMORY
        with Client(server.address) as client:
            answer = client.search(photo("blue-05"), k=5)
        hits = retriever.search(photo("blue-05"), k=5)
        assert [(hit.image_id, hit.score) for hit in answer.results] == [(hit.image_id, hit.score) for hit in hits]


def test_the_largest_pictures_together_fit_into_memory(bundle: Path, tmp_path: Path) -> None:
    bodies = [Body(FORM, form(image)) for image in largest_pictures(Limits().pixels)]
    with server_process(tmp_path, "--bundle", str(bundle), "--threads", "2") as server:
        http = httpx.Client(base_url=server.address, timeout=120, trust_env=False)
        with http, ThreadPoolExecutor(8) as pool:
            statuses = list(pool.map(lambda body: post(http, body), bodies * 2))
        assert statuses == [200] * len(bodies) * 2
        assert server.peak_bytes < MOST_MEMORY, server.peak_bytes
        print(f"peak memory: {server.peak_bytes / 1e6:.0f} MB")
