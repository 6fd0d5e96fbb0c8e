"""The server as a process: what it imports, how it ends, and what it says when it cannot start."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from croquis.cli import main
from croquis.search.local_retriever import LocalRetriever
from croquis.serving.client import Client
from tests.support.environment import OUTSIDE
from tests.support.registry.evaluated_project import MODEL, begun_project
from tests.support.serving.live_server import as_file
from tests.support.serving.server_process import HEAVY, server_process
from tests.support.tiny_retriever import photo

pytestmark = pytest.mark.slow


def test_a_bundle_is_served_without_torch_and_without_mlflow(bundle: Path, tmp_path: Path) -> None:
    with server_process(tmp_path, "--bundle", str(bundle)) as server:
        with Client(server.address) as client:
            assert client.search(photo(), k=3, rerank=True).results[0].image_id == "red-00"
            assert client.similar("item-red-0").results
        server.end()
        assert {"faiss", "onnxruntime", "uvicorn"} <= server.modules
        assert not (HEAVY | {"mlflow", "croquis.tracking", "croquis.params", "stages"}) & server.modules


def test_make_serve_answers_with_the_champion(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    root = begun_project(tmp_path_factory)
    outside = dict.fromkeys(OUTSIDE, "")
    with server_process(tmp_path, cwd=root, **outside) as server:
        with Client(server.address) as client:
            (model,) = client.version().models
            assert (model.name, model.version, model.label) == (MODEL, "1", "champion")
            hits = LocalRetriever.load(root / "models/bundles/siamese").similar("test-0/back", 3)
            answer = client.similar("test-0", image_id="test-0/back")
            assert answer.results[0].image_id in {hit.image_id for hit in hits}
        server.end()
        assert "mlflow" in server.modules
        assert not HEAVY & server.modules


def accepted(address: str) -> float:
    """Searches that wait, run or are answered."""
    counted = ("croquis_queue_waiting", "croquis_queue_running", 'croquis_requests_total{method="POST"')
    lines = httpx.get(f"{address}/metrics", trust_env=False).text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(counted))


def test_a_request_that_has_begun_is_answered_before_the_end(bundle: Path, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (1500, 1500, 3), dtype=np.uint8)
    large = as_file(Image.fromarray(pixels))
    answers: list[int] = []

    def ask(address: str) -> None:
        with Client(address, timeout=60) as client:
            answers.append(len(client.search(large, k=2).results))

    with server_process(tmp_path, "--bundle", str(bundle), "--threads", "1") as server:
        threads = [threading.Thread(target=ask, args=(server.address,)) for _ in range(6)]
        for thread in threads:
            thread.start()
        while accepted(server.address) < len(threads):
            time.sleep(0.005)
        server.end()
        for thread in threads:
            thread.join()
    assert answers == [2] * 6


def test_options_that_cannot_be_used_end_with_a_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for arguments, code, words in (
        (["--bundle", str(tmp_path)], 1, "is not a bundle: it has no manifest"),
        (["--model", "nonsense"], 1, "'nonsense' is no model: write models:/NAME@ALIAS"),
        ([], 1, "params.yaml does not exist"),
        (["--bundle", "a", "--model", "b"], 2, "give only one of --model and --bundle"),
        (["--bundle", "a", "--threads", "0"], 2, "threads = 0, must be at least 1"),
        (["--bundle", "a", "--also-bundle", "b/x", "--also-bundle", "c/x"], 2, "each must be there once"),
    ):
        assert main(["serve", *arguments], tmp_path) == code
        assert words in capsys.readouterr().err
    monkeypatch.setenv("CROQUIS_ADMIN_TOKEN", "short")
    assert main(["serve", "--bundle", str(tmp_path)]) == 2
    assert "CROQUIS_ADMIN_TOKEN is shorter than 16" in capsys.readouterr().err
