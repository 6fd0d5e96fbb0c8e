"""The command `preset`: what it writes, what it shows, and what it refuses."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from croquis.cli import main
from croquis.params import load_params

SHIPPED = Path("params.yaml").read_text()
MINE = """# My shoes, 128 px
base: {image_size: 128}
ingest:
  source: folder
  folder: {columns: {item_id: sku, attributes: [colour, season]}, splits: {validation: val}}
retrievers: [histogram, siamese]
siamese: {fit: {epochs: 3}}
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    shutil.copy("params.yaml", tmp_path)
    shutil.copytree("presets", tmp_path / "presets")
    (tmp_path / "presets/mine.yaml").write_text(MINE)
    return tmp_path


def changed_lines(old: str, new: str) -> list[tuple[str, str]]:
    assert len(old.splitlines()) == len(new.splitlines())
    return [(a, b) for a, b in zip(old.splitlines(), new.splitlines(), strict=True) if a != b]


@pytest.mark.slow
def test_it_changes_only_its_keys_and_keeps_comments(root: Path, capsys: pytest.CaptureFixture[str]):
    before = load_params(root / "params.yaml", methods=True)
    assert main(["preset", "mine"], root) == 0
    text, after = (root / "params.yaml").read_text(), load_params(root / "params.yaml", methods=True)
    expected = {
        **before.model_dump(by_alias=True),
        "base": before.base.model_dump() | {"image_size": 128},
        "retrievers": ["histogram", "siamese"],
    }
    expected["ingest"] |= {"source": "folder"}
    expected["ingest"]["folder"] |= {
        "columns": {"item_id": "sku", "attributes": ["colour", "season"]},
        "splits": {"validation": "val"},
    }
    expected["siamese"]["fit"] |= {"epochs": 3}
    assert after.model_dump(by_alias=True) == expected
    changes = changed_lines(SHIPPED, text)
    assert len(changes) == 6
    assert [new.partition("#")[2] for _, new in changes] == [old.partition("#")[2] for old, _ in changes]
    said = capsys.readouterr().out
    assert "+retrievers: [histogram, siamese]" in said
    assert said.rstrip().endswith("croquis repro")


@pytest.mark.slow
def test_a_second_preset_and_the_same_one_again(root: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["preset", "deepfashion_c2s"], root) == 0
    text = (root / "params.yaml").read_text()
    capsys.readouterr()
    assert main(["preset", "deepfashion_c2s"], root) == 0
    assert "params.yaml already says what the preset deepfashion_c2s says" in capsys.readouterr().out
    assert (root / "params.yaml").read_text() == text
    assert main(["preset", "cifar10_a"], root) == 0
    said = capsys.readouterr().out
    assert "put the files into data/source/ (or change ingest.cifar10.root)" in said
    assert "croquis repro\n" in said
    assert main(["preset", "deepfashion2"], root) == 0
    assert "dvc repro train_embedder " in capsys.readouterr().out, "a set without attributes"


@pytest.mark.slow
@pytest.mark.parametrize("flag", ["--diff", "--dry-run"])
def test_a_dry_run_shows_the_same_and_writes_nothing(root: Path, capsys: pytest.CaptureFixture[str], flag: str):
    assert main(["preset", "mine", flag], root) == 0
    shown = capsys.readouterr().out
    assert (root / "params.yaml").read_text() == SHIPPED
    assert "nothing is written; to do so: croquis preset mine" in shown
    main(["preset", "mine"], root)
    diff, _, _ = capsys.readouterr().out.partition("params.yaml is written")
    assert diff
    assert shown.startswith(diff)
    assert sorted(path.name for path in root.iterdir()) == ["params.yaml", "presets"]


@pytest.mark.parametrize("arguments", [["--list"], []])
def test_the_list_tells_what_each_is(root: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]):
    assert main(["preset", *arguments], root) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == sorted(path.stem for path in (root / "presets").glob("*.yaml"))
    assert next(line for line in lines if line.startswith("mine")).endswith("  My shoes, 128 px")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("siamese: {marign: 0.1}", "presets/mine.yaml names siamese.marign, which params.yaml does not have"),
        ("siameze: {margin: 0.1}", "presets/mine.yaml names siameze.margin, which params.yaml does not have"),
        ("seed.x: 1", "presets/mine.yaml names seed.x, which params.yaml does not have"),
        ("siamese: {margin: 9}", "siamese.margin = 9: Input should be less than or equal to 2"),
        ("base: {protocol: cifar10_a}\nregister: {select_by: shop->shop/map@r}", "params.yaml (preset mine) has"),
        ("base: [", "mine.yaml is not valid YAML"),
        ("# nothing", "mine.yaml must hold keys of params.yaml, it holds None"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_written(
    root: Path, capsys: pytest.CaptureFixture[str], text: str, told: str
):
    (root / "presets/mine.yaml").write_text(text)
    assert main(["preset", "mine"], root) == 1
    assert told in capsys.readouterr().err
    assert (root / "params.yaml").read_text() == SHIPPED


def test_an_unknown_name_is_answered_with_the_known_ones(root: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["preset", "deepfashion"], root) == 1
    error = capsys.readouterr().err
    assert "there is no preset 'deepfashion'" in error
    assert "cifar10_a, cifar10_c, deepfashion2" in error


def test_a_folder_without_params_is_refused(root: Path, capsys: pytest.CaptureFixture[str]):
    (root / "params.yaml").unlink()
    assert main(["preset", "mine"], root) == 1
    assert "params.yaml does not exist; run from the project root" in capsys.readouterr().err
