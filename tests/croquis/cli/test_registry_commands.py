"""`croquis registry` and `croquis repro`'s settings where no registry is needed: refusals, and what a change says."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from croquis.cli import main
from croquis.cli.commands.registry_commands import changed_text, status_text
from croquis.cli.commands.repro import last_stage, parse_settings, set_params
from croquis.params import ParamsError, load_params
from croquis.refusals import RefusedError
from croquis.registry.promotion import promote
from croquis.registry.registry import Registry
from croquis.tracking.tracking_store import open_store

ROOT = Path.cwd()


@pytest.fixture
def registry(tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """Versions 1, the champion, and 2, which was not judged."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "mlruns").mkdir()
    shutil.copy(empty_store, tmp_path / "mlruns")
    found = Registry(open_store(tmp_path), "fashion-retriever")
    found.store.client.create_registered_model(found.model)
    for number in (1, 2):
        tags = {"bundle_hash": f"{number}" * 64, "method": "siamese"}
        found.store.client.create_model_version(found.model, "croquis://models/nothing", tags=tags)
    promote(found, 1)
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    return found


@pytest.mark.slow
def test_status_names_champion_and_what_would_be_refused(
    registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["registry", "status"], tmp_path) == 0
    shown = capsys.readouterr().out
    assert "  champion   version 1 (siamese" in shown
    assert "promote would be refused: fashion-retriever has no challenger to promote" in shown
    assert "rollback would be refused" in shown
    assert "has not been judged" in status_text(registry, 2)
    assert main(["registry", "promote", "--version", "2", "--dry-run"], tmp_path) == 0
    assert "promote would change champion: version 1" in capsys.readouterr().out
    assert registry.aliases() == {"champion": 1}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["promote"], "has no challenger to promote"),
        (["promote", "--version", "2"], "has not been judged"),
        (["promote", "--version", "9"], "has no version 9; it has: 1, 2"),
        (["promote", "--version", "1"], "is the champion already"),
        (["rollback"], "there is nothing to roll back to"),
        (["delete", "1"], "version 1 of fashion-retriever is champion; promote another one first"),
        (["delete", "9"], "has no version 9; it has: 1, 2"),
        (["lineage", "1234"], "'1234' is too short to mean one commit, hash or run"),
        (["lineage", "0" * 40], "no version of fashion-retriever came from"),
        (["card", "fashion-retriever/2"], "holds no model_card.md"),
        (["rebuild", "fashion-retriever/2"], "cannot be rebuilt, it lacks"),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_fix(
    registry: Registry, tmp_path: Path, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["registry", *arguments], tmp_path) == 1
    told = capsys.readouterr().err
    assert told.startswith("error: ")
    assert words in told
    assert registry.aliases() == {"champion": 1}


@pytest.mark.slow
def test_a_version_that_is_neither_champion_nor_previous_is_deleted(registry: Registry, tmp_path: Path) -> None:
    assert main(["registry", "delete", "2"], tmp_path) == 0
    assert [version.number for version in registry.versions()] == [1]


@pytest.mark.slow
def test_a_change_says_how_servers_follow_and_how_to_take_it_back(registry: Registry) -> None:
    told = changed_text(promote(registry, 2), registry)
    for words in ("--watch", "POST /admin/reload", "croquis registry rollback"):
        assert words in told
    assert "restart them" not in told


def test_settings_are_read_as_yaml() -> None:
    assert parse_settings(["siamese.margin=0.3", "retrievers=[histogram, siamese]", "ingest.idx.classes=null"]) == {
        "siamese.margin": 0.3,
        "retrievers": ["histogram", "siamese"],
        "ingest.idx.classes": None,
    }
    for text in ("siamese.margin", "=3"):
        with pytest.raises(RefusedError, match="must be KEY=VALUE"):
            parse_settings([text])


@pytest.mark.slow
def test_settings_go_into_params_or_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    set_params(tmp_path, {"siamese.margin": 0.3})
    assert "+  margin: 0.3" in capsys.readouterr().out
    assert load_params(tmp_path / "params.yaml", methods=["siamese"]).method("siamese").margin == 0.3
    with pytest.raises(RefusedError, match=r"has no key siamese\.marign"):
        set_params(tmp_path, {"siamese.marign": 0.3})
    with pytest.raises(ParamsError, match=r"siamese\.margin = 9"):
        set_params(tmp_path, {"siamese.margin": 9.0})


def test_a_retriever_is_named_by_its_last_stage() -> None:
    params = load_params()
    assert last_stage(params, "siamese") == "evaluate@siamese"
    with pytest.raises(RefusedError, match="did you mean siamese"):
        last_stage(params, "siamse")
