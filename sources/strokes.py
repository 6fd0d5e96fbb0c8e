"""A simulated hand: redraws an edge map as a person might, from memory of its strokes rather than of its pixels.

Lines become strokes; strokes are simplified and cut at sharp turns, some are left out, ends shoot past or stop short, the
line wobbles slowly (a hand drifts, it does not tremble at every pixel), and the pressure varies along it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from sources.skeleton import Stroke, thin, trace

REFERENCE = 128
"""Jitter, widths and the constants below are in pixels of a drawing of this side and scale with it."""

SIMPLIFY = 1.0  # a stroke is redrawn from corner points that lie within this distance of it
WOBBLE_LENGTH = 14.0  # distance along the stroke over which the hand's drift changes
LONGEST = 70.0  # longer strokes are drawn in several goes
OVERSHOOT = 3.0  # standard deviation of how far a stroke's end passes or misses its mark
SPACING = 2.0  # distance between the points of the redrawn line
SHARP_TURN = np.deg2rad(60.0)
FINE = 4  # drawn this many times larger, then averaged down
SHIFT = 4  # fractional bits of OpenCV's coordinates


@dataclass(frozen=True)
class Hand:
    """How the hand draws; see `params.data.Sketch`."""

    jitter: float
    drop: float
    line_width: Sequence[float]


def generator_for(image_id: str, seed: int) -> np.random.Generator:
    """The hand's chance for one image: the same image and seed give the same drawing on any machine."""
    digest = hashlib.sha256(f"strokes/{seed}/{image_id}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))


def draw_by_hand(
    edges: npt.NDArray[np.uint8], size: int, hand: Hand, chance: np.random.Generator
) -> npt.NDArray[np.uint8]:
    """A line drawing uint8 (size, size), dark on white, after a square edge map uint8 (S, S), dark on white.

    An edge map with lines never gives a blank sheet: should chance drop every stroke, the longest is drawn.

    Raises:
        ValueError: when the edge map is not uint8 and square.
    """
    if edges.dtype != np.uint8 or edges.ndim != 2 or edges.shape[0] != edges.shape[1]:
        raise ValueError(f"an edge map must be uint8 (S, S), not {edges.dtype} {edges.shape}")
    scale = REFERENCE / edges.shape[0]
    traced = trace(thin(edges < REFERENCE))
    strokes = [part for stroke in traced for part in _cut(_simplify(stroke * scale))]
    kept = [stroke for stroke in strokes if chance.random() >= hand.drop]
    if strokes and not kept:
        kept = [max(strokes, key=_length)]
    canvas = np.full((size * FINE, size * FINE), 255, dtype=np.uint8)
    for stroke in kept:
        _draw(
            canvas, _wobble(_overshoot(stroke, chance), hand.jitter, chance), hand.line_width, size / REFERENCE, chance
        )
    return np.asarray(cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _length(stroke: Stroke) -> float:
    return float(np.linalg.norm(np.diff(stroke, axis=0), axis=1).sum())


def _simplify(stroke: Stroke) -> Stroke:
    """The stroke's corner points (Ramer, Douglas, Peucker)."""
    corners = cv2.approxPolyDP(stroke.reshape(-1, 1, 2).astype(np.float32), SIMPLIFY, closed=False)
    return np.asarray(corners, dtype=np.float32).reshape(-1, 2)


def _cut(corners: Stroke) -> list[Stroke]:
    """Parts of a stroke: cut at sharp turns, and where one go of the hand would get too long."""
    if len(corners) < 2:
        return []
    steps = np.diff(corners, axis=0)
    angles = np.arctan2(steps[:, 1], steps[:, 0])
    turns = np.abs((np.diff(angles) + np.pi) % (2 * np.pi) - np.pi)
    parts, first, length = [], 0, 0.0
    for corner in range(1, len(corners)):
        length += float(np.linalg.norm(steps[corner - 1]))
        last = corner == len(corners) - 1
        if last or turns[corner - 1] > SHARP_TURN or length > LONGEST:
            parts.append(corners[first : corner + 1])
            first, length = corner, 0.0
    return parts


def _overshoot(stroke: Stroke, chance: np.random.Generator) -> Stroke:
    """Both ends moved along the line: past their mark, or short of it by at most a quarter of the last step."""
    moved = stroke.copy()
    for end, inner in ((0, 1), (-1, -2)):
        step = stroke[end] - stroke[inner]
        length = float(np.linalg.norm(step))
        moved[end] += step / max(length, 1e-6) * max(chance.normal(0.5, OVERSHOOT / 2), -length / 4)
    return moved


def _wobble(stroke: Stroke, jitter: float, chance: np.random.Generator) -> Stroke:
    """The stroke resampled evenly and displaced by a slow random drift of standard deviation `jitter`."""
    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(stroke, axis=0), axis=1))])
    total = float(along[-1])
    places = np.linspace(0.0, total, max(2, round(total / SPACING) + 1))
    knots = np.linspace(0.0, total, max(2, round(total / WOBBLE_LENGTH) + 1))
    drift = chance.normal(0.0, jitter, size=(len(knots), 2))
    points = [np.interp(places, along, stroke[:, axis]) + _smooth(places, knots, drift[:, axis]) for axis in (0, 1)]
    return np.stack(points, axis=1).astype(np.float32)


def _smooth(
    places: npt.NDArray[np.float64], knots: npt.NDArray[np.float64], values: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Interpolates between knots along half a cosine wave, without corners."""
    step = max(float(knots[1] - knots[0]), 1e-6)
    left = np.clip((places / step).astype(np.int64), 0, len(knots) - 2)
    share = (1 - np.cos(np.pi * np.clip(places / step - left, 0, 1))) / 2
    return np.asarray(values[left] * (1 - share) + values[left + 1] * share)


def _draw(
    canvas: npt.NDArray[np.uint8], stroke: Stroke, widths: Sequence[float], scale: float, chance: np.random.Generator
) -> None:
    """Inks the stroke; its width is drawn between `widths` and swells and thins by up to a quarter along the way."""
    width = chance.uniform(widths[0], widths[1])
    phase, waves = chance.uniform(0, 2 * np.pi), chance.uniform(0.5, 1.5)
    pressure = 1 + 0.25 * np.sin(phase + waves * np.linspace(0, 2 * np.pi, len(stroke)))
    grey = int(chance.integers(0, 60))
    # Pixel centres: a line through x = 10 covers the pixel from 9.5 to 10.5.
    points = np.rint(((stroke + 0.5) * scale * FINE - 0.5) * 2**SHIFT).astype(np.int32)
    for start, end, press in zip(points[:-1], points[1:], pressure[1:], strict=True):
        thickness = max(1, round(width * scale * FINE * float(press)))
        cv2.line(canvas, start.tolist(), end.tolist(), grey, thickness, cv2.LINE_AA, SHIFT)
