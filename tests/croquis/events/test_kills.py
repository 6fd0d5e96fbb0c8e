"""Kill -9 of consumers and trouble of the broker, over the wire: no event is lost, none is in a store twice."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from croquis.search.local_retriever import LocalRetriever
from croquis.store.versions import open_stores
from tests.support.engine_servers import broker_server, running
from tests.support.events.event_plan import compare, faultless, plan
from tests.support.events.kill_campaign import IDLE, Campaign, Consumer, dead_letters, send
from tests.support.tiny_retriever import write_tiny_bundle

pytestmark = [pytest.mark.scale, pytest.mark.slow]


@pytest.fixture(scope="module")
def retriever(tmp_path_factory: pytest.TempPathFactory) -> LocalRetriever:
    return LocalRetriever.load(write_tiny_bundle(tmp_path_factory.mktemp("kills") / "bundle"))


@pytest.mark.parametrize(("kind", "kills"), [("nats", 3), ("tansu", 2)])
def test_nothing_is_lost_or_doubled_under_kill_9(
    retriever: LocalRetriever, tmp_path: Path, kind: str, kills: int
) -> None:
    """The small form of `python -m tests.support.events.kill_campaign`."""
    made = plan(480, bad=0.03, disorder=0.05, seed=3)
    assert len(made.bad) > 3
    campaign = Campaign(
        retriever.bundle.folder, Path("params.yaml"), kills, troubles=1, longest=0.3, batch=16, redeliver=8.0, seed=3
    )
    figures = campaign.run(made, kind, tmp_path, f"faiss:{tmp_path / 'store'}")
    assert faultless(figures), figures
    assert figures["dead_letters"] >= figures["bad"]


def test_a_group_shares_out_its_partitions_anew(retriever: LocalRetriever, tmp_path: Path) -> None:
    """One joins while another works, one is killed with -9, one comes instead; each keeps a store of its own.

    A product's events share a partition, so that of the stores the one with the newest version must be right.
    """
    made = plan(480, bad=0.03, disorder=0.05, seed=5)
    parts = [made.bodies[start : start + 120] for start in range(0, 480, 120)]
    uris = [f"faiss:{tmp_path / name}" for name in ("first", "killed", "third")]
    with running(broker_server("tansu", tmp_path)) as broker, ExitStack() as stack:

        def start(number: int, *more: str) -> Consumer:
            options = {"from": broker.uri, "to": uris[number], "bundle": retriever.bundle.folder, "batch": 8}
            log = tmp_path / f"consumer-{number}.log"
            return stack.enter_context(Consumer(log, options | {"group": "shop"}, *more))

        send(broker.uri, parts[0])
        first = start(0, "--until-idle", str(IDLE["tansu"]))
        first.wait_for_work()
        second = start(1)
        send(broker.uri, parts[1])
        while not second.events:  # it has been given partitions
            send(broker.uri, made.bodies[:20])  # once more: their versions are known
            time.sleep(0.5)
        send(broker.uri, parts[2])
        second.kill()
        third = start(2, "--until-idle", str(IDLE["tansu"]))
        while not third.events:
            send(broker.uri, made.bodies[:20])
            time.sleep(0.5)
        send(broker.uri, parts[3])
        for consumer in (first, third):
            consumer.finish()
        dead = dead_letters(broker.uri)
    opened = [open_stores(uri) for uri in uris]
    figures = compare(made, [stores.open(retriever.bundle.hash) for stores in opened], dead, retriever)
    for stores in opened:
        stores.close()
    assert faultless(figures), figures
