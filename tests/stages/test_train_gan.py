"""What is exported paints as what was trained; stages of parts that are off end at once, and leave what later stages read as
"there is none"."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from croquis.files import read_json
from croquis.nets.classifier import AttributeClassifier
from croquis.nets.generator import Generator, colour_rows, with_colours
from croquis.params import Params, load_params
from lightning_modules.sketch_gan.gan_module import PairData, SketchGan, SketchPairs, scale
from lightning_modules.sketch_gan.garment_colours import PairColours, beside
from stages import index, train_classifier, train_gan
from tests.support.environment import REPOSITORY


def small_gan(**changes: Any) -> Params:
    params = load_params(REPOSITORY / "params.yaml")
    small = {"size": 32, "generator_channels": 4, "discriminator_channels": 4, **changes}
    return params.model_copy(update={"train_gan": params.train_gan.model_copy(update=small)})


@pytest.mark.slow
@pytest.mark.parametrize("coloured", [False, True])
def test_the_exported_generator_paints_as_the_trained_one(tmp_path: Path, coloured: bool) -> None:
    torch.manual_seed(0)
    params = small_gan(colour=coloured)
    images = torch.randint(0, 255, (4, 3, 32, 32), dtype=torch.uint8)
    given = [(200, 10, 10), None, (0, 0, 255), (9, 9, 9)]
    rows = torch.from_numpy(colour_rows(given))
    pairs = SketchPairs(images, images, PairColours(rows, {"red": "#c80a0a"}) if coloured else None)
    module = SketchGan(params.train_gan, PairData(pairs, pairs, 2, 0))
    run: Any = SimpleNamespace(volatile=lambda *_: None)
    train_gan.export(module, pairs, params, tmp_path, run)
    described = {"file": "generator.onnx", "size": 32}
    assert read_json(tmp_path / "generator.json") == described | ({"colours": {"red": "#c80a0a"}} if coloured else {})
    sketches = next(pairs.sketch_batches())
    painted = Generator(tmp_path).generate(with_colours(sketches, given) if coloured else sketches)
    drawn = scale(images)
    with torch.no_grad():
        expected = module.generator.eval()(beside(drawn, rows) if coloured else drawn)
    np.testing.assert_allclose(painted, (expected.numpy() + 1) / 2, atol=1e-4)
    without = Generator(tmp_path).generate(sketches)
    assert np.abs(without - painted).max() == 0 or coloured
    assert not coloured or np.abs(without[0] - painted[0]).max() > 0


@pytest.mark.slow
def test_several_photos_are_painted_in_the_colour_that_is_given(tmp_path: Path) -> None:
    torch.manual_seed(0)
    params = small_gan(colour=True, samples=3)
    images = torch.randint(0, 255, (2, 3, 32, 32), dtype=torch.uint8)
    given = [(200, 10, 10), (0, 0, 255)]
    pairs = SketchPairs(images, images, PairColours(torch.from_numpy(colour_rows(given)), {"red": "#c80a0a"}))
    run: Any = SimpleNamespace(volatile=lambda *_: None)
    train_gan.export(SketchGan(params.train_gan, PairData(pairs, pairs, 2, 0)), pairs, params, tmp_path, run)
    generator = Generator(tmp_path)
    assert (generator.samples, generator.described.colours) == (3, {"red": "#c80a0a"})
    sketches = next(pairs.sketch_batches())
    painted, without = generator.paint(with_colours(sketches, given)), generator.paint(sketches)
    assert painted.shape == without.shape == (2, 3, 3, 32, 32)
    assert all(np.abs(painted[:, number] - without[:, number]).max() > 0 for number in range(3))


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
