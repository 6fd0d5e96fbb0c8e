"""The stages of parts that are off end at once, and leave what later stages read as "there is none"."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from croquis.files import read_json
from croquis.nets.classifier import AttributeClassifier
from croquis.nets.generator import Generator
from stages import index, train_classifier, train_gan


@pytest.mark.parametrize(
    ("stage", "part", "description"),
    [(train_gan, "gan", Generator.filename), (train_classifier, "attributes", AttributeClassifier.filename)],
)
def test_a_part_that_is_off_trains_nothing(
    project: Any, fake_run: Any, stage: Any, part: str, description: str, capsys: pytest.CaptureFixture[str]
) -> None:
    root: Path = project(**{f"parts__{part}": False})
    runs = fake_run(stage)
    stage.main(root)
    folder = root / stage.FOLDER
    assert {path.name: read_json(path) for path in folder.iterdir()} == {"off.json": {f"parts.{part}": False}}
    assert index.present(folder, description) is None
    assert runs[0].params["parts"][part] is False
    assert f"parts.{part} is false" in capsys.readouterr().out
