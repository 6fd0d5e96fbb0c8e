"""The generator takes a sketch, and a colour where its description says so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from croquis.files import read_json, write_json
from croquis.nets.generator import Generator, colour_rows, with_colours
from croquis.nets.session import ModelError
from tests.support import tiny_retriever as tiny

RED = (220, 30, 30)
SKETCHES = np.ones((2, 3, tiny.SKETCH_SIZE, tiny.SKETCH_SIZE), dtype=np.float32)


def test_planes_hold_the_colour_and_whether_there_is_one() -> None:
    np.testing.assert_allclose(
        colour_rows([RED, None]), [[220 / 255, 30 / 255, 30 / 255, 1], [0.5, 0.5, 0.5, 0]], rtol=1e-6
    )
    given = with_colours(SKETCHES * 0.25, [RED, None])
    assert (given.shape, given.dtype) == ((2, 7, tiny.SKETCH_SIZE, tiny.SKETCH_SIZE), np.float32)
    assert (given[:, :3] == 0.25).all()
    assert (given[:, 3:] == colour_rows([RED, None])[:, :, None, None]).all()
    assert colour_rows([]).shape == (0, 4)


def test_a_generator_that_takes_a_colour_paints_in_it_and_also_without(tmp_path: Path) -> None:
    generator = Generator(tiny.save_colour_generator(tmp_path))
    assert generator.takes_colour
    painted = generator.generate(with_colours(SKETCHES, [RED, None]))
    np.testing.assert_allclose(painted[0, :, 0, 0], np.array(RED) / 255, atol=1e-6)
    np.testing.assert_array_equal(generator.generate(SKETCHES)[0], painted[1])


def test_a_generator_that_takes_none_refuses_planes(tmp_path: Path) -> None:
    generator = Generator(tiny.save_generator(tmp_path))
    assert not generator.takes_colour
    with pytest.raises(ModelError, match=r"takes float32 \(B, 3, 8, 8\), got float32 \(2, 7, 8, 8\)"):
        generator.generate(with_colours(SKETCHES, [RED, None]))


def test_a_graph_of_other_channels_than_its_description_is_refused_when_opened(tmp_path: Path) -> None:
    folder = tiny.save_generator(tmp_path)
    write_json(folder / "generator.json", {**read_json(folder / "generator.json"), "colours": {}})
    with pytest.raises(ModelError, match=r"generator\.onnx takes 3 channels, its description says 7"):
        Generator(folder)
