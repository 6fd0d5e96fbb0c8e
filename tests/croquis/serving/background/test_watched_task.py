"""Tasks that die, return, stall and recover."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import pytest

from croquis.serving.background import watched_task
from croquis.serving.background.watched_task import WatchedTask
from croquis.serving.limits.http_meter import Meter
from tests.support.serving.live_server import wait_for


class Fatal(BaseException):
    """As extension modules raise it."""


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watched_task, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(watched_task, "LONGEST_PAUSE", 0.02)


def task_of(work: Callable[[WatchedTask], None], patience: float = 60) -> tuple[WatchedTask, Meter]:
    meter = Meter()
    return WatchedTask("watch", work, meter, patience, finishes=True), meter


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RuntimeError("http://ann:secret@host failed\nand more"), "http://host failed"),
        (ValueError(), "ValueError"),
        (Fatal("of an extension"), "of an extension"),
        (None, "it returned"),
    ],
)
def test_an_end_is_logged_counted_shown_and_followed_by_another_start(
    error: BaseException | None, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    starts, well = [], threading.Event()

    def work(task: WatchedTask) -> None:
        starts.append(1)
        if len(starts) <= 2 and error is not None:
            raise error
        if len(starts) > 2:
            well.wait()
            task.well()
            task.ending.wait()

    task, meter = task_of(work)
    with caplog.at_level(logging.INFO):
        task.start()
        wait_for(lambda: len(starts) == 3)
        state = task.state()
        assert (state.state, state.reason) == ("failing", reason)
        assert b'croquis_task_running{task="watch"} 0.0' in meter.text()
        well.set()
        wait_for(lambda: task.state().state == "running")
        assert task.state().reason is None
        task.stop()
    assert b'croquis_task_ends_total{task="watch"} 2.0' in meter.text()
    assert b'croquis_task_running{task="watch"} 1.0' in meter.text()
    lines = [record.message for record in caplog.records]
    assert [line for line in lines if line.startswith(f"watch ended: {reason}; it is started again in 0.0")] == lines[
        :2
    ]
    assert lines[2:] == ["watch works again"]


def test_trouble_is_dated_by_its_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    task, _ = task_of(lambda _: None)
    for seconds, reason in ((100.0, "first"), (200.0, "second")):
        monkeypatch.setattr(watched_task.time, "time", lambda seconds=seconds: seconds)
        task.trouble(reason)
    state = task.state()
    assert (state.since, state.reason) == ("1970-01-01T00:01:40Z", "second")


def test_a_task_without_progress_is_stalled() -> None:
    task, meter = task_of(lambda _: None, patience=-1)
    assert (task.state().state, task.state().reason) == ("stalled", "no progress since then")
    assert b'croquis_task_running{task="watch"} 0.0' in meter.text()


def test_pauses_grow_to_a_limit_and_are_short_again_after_success(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watched_task, "LONGEST_PAUSE", 0.04)
    starts: list[int] = []

    def work(task: WatchedTask) -> None:
        starts.append(1)
        if len(starts) == 5:
            task.well()
        if len(starts) == 6:
            task.ending.set()
        raise OSError("away")

    task, _ = task_of(work)
    logged: list[float] = []
    monkeypatch.setattr(watched_task.logger, "error", lambda _, __, ___, pause: logged.append(pause))
    task.start()
    wait_for(lambda: task.ending.is_set())
    task.stop()
    assert logged == [0.01, 0.02, 0.04, 0.04, 0.01]
