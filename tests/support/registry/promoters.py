"""Processes that promote versions of a model, one after the other, from workspaces of their own."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

from croquis.registry.promotion import promote
from croquis.registry.registry import Registry, RegistryError
from croquis.tracking.tracking_store import open_store


def promoter(
    root: str, variables: Mapping[str, str], model: str, numbers: Iterable[int], told: Connection
) -> BaseProcess:
    """A process that is yet to be started; it has this one's environment variables, as they are now, and `variables`."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["croquis.registry.promotion", "mlflow.store.tracking.sqlalchemy_store"]
    )  # takes seconds
    # Given in full: the server of forks has those that it began with, which may be another test's.
    arguments = (root, {**os.environ, **variables}, model, numbers, told)
    return context.Process(target=promote_in_turn, args=arguments)


def promote_in_turn(
    root: str, environment: Mapping[str, str], model: str, numbers: Iterable[int], told: Connection
) -> None:
    """Promotes one version after the other, from the workspace `root`, and tells every change."""
    os.environ.clear()
    os.environ.update(environment)
    registry = Registry(open_store(Path(root)), model)
    for number in numbers:
        with suppress(RegistryError):
            told.send(str(promote(registry, number)))


def first_change(told: Connection) -> str:
    """Waits until a promoter has told of its first change."""
    assert told.poll(120), "no change in 120 s"
    return str(told.recv())


def told_changes(told: Connection) -> list[tuple[int, int]]:
    """(old champion, new champion) of every change that a promoter has told of."""
    changes = []
    while told.poll():
        before, after = told.recv().removeprefix("champion: version ").split(" -> version ")
        changes.append((int(before.split()[0]), int(after.split()[0])))
    return changes


def check_chain(told: Connection, first: int, last: int) -> None:
    """The changes that were told are one unbroken chain of champions."""
    changes = told_changes(told)
    assert len(changes) >= 2
    assert sorted([first, *(after for _, after in changes)]) == sorted([*(before for before, _ in changes), last])
