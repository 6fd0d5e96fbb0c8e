"""What a version runs is what was registered: for promotion, rollback, serving and whoever pulls its bundle."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from croquis.bundle import Bundle
from croquis.cli import main
from croquis.registry.bundle_options import ModelSourceError, bundle_folder
from croquis.registry.model_files import MODEL_TAG, model_hash
from croquis.registry.promotion import rollback
from croquis.registry.registry import CHAMPION, PREVIOUS
from croquis.serving.models.registry_source import RegistrySource
from tests.support.registry.evaluated_project import MODEL, Project, begun_project, copied

EVIL = "\nraise SystemExit('this is not what was registered')\n"


@pytest.fixture
def project(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Version 1 is champion, version 2 was before it."""
    made = copied(begun_project(tmp_path_factory), tmp_path, monkeypatch, with_code=True)
    made.offer_a_challenger()
    assert main(["registry", "promote", "--version", "2"]) == 0
    rollback(made.registry)
    return made


def append(path: Path) -> None:
    path.write_text(path.read_text() + EVIL)


def add(path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(EVIL)


DAMAGE: dict[str, tuple[str, Callable[[Path], None]]] = {
    "model.py": ("has other files", lambda model: append(model / "model.py")),
    "code": ("has other files", lambda model: append(next((model / "code").rglob("local_retriever.py")))),
    "a new module": ("has other files", lambda model: add(model / "code/sitecustomize.py")),
    "MLmodel": ("has other files", lambda model: append(model / "MLmodel")),
    "no requirements": ("has other files", lambda model: (model / "requirements.txt").unlink()),
    "no bundle": ("lacks files", lambda model: shutil.rmtree(model / "artifacts")),
    "no model": ("lacks files", shutil.rmtree),
}


@pytest.mark.slow
def test_damaged_files_are_refused_on_every_side(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    registry, folder = project.registry, project.registry.bundle_folder(2).parents[1]
    kept = folder.with_name("kept")
    shutil.copytree(folder, kept)
    uri = f"models:/{MODEL}/2"
    for name, (words, damage) in DAMAGE.items():
        damage(folder)
        capsys.readouterr()
        for command in (["rollback"], ["promote", "--version", "2", "--force"]):
            assert main(["registry", *command]) == 1, name
            assert f"error: the artifact store {words} of version 2" in capsys.readouterr().err, name
        for pull in (lambda: bundle_folder(None, uri), RegistrySource.open(uri, project.root).load):
            with pytest.raises(ModelSourceError, match=words):
                pull()
        assert {alias: registry.aliases()[alias] for alias in (CHAMPION, PREVIOUS)} == {CHAMPION: 1, PREVIOUS: 2}
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(kept, folder)

    (bundled,) = (folder / "artifacts").glob("*/manifest.json")
    (bundled.parent / "gallery.parquet").write_bytes(b"other")
    assert main(["registry", "rollback"]) == 1
    assert "gallery.parquet was changed" in capsys.readouterr().err
    shutil.copy(next((kept / "artifacts").glob("*/gallery.parquet")), bundled.parent)

    for tags, words in (
        ({"bundle_hash": "0" * 64}, "it holds another bundle"),
        ({"bundle_hash": ""}, "it holds another bundle"),
        ({MODEL_TAG: "0" * 64}, "has been changed since"),
    ):
        before = dict(registry.version(2).tags)
        registry.tag(2, tags)
        assert main(["registry", "rollback"]) == 1
        assert words in capsys.readouterr().err
        registry.tag(2, {name: before[name] for name in tags})

    registry.store.client.delete_model_version_tag(MODEL, "2", MODEL_TAG)
    assert main(["registry", "rollback"]) == 1
    assert "has no hash of the files that it runs (tag model_hash): `croquis sync`" in capsys.readouterr().err
    found = registry.register(registry.version(2).bundle_hash, "siamese", {}, lambda: pytest.fail("it is there"))
    assert found.tags[MODEL_TAG] == model_hash(folder)
    assert main(["registry", "rollback"]) == 0
    assert registry.aliases()[CHAMPION] == 2
    assert main(["registry", "rollback"]) == 0

    registry.store.client.delete_model_version(MODEL, "2")
    assert main(["registry", "rollback"]) == 1
    assert "has had no champion before" in capsys.readouterr().err


def test_bytecode_beside_a_model_is_neither_covered_nor_copied(tmp_path: Path) -> None:
    (tmp_path / "code/__pycache__").mkdir(parents=True)
    (tmp_path / "model.py").write_text("1")
    before = model_hash(tmp_path)
    (tmp_path / "code/__pycache__/a.cpython-311.pyc").write_bytes(b"compiled")
    assert model_hash(tmp_path) == before
    (tmp_path / "code/a.pyc").write_bytes(b"run without a source")
    assert model_hash(tmp_path) != before


@pytest.mark.slow
def test_a_copy_of_a_model_has_no_bytecode_of_others(project: Project, tmp_path: Path) -> None:
    registry = project.registry
    cache = registry.bundle_folder(2).parents[1] / "code/croquis/__pycache__"
    add(cache / "files.cpython-311.pyc")
    model, bundle = registry.copied_model(registry.version(2), tmp_path)
    assert Bundle.load(bundle).hash == registry.version(2).bundle_hash
    assert not list(model.rglob("__pycache__"))
