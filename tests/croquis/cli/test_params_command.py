"""`croquis params`: every key of params.yaml with type, range, value and what it does."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from croquis.cli import main
from croquis.cli.inspection.show_params import read_keys, spelt_type
from croquis.params.loader import read_yaml

ROOT = Path.cwd()


def leaves(values: object, prefix: str = "") -> set[str]:
    """Dotted keys of a params file whose values are no blocks."""
    assert isinstance(values, dict)
    found: set[str] = set()
    for name, value in values.items():
        inner = isinstance(value, dict) and value  # an empty mapping is a value, such as ingest.folder.columns
        found |= leaves(value, f"{prefix}{name}.") if inner else {f"{prefix}{name}"}
    return found


def test_all_keys_of_the_file_are_shown_with_their_values() -> None:
    keys = {key.name: key for key in read_keys(ROOT)}
    assert set(keys) == leaves(read_yaml(ROOT / "params.yaml"))
    assert keys["base.seed"].value == 7
    assert keys["validate.min_side"].value == 24


def test_a_key_tells_type_range_value_and_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["params", "base.image_size"], ROOT) == 0
    assert capsys.readouterr().out.splitlines() == [
        "base.image_size: 56",
        "    int, >= 16, <= 1024",
        "    side of the square images that the nets see, pixels",
    ]
    assert main(["params", "register"], ROOT) == 0
    shown = capsys.readouterr().out
    assert "register.confidence: 0.95\n    float, > 0.5, < 1.0\n" in shown
    assert "base." not in shown
    assert main(["params", "siamese.positives"], ROOT) == 0
    assert "    crossing | all\n" in capsys.readouterr().out


def test_where_the_schema_is_silent_the_files_comment_speaks() -> None:
    keys = {key.name: key.says for key in read_keys(ROOT)}
    assert keys["base.threads"].startswith("of torch, ONNX Runtime and FAISS in each stage")


def test_an_unknown_key_is_answered_with_those_that_are_near(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["params", "siamese.marign"], ROOT) == 1
    assert "params.yaml has no key siamese.marign; did you mean siamese.margin" in capsys.readouterr().err


def test_a_wrong_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    text = (tmp_path / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(text.replace("  seed: 7\n", "  seed: many\n"))
    assert main(["params"], tmp_path) == 1
    assert "base.seed = 'many'" in capsys.readouterr().err


def test_types_are_told_as_a_person_writes_them() -> None:
    assert spelt_type(list[str]) == "list of str"
    assert spelt_type(dict[str, int]) == "mapping of str to int"
    assert spelt_type(str | None) == "str or null"
