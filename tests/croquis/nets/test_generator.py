"""A generator that paints several photos of each sketch, or takes a colour beside it; one that does neither is in
test_encoder.py."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from croquis.files import read_json, write_json
from croquis.nets.generator import Generator, colour_rows, with_colours
from croquis.nets.session import ModelError
from tests.support import tiny_retriever as tiny

SIZE = tiny.SKETCH_SIZE
SKETCHES = np.random.default_rng(3).random((4, 3, SIZE, SIZE), dtype=np.float32)
RED, PLAIN = (220, 30, 30), np.ones((2, 3, SIZE, SIZE), dtype=np.float32)


def test_the_photos_of_a_sketch_stand_in_a_row(tmp_path: Path) -> None:
    generator = Generator(tiny.save_generator(tmp_path, samples=3))
    assert generator.samples == 3
    painted = generator.paint(SKETCHES)
    tints = np.where(np.eye(3), 1, 0.2).reshape(1, 3, 3, 1, 1)
    np.testing.assert_allclose(painted, SKETCHES[:, None] * tints, atol=1e-6)
    np.testing.assert_array_equal(generator.generate(SKETCHES), painted.reshape(12, 3, SIZE, SIZE))


def test_one_photo_has_a_description_without_samples(tmp_path: Path) -> None:
    generator = Generator(tiny.save_generator(tmp_path))
    assert "samples" not in read_json(tmp_path / "generator.json")
    assert generator.samples == 1
    assert generator.paint(SKETCHES).shape == (4, 1, 3, SIZE, SIZE)


@pytest.mark.parametrize(("painted", "told"), [(1, 2), (3, 2)])
def test_a_graph_that_paints_another_number_is_refused(tmp_path: Path, painted: int, told: int) -> None:
    tiny.save_generator(tmp_path, samples=painted)
    write_json(tmp_path / "generator.json", {"file": "generator.onnx", "size": SIZE, "samples": told})
    with pytest.raises(ModelError, match=f"its description says {told} of each sketch"):
        Generator(tmp_path)


def test_planes_hold_the_colour_and_whether_there_is_one() -> None:
    np.testing.assert_allclose(
        colour_rows([RED, None]), [[220 / 255, 30 / 255, 30 / 255, 1], [0.5, 0.5, 0.5, 0]], rtol=1e-6
    )
    given = with_colours(PLAIN * 0.25, [RED, None])
    assert (given.shape, given.dtype) == ((2, 7, SIZE, SIZE), np.float32)
    assert (given[:, :3] == 0.25).all()
    assert (given[:, 3:] == colour_rows([RED, None])[:, :, None, None]).all()
    assert colour_rows([]).shape == (0, 4)


def test_a_generator_that_takes_a_colour_paints_in_it_and_also_without(tmp_path: Path) -> None:
    generator = Generator(tiny.save_colour_generator(tmp_path))
    assert generator.takes_colour
    painted = generator.generate(with_colours(PLAIN, [RED, None]))
    np.testing.assert_allclose(painted[0, :, 0, 0], np.array(RED) / 255, atol=1e-6)
    np.testing.assert_array_equal(generator.generate(PLAIN)[0], painted[1])


def test_a_generator_that_takes_none_refuses_planes(tmp_path: Path) -> None:
    generator = Generator(tiny.save_generator(tmp_path))
    assert not generator.takes_colour
    with pytest.raises(ModelError, match=r"takes float32 \(B, 3, 8, 8\), got float32 \(2, 7, 8, 8\)"):
        generator.generate(with_colours(PLAIN, [RED, None]))


def test_a_graph_of_other_channels_than_its_description_is_refused_when_opened(tmp_path: Path) -> None:
    folder = tiny.save_generator(tmp_path)
    write_json(folder / "generator.json", {**read_json(folder / "generator.json"), "colours": {}})
    with pytest.raises(ModelError, match=r"generator\.onnx takes 3 channels, its description says 7"):
        Generator(folder)
