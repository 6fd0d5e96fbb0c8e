"""`croquis doctor`: what it finds in a project, in an empty folder, and when something needed is wrong."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

import pytest

from croquis.cli import main
from croquis.cli.child_processes import listens
from croquis.cli.inspection import doctor
from croquis.params.write_back import changed_text

ROOT = Path.cwd()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No torch is imported to look for a GPU, no store is asked that the environment names."""
    monkeypatch.setattr(
        doctor, "accelerator", lambda: doctor.CheckResult(doctor.ABSENT, "accelerator", "not looked for")
    )
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def test_in_an_empty_folder_nothing_is_wrong_and_nothing_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor"], tmp_path) == 0
    shown = capsys.readouterr().out
    for name in ("python", "faiss-cpu", "git", "params.yaml", "mlflow store", "milvus"):
        assert f" {name} " in shown
    assert shown.endswith("nothing is wrong\n")
    assert list(tmp_path.iterdir()) == []


def test_wrong_params_are_told_and_end_with_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    text = (tmp_path / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(text.replace("  threads: 1  ", "  threads: 0  "))
    assert main(["doctor"], tmp_path) == 1
    shown = capsys.readouterr().out
    assert "WRONG params.yaml" in shown
    assert "base.threads = 0" in shown
    assert shown.endswith("wrong: params.yaml\n")


def test_a_missing_package_is_wrong_only_where_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = {"numpy": "2.0", "torch": "2.9"}
    monkeypatch.setattr(doctor, "_version_of", installed.get)
    found = {finding.name: finding for finding in doctor.packages()}
    assert (found["numpy"].state, found["numpy"].says) == (doctor.OK, "2.0")
    assert found["faiss-cpu"].state == doctor.WRONG
    assert (found["dvc"].state, found["dvc"].says) == (doctor.WRONG, "not installed: pip install 'croquis[pipeline]'")
    assert found["ray"].state == doctor.ABSENT
    del installed["torch"]
    assert {finding.name: finding for finding in doctor.packages()}["dvc"].state == doctor.ABSENT


def test_a_catalogue_is_called_right_only_where_its_rows_were_looked_at(tmp_path: Path) -> None:
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    found = doctor.photos(tmp_path)
    assert (found.state, found.says) == (
        doctor.ABSENT,
        "source rendered: its files are looked at when they are ingested",
    )
    (tmp_path / "params.yaml").write_text(changed_text(text, {"ingest.source": "folder"}), encoding="utf-8")
    found = doctor.photos(tmp_path)
    assert found.state == doctor.WRONG
    assert "data/source/catalogue.csv" in found.says


def test_an_engine_answers_where_something_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert listens("127.0.0.1", port)
    assert not listens("127.0.0.1", port)


def test_a_program_that_is_not_there_is_wrong_only_where_it_is_needed() -> None:
    assert doctor.program("no-such-program").state == doctor.ABSENT
    assert doctor.program("no-such-program", needed=True).state == doctor.WRONG


def test_an_accelerator_that_is_not_here_is_wrong(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    (tmp_path / "params.yaml").write_text(text.replace("accelerator: auto", "accelerator: gpu"), encoding="utf-8")
    found = doctor.params(tmp_path)
    assert found.state == doctor.WRONG
    assert found.says.startswith("base.accelerator is gpu")


def test_a_table_whose_photos_are_gone_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "products.csv").write_text("path,item_id\nbag.png,1\n")
    settings = {"ingest.source": "folder", "ingest.folder.table": "products.csv", "ingest.folder.images": "."}
    text = (ROOT / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(changed_text(text, settings))
    found = doctor.photos(tmp_path)
    assert (found.state, found.name) == (doctor.WRONG, "catalogue")
    assert "the file bag.png does not exist" in found.says
