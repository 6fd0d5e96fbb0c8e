"""A generator that paints several photos of each sketch; one that paints one is in test_encoder.py."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from croquis.files import read_json, write_json
from croquis.nets.generator import Generator
from croquis.nets.session import ModelError
from tests.support import tiny_retriever as tiny

SIZE = tiny.SKETCH_SIZE
SKETCHES = np.random.default_rng(3).random((4, 3, SIZE, SIZE), dtype=np.float32)


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
