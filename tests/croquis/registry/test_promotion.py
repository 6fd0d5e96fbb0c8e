"""Aliases: promotion, rollback, interrupted changes, ten processes at once, another workspace between two requests."""

from __future__ import annotations

import time
from collections.abc import Iterator
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from croquis.registry.promotion import (
    NOTE_TAG,
    ChampionChangedError,
    challenge,
    delete,
    first_champion,
    plan_promotion,
    promote,
    repair,
    rollback,
)
from croquis.registry.registry import CHALLENGER, CHAMPION, PREVIOUS, Registry, RegistryError
from croquis.tracking.tracking_store import Store
from tests.support.registry.promoters import check_chain, first_change, promoter


@pytest.fixture
def registry(store: Store, request: pytest.FixtureRequest) -> Iterator[Registry]:
    """Three versions of a model of its own, without aliases; their files do not exist."""
    registry = Registry(store, request.node.name[:80].replace("[", "-").replace("]", ""))
    store.client.create_registered_model(registry.model)
    for number in (1, 2, 3):
        tags = {"bundle_hash": f"{number}" * 64, "method": "siamese"}
        store.client.create_model_version(registry.model, source=str(store.root), tags=tags)
    yield registry
    store.client.delete_registered_model(registry.model)


@pytest.mark.slow
def test_versions_are_found_by_bundle(registry: Registry) -> None:
    found = registry.with_bundle("2" * 64)
    assert found is not None
    assert (found.number, found.method) == (2, "siamese")
    assert registry.with_bundle("9" * 64) is None
    assert [version.number for version in registry.versions()] == [1, 2, 3]


@pytest.mark.slow
def test_first_promotion_and_the_next(registry: Registry) -> None:
    assert registry.aliases() == {}
    assert str(promote(registry, 1)) == f"champion: no champion -> version 1 (siamese, bundle {'1' * 12})"
    assert registry.aliases() == {CHAMPION: 1}
    change = promote(registry, 3)
    assert change.previous is not None
    assert change.previous.number == 1
    assert registry.aliases() == {CHAMPION: 3, PREVIOUS: 1}


@pytest.mark.slow
def test_the_challenger_is_promoted_by_default_and_stops_being_one(registry: Registry) -> None:
    promote(registry, 1)
    challenge(registry, 2)
    promote(registry)
    assert registry.aliases() == {CHAMPION: 2, PREVIOUS: 1}


def test_another_challenger_stays(registry: Registry) -> None:
    challenge(registry, 3)
    promote(registry, 1)
    assert registry.aliases() == {CHAMPION: 1, CHALLENGER: 3}


def test_first_champion_only_where_there_is_none(registry: Registry) -> None:
    assert first_champion(registry, 2)
    assert not first_champion(registry, 3)
    assert registry.aliases() == {CHAMPION: 2}


@pytest.mark.slow
def test_rollback_and_back_again(registry: Registry) -> None:
    promote(registry, 1)
    promote(registry, 2)
    rollback(registry)
    assert registry.aliases() == {CHAMPION: 1, PREVIOUS: 2}
    rollback(registry)
    assert registry.aliases() == {CHAMPION: 2, PREVIOUS: 1}


@pytest.mark.slow
def test_nonsense_is_refused_with_the_fix(registry: Registry) -> None:
    with pytest.raises(RegistryError, match="no challenger to promote; `dvc repro`"):
        promote(registry)
    with pytest.raises(RegistryError, match="has no version 7; it has: 1, 2, 3"):
        promote(registry, 7)
    with pytest.raises(RegistryError, match="no champion, so there is nothing to roll back"):
        rollback(registry)
    promote(registry, 1)
    with pytest.raises(RegistryError, match="is the champion already"):
        promote(registry, 1)
    with pytest.raises(RegistryError, match="has had no champion before version 1"):
        rollback(registry)


@pytest.mark.slow
def test_a_change_that_was_planned_over_another_champion_is_not_made(registry: Registry) -> None:
    promote(registry, 1)
    planned = plan_promotion(registry, 3)
    promote(registry, 2)  # somebody else, meanwhile
    for late in (lambda: promote(registry, 3, planned), lambda: rollback(registry, planned)):
        with pytest.raises(
            ChampionChangedError, match=r"has become version 2 .*meanwhile, it was version 1 .*croquis registry status"
        ):
            late()
    assert registry.aliases() == {CHAMPION: 2, PREVIOUS: 1}
    promote(registry, 3, plan_promotion(registry, 3))
    assert registry.aliases() == {CHAMPION: 3, PREVIOUS: 2}


def test_a_plan_changes_nothing(registry: Registry) -> None:
    promote(registry, 1)
    assert plan_promotion(registry, 2).champion.number == 2
    assert registry.aliases() == {CHAMPION: 1}


@pytest.mark.slow
def test_champion_and_previous_cannot_be_deleted(registry: Registry) -> None:
    promote(registry, 1)
    promote(registry, 2)
    for number, alias in ((2, CHAMPION), (1, PREVIOUS)):
        with pytest.raises(RegistryError, match=f"version {number} of .* is {alias}"):
            delete(registry, number)
    delete(registry, 3)
    assert [version.number for version in registry.versions()] == [1, 2]


CALLS = ["set_registered_model_tag", "set_registered_model_alias", "delete_registered_model_tag"]


@pytest.mark.slow
@pytest.mark.parametrize("steps", range(4))
@pytest.mark.parametrize("change", [lambda r: promote(r, 3), rollback])
def test_a_kill_between_any_two_steps_is_repaired(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, steps: int, change: Any
) -> None:
    promote(registry, 1)
    promote(registry, 2)
    before = registry.aliases()
    with monkeypatch.context() as patch:
        die_after(steps, registry, patch)
        with pytest.raises(Killed):
            change(registry)
    assert registry.aliases()[CHAMPION] in (before[CHAMPION], 3 if change is not rollback else 1)
    interrupted = NOTE_TAG in registry.store.client.get_registered_model(registry.model).tags
    assert repair(registry) == interrupted == (steps > 0)
    done = {CHAMPION: 1, PREVIOUS: 2} if change is rollback else {CHAMPION: 3, PREVIOUS: 2}
    assert registry.aliases() == (done if interrupted else before)
    assert NOTE_TAG not in registry.store.client.get_registered_model(registry.model).tags


class Killed(BaseException):
    """Stands for kill -9: nothing in the code under test catches it."""


def die_after(steps: int, registry: Registry, patch: pytest.MonkeyPatch) -> None:
    client, done = registry.store.client, [0]

    def counted(name: str) -> Any:
        original = getattr(client, name)

        def call(*arguments: Any) -> Any:
            if done[0] == steps:
                raise Killed
            done[0] += 1
            return original(*arguments)

        return call

    for name in CALLS:
        patch.setattr(client, name, counted(name))


@pytest.mark.slow
@pytest.mark.parametrize("call", ["set_registered_model_tag", "set_registered_model_alias"])
def test_whoever_is_overtaken_by_another_workspace_is_told_who_won(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """A tracking server has no lock: the other workspace's change comes before the champion is set, or right after."""
    promote(registry, 1)
    with monkeypatch.context() as patch:
        original = getattr(registry.store.client, call)

        def overtaken(*arguments: str) -> None:
            original(*arguments)
            if PREVIOUS not in arguments:
                patch.undo()
                registry.set_alias(PREVIOUS, 1)
                registry.set_alias(CHAMPION, 2)

        patch.setattr(registry.store.client, call, overtaken)
        with pytest.raises(ChampionChangedError, match=r"has become version 2 .*, it was version 1 .*registry status"):
            promote(registry, 3)
    assert registry.aliases() == {CHAMPION: 2, PREVIOUS: 1}
    assert not repair(registry)


def test_a_first_champion_that_another_workspace_overtakes_is_none(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = registry.store.client.set_registered_model_tag

    def overtaken(*arguments: str) -> None:
        original(*arguments)
        registry.set_alias(CHAMPION, 2)

    monkeypatch.setattr(registry.store.client, "set_registered_model_tag", overtaken)
    assert not first_champion(registry, 3)
    assert registry.aliases() == {CHAMPION: 2}


@pytest.mark.slow
def test_a_note_that_a_later_change_has_replaced_is_not_carried_out(registry: Registry) -> None:
    promote(registry, 1)
    registry.store.client.set_registered_model_tag(registry.model, NOTE_TAG, '{"champion": 2, "previous": 1}')
    registry.set_alias(CHAMPION, 3)
    assert repair(registry)
    assert registry.aliases() == {CHAMPION: 3}
    assert not repair(registry)


NOTES = [
    "",
    "{",
    "null",
    "[2, 1]",
    '{"champion": 2}',
    '{"champion": "2", "previous": 1}',
    '{"champion": true, "previous": 1}',
    '{"champion": 2, "previous": 1e300}',
    '{"champion": 99, "previous": 1}',
    '{"champion": 2, "previous": 98}',
    "[" * 2000,
]


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(NOTES)))
def test_a_note_that_cannot_be_carried_out_is_removed_and_told(
    registry: Registry, number: int, caplog: pytest.LogCaptureFixture
) -> None:
    promote(registry, 1)
    registry.store.client.set_registered_model_tag(registry.model, NOTE_TAG, NOTES[number])
    change = promote(registry, 3)
    assert (change.champion.number, registry.aliases()) == (3, {CHAMPION: 3, PREVIOUS: 1})
    assert NOTE_TAG not in registry.store.client.get_registered_model(registry.model).tags
    assert "is removed, as it cannot be carried out" in caplog.text
    assert "croquis registry promote --version N" in caplog.text


def test_of_two_workspaces_that_register_a_bundle_at_once_the_later_takes_its_version_back(registry: Registry) -> None:
    def log() -> str:
        tags = {"bundle_hash": "4" * 64, "method": "siamese", "from": "another workspace"}
        registry.store.client.create_model_version(registry.model, source=str(registry.store.root), tags=tags)
        return str(registry.store.root)

    found = registry.register("4" * 64, "siamese", {}, log)
    assert (found.number, found.tags["from"]) == (4, "another workspace")
    assert [version.number for version in registry.versions()] == [1, 2, 3, 4]


@pytest.mark.slow
def test_ten_processes_of_two_workspaces_leave_one_consistent_champion(registry: Registry, tmp_path: Path) -> None:
    """Half of them work in the store's own folder, half in another one that MLFLOW_TRACKING_URI leads to the store."""
    promote(registry, 1)
    hear, tell = Pipe(duplex=False)
    workspaces = ((str(registry.store.root), {}), (str(tmp_path), {"MLFLOW_TRACKING_URI": registry.store.uri}))
    started = [promoter(*workspace, registry.model, [2 + n % 2], tell) for n in range(5) for workspace in workspaces]
    for process in started:
        process.start()
    seen = set()
    while any(process.is_alive() for process in started):
        seen.add(registry.aliases().get(CHAMPION))
    assert None not in seen, "a reader saw no champion"
    assert [process.exitcode for process in started] == [0] * 10
    aliases = registry.aliases()
    assert {aliases[CHAMPION], aliases[PREVIOUS]} <= {1, 2, 3}
    assert aliases[CHAMPION] != aliases[PREVIOUS]
    # Versions 2 and 3 took turns: the last change came from the other one.
    assert {aliases[CHAMPION], aliases[PREVIOUS]} == {2, 3}
    check_chain(hear, 1, aliases[CHAMPION])
    assert CHALLENGER not in aliases
    assert not repair(registry)
    assert not list(tmp_path.iterdir())  # the lock is the store's, not the workspace's


@pytest.mark.slow
def test_processes_killed_at_any_moment_leave_a_champion_and_nothing_half_done(registry: Registry) -> None:
    promote(registry, 1)
    chance = np.random.default_rng(0)
    for _ in range(8):
        hear, tell = Pipe(duplex=False)
        worker = promoter(str(registry.store.root), {}, registry.model, [2, 3] * 1000, tell)
        worker.start()
        first_change(hear)
        time.sleep(float(chance.uniform(0.0, 0.15)))
        worker.kill()
        worker.join()
        assert registry.aliases()[CHAMPION] in (2, 3)
        promote(registry, 1)
        aliases = registry.aliases()
        assert aliases[CHAMPION] == 1
        assert aliases[PREVIOUS] in (2, 3)
        assert NOTE_TAG not in registry.store.client.get_registered_model(registry.model).tags
