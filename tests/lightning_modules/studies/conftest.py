"""No variable of the environment leads to a tracking server."""

from __future__ import annotations

import pytest

from tests.support.environment import clear_environment


@pytest.fixture(autouse=True)
def no_outside_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    clear_environment(monkeypatch)
