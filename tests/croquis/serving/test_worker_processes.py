"""Several processes on one port: sums of their counts, a reload of all, another one for one that is killed, one end."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import httpx
import pytest

from croquis.cli import main
from croquis.serving.client import Client
from croquis.serving.command import settings_of, worker_count
from croquis.serving.server_settings import ServeOptions, SettingsError
from tests.support.serving.live_server import wait_for
from tests.support.serving.server_process import server_process
from tests.support.tiny_retriever import photo, write_tiny_bundle

TOKEN = "a-token-of-this-test"


def children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.slow
def test_processes_answer_as_one_server(tmp_path: Path) -> None:
    first, second = (
        write_tiny_bundle(tmp_path / "first"),
        write_tiny_bundle(tmp_path / "second", image_size=16, method="b"),
    )
    link = tmp_path / "served"
    link.symlink_to(first)
    arguments = ("--bundle", str(link), "--workers", "2")
    with server_process(tmp_path, *arguments, CROQUIS_ADMIN_TOKEN=TOKEN) as server:

        def ask() -> str:
            with Client(server.address) as client:
                return client.search(photo(), k=1).model.name

        def count(sample: str) -> float:
            text = httpx.get(f"{server.address}/metrics", trust_env=False).text
            return sum(map(float, re.findall(rf"^{sample}.* (\S+)$", text, re.MULTILINE)))

        assert [ask() for _ in range(8)] == ["siamese"] * 8
        assert count('croquis_requests_total{method="POST"') == 8
        link.with_name("next").symlink_to(second)
        link.with_name("next").replace(link)
        httpx.post(f"{server.address}/admin/reload", headers={"Authorization": f"Bearer {TOKEN}"}, trust_env=False)
        wait_for(lambda: count('croquis_model_info.*name="siamese"') == 0)
        assert {ask() for _ in range(8)} == {"b"}

        killed = children(server.process.pid)[0]
        os.kill(killed, signal.SIGKILL)
        wait_for(lambda: len(set(children(server.process.pid)) - {killed}) == 2)
        assert {ask() for _ in range(4)} == {"b"}
        server.end()
        assert not Path(f"/proc/{server.process.pid}").exists()


def test_what_belongs_to_one_process_is_in_one(tmp_path: Path) -> None:
    for options in (
        {"changes": tmp_path},
        {"rate": 1.0},
        {"store": "faiss:x"},
        {"store": "faiss:x", "ingest": "nats://x"},
    ):
        assert worker_count(ServeOptions(**options)) == 1
        with pytest.raises(SettingsError, match="one process keeps what belongs to it: leave out --workers"):
            worker_count(ServeOptions(workers=2, **options))
    assert worker_count(ServeOptions()) == os.cpu_count()
    assert worker_count(ServeOptions(store="milvus:http://x", workers=3)) == 3
    assert settings_of(ServeOptions(workers=64)).threads == 2
    with pytest.raises(SettingsError, match="workers = 0, must be at least 1"):
        worker_count(ServeOptions(workers=0))


def test_a_bundle_that_cannot_be_loaded_ends_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "manifest.json").write_text("{")
    assert main(["serve", "--bundle", str(tmp_path), "--workers", "2", "--port", "0"], tmp_path) == 1
    assert "is not JSON" in capsys.readouterr().err
