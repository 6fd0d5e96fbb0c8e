"""Drawings as a person makes them with a mouse go through every mode, whatever they look like."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from croquis.catalog.images import encode_png
from croquis.search.local_retriever import LocalRetriever
from croquis.search.query import MODES


def scribble(seed: int) -> np.ndarray:
    """Random strokes on a sheet of random size: thick and thin, in any colour, curved or jagged, on white or nearly so."""
    chance = np.random.default_rng(seed)
    height, width = chance.integers(20, 700, 2).tolist()
    sheet = np.full((height, width, 3), int(chance.integers(235, 256)), dtype=np.uint8)
    for _ in range(int(chance.integers(1, 25))):
        steps = chance.normal(0, 0.08 * max(height, width), (int(chance.integers(2, 30)), 2))
        points = (np.cumsum(steps, axis=0) + chance.uniform(0, 1, 2) * (width, height)).round().astype(np.int32)
        colour = [int(value) for value in chance.integers(0, 160, 3)]
        cv2.polylines(sheet, [points], False, colour, int(chance.integers(1, 12)), cv2.LINE_AA)
    return sheet


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("rerank", [False, True])
def test_scribbles_are_answered_in_every_mode(make_bundle: Callable[..., Path], mode: str, rerank: bool) -> None:
    retriever = LocalRetriever.load(make_bundle())
    for seed in range(12):
        hits = retriever.search(scribble(seed), k=5, mode=mode, rerank=rerank)
        assert len(hits) == 5
        assert all(np.isfinite(hit.score) for hit in hits)


@pytest.mark.parametrize("mode", MODES)
def test_odd_sheets_are_answered(make_bundle: Callable[..., Path], mode: str) -> None:
    """A blank sheet, a dot, a black one, one line at the border, and a transparent canvas as a browser hands it over."""
    retriever = LocalRetriever.load(make_bundle())
    blank = np.full((90, 60, 3), 255, dtype=np.uint8)
    dot, line = blank.copy(), blank.copy()
    dot[40, 30] = 0
    line[:, 0] = 0
    canvas = Image.new("RGBA", (120, 80), (0, 0, 0, 0))
    canvas.paste((0, 0, 0, 255), (30, 20, 34, 60))
    stream = io.BytesIO()
    canvas.save(stream, "PNG")
    for sheet in (blank, dot, line, np.zeros_like(blank), encode_png(dot), stream.getvalue()):
        assert len(retriever.search(sheet, k=3, mode=mode)) == 3


def test_where_the_drawing_is_on_the_sheet_does_not_change_what_is_painted(make_bundle: Callable[..., Path]) -> None:
    retriever = LocalRetriever.load(make_bundle())
    drawing = scribble(3)
    moved = np.full((drawing.shape[0] + 200, drawing.shape[1] + 300, 3), 255, dtype=np.uint8)
    moved[150 : 150 + drawing.shape[0], 40 : 40 + drawing.shape[1]] = drawing
    sheet = np.where(drawing.min(axis=2, keepdims=True) > 230, 255, drawing).astype(np.uint8)
    moved = np.where(moved.min(axis=2, keepdims=True) > 230, 255, moved).astype(np.uint8)
    inside = np.pad(sheet, ((20, 20), (20, 20), (0, 0)), constant_values=255)
    painted = retriever.nets.generate([inside, moved])
    np.testing.assert_array_equal(painted[0], painted[1])
