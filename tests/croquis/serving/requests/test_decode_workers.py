"""Pictures in processes of their own: the same pixels and errors, and an end to those that take too long."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from croquis.catalog.images import CostlyImageError, DamagedImageError, DecodeLimits, ImageError, decode_image
from croquis.serving.requests.decode_workers import DecodeWorkers
from croquis.serving.requests.decoding import PictureDecoder
from croquis.serving.server_settings import Limits
from tests.support.costly_pictures import REFUSED, encoded, scans, tiny

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


def test_a_process_that_was_killed_is_replaced(made: Made) -> None:
    workers = made()
    pixels(workers, tiny("JPEG"))
    worker = workers._free.queue[0]
    assert worker._process is not None
    os.kill(worker._process.pid, signal.SIGKILL)
    worker._process.wait()
    assert pixels(workers, tiny("JPEG")).shape == (16, 16, 3)


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
    def decoded(data: bytes, _: DecodeLimits) -> Iterator[np.ndarray]:
        asked.append(data)
        yield np.zeros((1, 1, 3), dtype=np.uint8)

    monkeypatch.setattr(decoder._workers, "decoded", decoded)
    with decoder.picture(data, None):
        assert (not asked) is is_small


def test_processes_are_started_before_they_are_needed(made: Made) -> None:
    workers = made()
    workers.start()
    started = workers._free.queue[0]._process
    assert started is not None
    assert pixels(workers, tiny("JPEG")).shape == (16, 16, 3)
    assert workers._free.queue[0]._process is started


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
    assert "are read; save it anew" in answer.json()["detail"]
