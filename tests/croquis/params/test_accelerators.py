"""A device that is not there is told before any work, with the values that would do."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from croquis.params.accelerators import AcceleratorError, check_accelerator
from tests.support.stage_runs import write_project


@pytest.fixture
def devices(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    cuda, mps = getattr(request, "param", (False, False))
    monkeypatch.setattr("torch.cuda.is_available", lambda: cuda)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: mps)


@pytest.mark.usefixtures("devices")
@pytest.mark.parametrize(
    ("devices", "asked", "usable"),
    [
        ((False, False), "gpu", "auto or cpu"),
        ((False, False), "mps", "auto or cpu"),
        ((True, False), "mps", "auto or cpu or gpu"),
        ((True, False), "gpu", None),
        ((False, True), "gpu", None),
        ((False, True), "mps", None),
        ((False, False), "auto", None),
        ((False, False), "cpu", None),
    ],
    indirect=["devices"],
)
def test_what_is_asked_for_must_be_there(asked: str, usable: str | None) -> None:
    if usable is None:
        check_accelerator(asked)
        return
    with pytest.raises(AcceleratorError, match=rf"^base.accelerator is {asked}, .* set it to {re.escape(usable)}$"):
        check_accelerator(asked)


@pytest.mark.usefixtures("devices")
@pytest.mark.parametrize(
    ("stage", "item"),
    [("validate", ()), ("train_embedder", ("siamese",)), ("train_classifier", ()), ("train_gan", ())],
)
def test_each_stage_that_needs_it_says_so_before_it_reads_any_data(
    tmp_path: Path, stage: str, item: tuple[str, ...]
) -> None:
    write_project(tmp_path, base__accelerator="gpu")
    with pytest.raises(AcceleratorError, match="set it to auto or cpu"):
        importlib.import_module(f"stages.{stage}").main(*item, tmp_path)
    assert not (tmp_path / "reports").exists()
