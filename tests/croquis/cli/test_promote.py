"""`promote`: from challenger to champion and back, the gate's word, and refusals that name their fix."""

from __future__ import annotations

from pathlib import Path

import pytest

from croquis.cli import main
from croquis.registry.promotion import challenge
from croquis.registry.registry import CHALLENGER, CHAMPION, PREVIOUS
from stages import register
from tests.support.registry import evaluated_project as world
from tests.support.registry.evaluated_project import Project, begun_project, copied

pytestmark = pytest.mark.slow


@pytest.fixture
def project(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """With a first champion."""
    return copied(begun_project(tmp_path_factory), tmp_path, monkeypatch)


@pytest.fixture
def challenged(project: Project, capsys: pytest.CaptureFixture[str]) -> Project:
    """With a first champion and a challenger that passed the gate; what was printed until then is read."""
    project.offer_a_challenger()
    assert "croquis registry promote" in capsys.readouterr().out
    return project


def test_a_better_candidate_becomes_challenger_for_every_rule(challenged: Project) -> None:
    assert challenged.registry.aliases() == {CHAMPION: 1, CHALLENGER: 2}
    rules = [reason["rule"] for reason in challenged.report["reasons"]]
    assert rules == ["floor", "chance", "baseline", "size", "gain", "category", "mode"]
    assert "latency" in challenged.registry.version(2).tags["gate.reasons"]


def test_a_challenger_becomes_champion_and_goes_back(challenged: Project, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["registry", "promote"]) == 0
    assert "champion: version 1" in capsys.readouterr().out
    assert challenged.registry.aliases() == {CHAMPION: 2, PREVIOUS: 1}
    assert main(["registry", "rollback"]) == 0
    assert challenged.registry.aliases() == {CHAMPION: 1, PREVIOUS: 2}


def test_a_worse_candidate_is_refused_and_stays_refused(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    project.offer(world.SEES_COLOURS)
    promote_anyway(project)
    project.offer(world.SEES_LITTLE, floor=0.01)
    register.main(project.root)
    assert project.report["outcome"] == "refused"
    assert project.registry.aliases()[CHAMPION] == 2
    assert main(["registry", "promote", "--version", "1"]) == 1
    assert "the gate refused version 1" in capsys.readouterr().err
    assert main(["registry", "promote", "--version", "1", "--force"]) == 0
    assert project.registry.aliases() == {CHAMPION: 1, PREVIOUS: 2}


def promote_anyway(project: Project) -> None:
    register.main(project.root)
    assert main(["registry", "promote", "--version", "2", "--force"]) == 0


def test_a_verdict_against_another_champion_is_not_used(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    registry = project.registry
    register.main(project.root)
    project.offer(world.SEES_COLOURS)
    register.main(project.root)
    registry.tag(2, {"gate.promote": "true", "gate.against": "0" * 64})
    challenge(registry, 2)
    assert main(["registry", "promote"]) == 1
    assert "was judged against bundle 000000000000, but the champion is now version 1" in capsys.readouterr().err


def test_a_model_that_does_not_load_is_not_promoted(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    project.offer_a_challenger()
    indexes = list((project.root / "mlruns/artifacts/models").glob("*/artifacts/artifacts/siamese/index.faiss"))
    assert len(indexes) == 2
    for index in indexes:
        index.write_bytes(b"damaged")
    assert main(["registry", "promote"]) == 1
    assert "index.faiss was changed" in capsys.readouterr().err
    assert project.registry.aliases()[CHAMPION] == 1
