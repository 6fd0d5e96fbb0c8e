"""The lock of a registry on a server: taken in turn, freed after a kill, lost by whoever is silent for too long."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from croquis.registry.registry import Registry
from croquis.registry.server_lock import DONE, GIVEN_UP, HOLDER, STATE, WAITING, LockError, server_lock
from croquis.tracking.tracking_store import Store, open_store

LEASE, BEAT = 1.5, 0.2


def states(store: Store, model: str) -> list[str]:
    """Of all tickets, oldest first."""
    found = store.client.search_model_versions(f"name = '{model}.lock'")
    return [version.tags[STATE] for version in sorted(found, key=lambda version: int(version.version))]


def test_one_at_a_time_and_in_the_order_of_asking(store: Store) -> None:
    inside, entered = 0, []

    def work(name: int) -> None:
        nonlocal inside
        with server_lock(store.client, "in-turn") as held:
            inside += 1
            assert inside == 1
            held()
            entered.append(name)
            time.sleep(0.1)
            inside -= 1

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for number, thread in enumerate(threads):
        thread.start()
        while len(asked := store.client.search_registered_models("name = 'in-turn.lock'")) == 0 or (
            len(states(store, "in-turn")) <= number
        ):
            time.sleep(0.01)
    for thread in threads:
        thread.join()
    assert asked[0].description.startswith("Tickets of the processes")
    assert entered == [0, 1, 2, 3]
    assert states(store, "in-turn") == [DONE] * 4


def test_an_error_inside_gives_the_lock_back(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), server_lock(store.client, "error"):
        1 / 0  # noqa: B018
    with server_lock(store.client, "error", patience=5):
        assert states(store, "error") == [DONE, WAITING]


def hold(root: str, model: str, until: float) -> None:
    """Takes the lock, says so by a file, and keeps it."""
    with server_lock(open_store(Path(root)).client, model, LEASE, beat=BEAT):
        Path(root, f"{model}.held").touch()
        time.sleep(until)


@pytest.mark.slow
def test_a_killed_holder_blocks_for_the_lease_and_no_longer(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    model = "killed"
    holder = multiprocessing.get_context("spawn").Process(target=hold, args=(str(store.root), model, 600))
    holder.start()
    while not (store.root / f"{model}.held").exists():
        assert holder.is_alive()
        time.sleep(0.02)
    with (
        pytest.raises(LockError, match=rf"process {holder.pid} on .* has held killed.lock for 3 s"),
        server_lock(store.client, model, LEASE, patience=2 * LEASE, beat=BEAT),
    ):
        pass  # it lives: its signs of life keep the lock beyond the lease
    assert holder.pid is not None
    os.kill(holder.pid, signal.SIGKILL)
    holder.join()
    start = time.monotonic()
    with server_lock(store.client, model, LEASE, beat=BEAT) as held:
        held()
        assert time.monotonic() - start >= LEASE
    assert states(store, model) == [GIVEN_UP, DONE, DONE]
    assert f"process {holder.pid} on" in caplog.text


def test_whoever_is_silent_for_half_the_lease_may_change_nothing_more(store: Store) -> None:
    with server_lock(store.client, "silent", lease=0.6, beat=60) as held:
        held()
        time.sleep(0.4)
        with pytest.raises(LockError, match="was silent for 0 s, so that its lock may be lost: try again"):
            held()


def test_who_was_given_up_while_waiting_does_not_enter(store: Store) -> None:
    found: list[str] = []

    def wait() -> None:
        try:
            with server_lock(store.client, "gone"):
                found.append("entered")
        except LockError as error:
            found.append(str(error))

    with server_lock(store.client, "gone"):
        waiting = threading.Thread(target=wait)
        waiting.start()
        while states(store, "gone") != [WAITING] * 2:
            time.sleep(0.01)
        store.client.set_model_version_tag("gone.lock", "2", STATE, GIVEN_UP)
        store.client.create_model_version(
            "gone.lock", "croquis://lock/ticket", tags={STATE: WAITING, HOLDER: "another"}
        )
    waiting.join()
    assert found == ["this process was silent for 30 s and lost its turn: try again"]


def test_a_store_on_this_machine_needs_no_tickets(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with Registry(store, "here").lock() as held:
        held()
    assert not store.client.search_registered_models("name = 'here.lock'")
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", store.uri.replace("sqlite", "postgresql"))
    assert not store.registry_is_local
