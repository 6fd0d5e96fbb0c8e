"""kill -9 at random moments while the catalogue changes: what was acknowledged is there, nothing is there by half."""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path

import httpx
import pytest

from croquis.serving.client import Client
from tests.support.serving.forked_servers import ForkedServers
from tests.support.serving.live_server import TOKEN, picture
from tests.support.serving.product_states import ITEMS, State

KILLS = 20
MOST_ANSWERS = 6  # that a server gives before it is killed, in the midst of the next change or the one after it
LONGEST_PAUSE = 0.05  # seconds between the last of them and the kill
PATIENCE = 120

pytestmark = pytest.mark.slow


class Changing(threading.Thread):
    """Sends changes until the server dies, and notes what was acknowledged and what was under way."""

    def __init__(self, address: str, rng: random.Random, first: int, states: dict[str, State]) -> None:
        super().__init__()
        self._answers = threading.Semaphore(0)
        self.sent, self.unanswered = first, None
        self._address, self._rng, self._states = address, rng, states
        self.start()

    def run(self) -> None:
        with Client(self._address, admin_token=TOKEN) as client:
            while True:
                self.unanswered = State.drawn(self._rng, self.sent + 1)
                self.sent += 1
                try:
                    self.unanswered.apply(client)
                except httpx.TransportError:
                    return
                self._states[self.unanswered.item_id] = self.unanswered
                self._answers.release()

    def wait_for(self, answers: int) -> None:
        for _ in range(answers):
            assert self._answers.acquire(timeout=PATIENCE), f"no answer to {self.unanswered}"


def settle(client: Client, states: dict[str, State], unanswered: State | None) -> None:
    """Finds every acknowledged state, or in the place of one the change that got no answer; notes which."""
    for item_id, state in states.items():
        if unanswered is not None and unanswered.item_id == item_id and unanswered.is_there(client):
            states[item_id] = unanswered
        else:
            assert state.is_there(client), f"change {state.number} of {item_id} was acknowledged and is not there"
    for state in states.values():
        for each in state.pictures or ():
            assert client.search(each, k=1, describe=False).results[0].item_id == state.item_id
    deleted = {item_id for item_id, state in states.items() if state.pictures is None}
    assert not deleted & {hit.item_id for hit in client.search(picture(0), k=100, describe=False).results}


def test_what_was_acknowledged_survives_kill_9(bundle: Path, tmp_path: Path) -> None:
    changes, moments, sent = random.Random(7), random.Random(8), 0
    states = {item_id: State(item_id, 0, None) for item_id in ITEMS if item_id.startswith("new")}
    unanswered: State | None = None
    arguments = ("--bundle", str(bundle), "--changes", str(tmp_path / "changes"))
    with ForkedServers(tmp_path / "log", CROQUIS_ADMIN_TOKEN=TOKEN) as servers:
        for _ in range(KILLS):
            address = servers.start(*arguments)
            with Client(address) as client:
                settle(client, states, unanswered)
            changing = Changing(address, changes, sent, states)
            changing.wait_for(moments.randint(0, MOST_ANSWERS))
            time.sleep(moments.uniform(0, LONGEST_PAUSE))
            servers.kill()
            changing.join()
            sent, unanswered = changing.sent, changing.unanswered
        with Client(servers.start(*arguments)) as client:
            settle(client, states, unanswered)
    assert set(states) == set(ITEMS)
    assert all(state.number for state in states.values())
