"""A change that meets another's in a server's database is made again, and given up in the end."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest
from mlflow.exceptions import MlflowException

from croquis.registry.registry import TRIES, Registry


class Client:
    """A server that refuses the first changes, as PostgreSQL does with a row that another process has just written."""

    def __init__(self, refusals: int, tags: dict[str, str]) -> None:
        self.refusals, self.tags, self.calls = refusals, tags, 0

    def get_registered_model(self, _: str) -> Any:
        return SimpleNamespace(tags=self.tags, aliases={"champion": "1"})

    def search_registered_models(self, _: str) -> list[Any]:
        return [self.get_registered_model("")]

    def _change(self) -> None:
        self.calls += 1
        if self.calls <= self.refusals:
            raise MlflowException("duplicate key value violates unique constraint")

    def set_registered_model_alias(self, *_: str) -> None:
        self._change()

    def delete_registered_model_alias(self, *_: str) -> None:
        self._change()

    def set_registered_model_tag(self, _: str, name: str, value: str) -> None:
        self._change()
        self.tags[name] = value

    def delete_registered_model_tag(self, _: str, name: str) -> None:
        self._change()
        del self.tags[name]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)


CHANGES = {
    "set an alias": lambda registry: registry.set_alias("champion", 2),
    "drop an alias": lambda registry: registry.drop_alias("champion"),
    "set a tag": lambda registry: registry.set_model_tag("note", "a"),
    "drop a tag": lambda registry: registry.set_model_tag("note", None),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_refused_change_is_made_again(change: str) -> None:
    client = Client(TRIES - 1, {"note": "b"})
    CHANGES[change](Registry(SimpleNamespace(client=client), "model"))  # type: ignore[arg-type]
    assert client.calls == TRIES


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_that_is_always_refused_is_an_error(change: str) -> None:
    client = Client(TRIES, {"note": "b"})
    with pytest.raises(MlflowException, match="duplicate key"):
        CHANGES[change](Registry(SimpleNamespace(client=client), "model"))  # type: ignore[arg-type]


def test_what_another_process_has_taken_away_need_not_be(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client(1, {"note": "b"})

    def taken_by_another(*_: str) -> None:
        client.tags.clear()
        raise MlflowException("no such tag")

    monkeypatch.setattr(client, "delete_registered_model_tag", taken_by_another)
    Registry(SimpleNamespace(client=client), "model").set_model_tag("note", None)  # type: ignore[arg-type]
    assert client.tags == {}
