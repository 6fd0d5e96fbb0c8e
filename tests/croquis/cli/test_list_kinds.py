"""`croquis list`: what there is of each kind."""

from __future__ import annotations

import pytest

from croquis.cli import main
from croquis.cli.inspection.list_kinds import kinds
from croquis.params import load_params
from croquis.plugins import SOURCES


@pytest.mark.parametrize("kind", kinds())
def test_every_entry_of_a_kind_is_named_once_and_described(kind: str) -> None:
    entries = list(kinds()[kind]())
    names = [name for name, _ in entries]
    assert len(set(names)) == len(names) >= 1
    assert all(says and "\n" not in says for _, says in entries)


def test_methods_and_sources_are_those_that_can_be_used() -> None:
    assert {name for name, _ in kinds()["methods"]()} >= set(load_params().retrievers)
    assert {name for name, _ in kinds()["sources"]()} == set(SOURCES.names)


def test_the_kinds_are_listed_and_a_wrong_one_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    assert capsys.readouterr().out.split() == list(kinds())
    assert main(["list", "method"]) == 1
    assert "'method' is no kind; kinds are methods, sources" in (told := capsys.readouterr().err)
    assert "did you mean methods?" in told
