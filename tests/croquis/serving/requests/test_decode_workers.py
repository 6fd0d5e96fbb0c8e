"""Pictures in processes of their own: the same pixels and errors, and an end to those that take too long."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from croquis.catalog import decode_process
from croquis.catalog.decode_workers import DecodeWorkers
from croquis.catalog.images import CostlyImageError, DamagedImageError, DecodeLimits, ImageError, decode_image
from croquis.endings import FORCED
from croquis.serving.background import watched_task
from croquis.serving.requests import decoding
from croquis.serving.requests.decoding import PictureDecoder
from croquis.serving.server_settings import Limits, Settings
from tests.support.costly_pictures import REFUSED, encoded, scans, tiny
from tests.support.environment import REPOSITORY
from tests.support.serving.live_server import Serve, wait_for

LIMITS = DecodeLimits(10_000_000, 12_500_000)
LARGE = encoded(Image.linear_gradient("L").resize((3000, 3000)), "JPEG")
Made = Callable[..., DecodeWorkers]


@pytest.fixture
def made() -> Iterator[Made]:
    """Workers that are ended after the test."""
    kept: list[DecodeWorkers] = []

    def make(seconds: float = 60, memory: int = 1_000_000_000) -> DecodeWorkers:
        kept.append(DecodeWorkers(1, seconds, memory))
        return kept[-1]

    yield make
    for workers in kept:
        workers.close()


def pixels(workers: DecodeWorkers, data: bytes) -> np.ndarray:
    with workers.decoded(data, LIMITS) as image:
        return image


@pytest.mark.slow
def test_pixels_and_errors_are_those_of_this_process(made: Made) -> None:
    workers = made()
    np.testing.assert_array_equal(pixels(workers, tiny("PNG")), decode_image(tiny("PNG")))
    for data in (b"", b"no picture", tiny("PNG")[:60], REFUSED["scans of a JPEG"]):
        with pytest.raises(ImageError) as here:
            decode_image(data, LIMITS)
        with pytest.raises(type(here.value)) as there:
            pixels(workers, data)
        assert str(there.value) == str(here.value)
    assert pixels(workers, LARGE).flags.writeable


@pytest.mark.slow
def test_a_picture_that_takes_too_long_ends_with_its_process(made: Made) -> None:
    workers = made(seconds=0.02)
    for _ in range(2):
        with pytest.raises(CostlyImageError, match=r"more than 0\.02 s to decode"):
            pixels(workers, LARGE)


def test_a_picture_that_takes_too_much_memory_is_refused_and_the_next_is_read(made: Made) -> None:
    workers = made(memory=20_000_000)
    with pytest.raises(CostlyImageError, match="more memory"):
        pixels(workers, LARGE)
    assert pixels(workers, tiny("JPEG")).shape == (16, 16, 3)


@pytest.mark.slow
def test_a_process_that_was_killed_is_replaced(made: Made) -> None:
    workers = made()
    pixels(workers, tiny("JPEG"))
    worker = workers._free.queue[0]
    assert worker._process is not None
    os.kill(worker._process.pid, signal.SIGKILL)
    worker._process.wait()
    assert pixels(workers, tiny("JPEG")).shape == (16, 16, 3)


@pytest.mark.slow
def test_a_process_that_ends_within_a_picture_is_told(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    workers = made()
    pixels(workers, tiny("JPEG"))
    worker = workers._free.queue[0]
    monkeypatch.setattr(worker._process, "poll", lambda: None)  # as if it ended just after this look
    os.kill(worker._process.pid, signal.SIGKILL)
    with pytest.raises(DamagedImageError, match="ended"):
        pixels(workers, tiny("JPEG"))
    assert pixels(workers, tiny("JPEG")).shape == (16, 16, 3)


@pytest.mark.parametrize(
    ("data", "is_small"),
    [
        (tiny("JPEG"), True),
        (encoded(Image.new("RGB", (1000, 1000)), "JPEG", progressive=True), True),
        (encoded(Image.new("RGB", (1500, 1400)), "JPEG"), False),
        (scans(100, side=400), False),
        (encoded(Image.new("RGB", (900, 900)), "WEBP", lossless=True), False),
        (tiny("JPEG") + bytes(2_000_000), False),
    ],
)
def test_only_what_is_cheap_for_certain_is_decoded_in_the_server(
    data: bytes, is_small: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoder = PictureDecoder(Limits())
    asked: list[bytes] = []

    @contextlib.contextmanager
    def decoded(data: bytes, *_: object) -> Iterator[np.ndarray]:
        asked.append(data)
        yield np.zeros((1, 1, 3), dtype=np.uint8)

    monkeypatch.setattr(decoder._workers, "decoded", decoded)
    with decoder.picture(data, None):
        assert (not asked) is is_small


@pytest.mark.slow
def test_processes_are_started_before_they_are_needed_and_again_when_they_ended(made: Made) -> None:
    workers = made()
    for _ in range(2):
        workers.start()
        started = workers._free.queue[0]._process
        assert started is not None
        assert pixels(workers, tiny("JPEG")).shape == (16, 16, 3)
        workers.start()
        assert workers._free.queue[0]._process is started
        started.kill()
        started.wait()


@pytest.mark.slow
def test_what_was_closed_can_be_closed_again_and_starts_anew(made: Made) -> None:
    workers = made()
    workers.start()
    workers.close()
    workers.close()
    assert pixels(workers, tiny("JPEG")).shape == (16, 16, 3)


@pytest.mark.slow
def test_readyz_tells_of_processes_that_do_not_start(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(watched_task, "LONGEST_PAUSE", 0.05)
    workers = DecodeWorkers(2, 60, 1_000_000_000)
    monkeypatch.setattr(decoding, "DecodeWorkers", lambda *_: workers)
    client = serve(Settings(threads=2, start_decoders=True))
    wait_for(lambda: all(worker._process for worker in list(workers._free.queue)) and workers._free.qsize() == 2)
    assert client.get("/readyz").json() == {"status": "ready"}
    with monkeypatch.context() as patch:
        running = [worker._process for worker in list(workers._free.queue)]
        patch.setattr(decode_process, "READY", b"")  # less than what a process says
        for process in running:
            assert process is not None
            process.kill()
        wait_for(lambda: "tasks" in client.get("/readyz").json())
        (task,) = client.get("/readyz").json()["tasks"]
        assert (task["name"], task["state"]) == ("decoders", "failing")
        assert task["reason"] == "the process that decodes large pictures does not start"
        assert client.post("/search", files={"image": ("a", tiny("PNG"))}).status_code == 200
    wait_for(lambda: client.get("/readyz").json() == {"status": "ready"})
    assert client.post("/search", files={"image": ("a", LARGE)}).status_code == 200


LEAVES = """
import sys, threading
from croquis.catalog.images import DecodeLimits
from croquis.endings import end_within
from croquis.catalog.decode_workers import DecodeWorkers
from tests.support.costly_pictures import scans

workers = DecodeWorkers(2, 60, 10**9)
workers.start()
print(*(worker._process.pid for worker in workers._free.queue), flush=True)
end_within(0.3)
with workers.decoded(scans(100, side=2000), DecodeLimits(10**9, 10**9)):
    pass
threading.Event().wait()
"""


@pytest.mark.slow
def test_a_forced_end_leaves_no_process() -> None:
    """One that waits ends with its input, one that decodes with its picture, or with the time of that."""
    done = subprocess.run([sys.executable, "-c", LEAVES], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert (done.returncode, "ended by force" in done.stderr) == (FORCED, True), done.stderr
    left = [Path(f"/proc/{pid}") for pid in done.stdout.split()]
    assert len(left) == 2
    wait_for(lambda: not any(place.exists() for place in left))


@pytest.mark.slow
def test_a_process_ends_by_itself_when_a_picture_takes_too_long_and_nobody_kills_it() -> None:
    asked = f"from {decode_process.__name__} import main; main(10**9, {0.05 - decode_process.LATER})"
    command = [sys.executable, "-c", asked]
    with subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        decode_process.read(process.stdout, 5)
        with pytest.raises(EOFError):
            decode_process.ask((process.stdout, process.stdin), scans(100, side=2000), DecodeLimits(10**9, 10**9))
    assert process.returncode == -signal.SIGALRM


def test_a_worker_knows_no_secret(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROQUIS_ADMIN_TOKEN", "a-token-that-nobody-knows")
    workers = made()
    workers.start()
    process = workers._free.queue[0]._process
    assert process is not None
    assert b"a-token-that-nobody-knows" not in Path(f"/proc/{process.pid}/environ").read_bytes()


@pytest.mark.parametrize("name", ["scans of a JPEG", "texts of a PNG", "comments of a GIF", "runs of a BMP"])
def test_the_server_answers_a_costly_picture_with_422_and_the_reason(client: TestClient, name: str) -> None:
    answer = client.post("/search", files={"image": ("a", REFUSED[name])})
    assert (answer.status_code, answer.json()["field"]) == (422, "image")
    assert "are read; save it again" in answer.json()["detail"]
