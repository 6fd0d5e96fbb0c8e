"""A simulated hand: redraws the lines of a photo as a person might, from memory of its strokes rather than of its pixels.

No two drawings are by the same person: how closely the hand follows, how much it shows inside the outline, how thick and
dark its pen is and where on the sheet it draws are settled once per drawing. Then each stroke is simplified and cut at
sharp turns, some are left out and some drawn twice, ends shoot past or stop short, the line wobbles slowly (a hand drifts,
it does not tremble at every pixel), and the pressure varies along it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from croquis.sketching.linework import REFERENCE, Linework, length
from croquis.sketching.skeleton import Stroke

WOBBLE_LENGTH = 14.0  # distance along the stroke over which the hand's drift changes
LONGEST = 70.0  # longer strokes are drawn in several goes
OVERSHOOT = 3.0  # standard deviation of how far a stroke's end passes or misses its mark
SPACING = 2.0  # distance between the points of the redrawn line
SHARP_TURN = np.deg2rad(60.0)
STRETCH = 0.06  # how far proportions may be off, as the logarithm of a factor
TILT = np.deg2rad(3.0)
PALEST = 110  # grey of the lightest pen, of 255
FINE = 4  # drawn this many times larger, then averaged down
SHIFT = 4  # fractional bits of OpenCV's coordinates


@dataclass(frozen=True)
class Hand:
    """How hands draw; lengths are pixels of a sheet of 128. Pairs are the ends of a range that each drawing draws from.

    Attributes:
        jitter: standard deviation of the wobble; a drawing's own is 0.4 to 1.6 of it.
        drop: probability that a stroke is left out.
        retrace: probability that a stroke is drawn a second time.
        line_width: of the pen.
        simplify: how far the redrawn corners may lie from the line; large values make coarse outlines.
        detail: length of the lines drawn inside the outline, in sides of the sheet; the longest come first.
        margin: of the sheet left free on the drawing's longer side, as a share of the sheet's.
    """

    jitter: float
    drop: float
    retrace: float
    line_width: Sequence[float]
    simplify: Sequence[float]
    detail: Sequence[float]
    margin: Sequence[float]


@dataclass(frozen=True)
class Person:
    """What is settled once per drawing."""

    jitter: float
    drop: float
    retrace: float
    width: float
    grey: int
    simplify: float
    detail: float

    @classmethod
    def meet(cls, hand: Hand, chance: np.random.Generator) -> Person:
        """A person by chance, within what a hand allows."""
        return cls(
            jitter=hand.jitter * float(chance.uniform(0.4, 1.6)),
            drop=hand.drop,
            retrace=hand.retrace,
            width=_between(hand.line_width, chance),
            grey=int(chance.integers(0, PALEST)),
            simplify=_between(hand.simplify, chance),
            detail=_between(hand.detail, chance) * REFERENCE,
        )


def _between(ends: Sequence[float], chance: np.random.Generator) -> float:
    low, high = ends
    return float(chance.uniform(low, high))


def generator_for(image_id: str, seed: int) -> np.random.Generator:
    """The hand's chance for one image: the same image and seed give the same drawing on any machine."""
    digest = hashlib.sha256(f"strokes/{seed}/{image_id}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))


def draw_by_hand(lines: Linework, size: int, hand: Hand, chance: np.random.Generator) -> npt.NDArray[np.uint8]:
    """A line drawing uint8 (size, size), dark on white.

    Lines never give a blank sheet: should chance drop every stroke, the longest is drawn.
    """
    person = Person.meet(hand, chance)
    inner = _chosen(lines.inner, person.detail, chance)
    strokes = [part for stroke in (*lines.outline, *inner) for part in _cut(_simplify(stroke, person.simplify))]
    kept = [stroke for stroke in strokes if chance.random() >= person.drop]
    if strokes and not kept:
        kept = [max(strokes, key=length)]
    kept += [stroke for stroke in kept if chance.random() < person.retrace]
    canvas = np.full((size * FINE, size * FINE), 255, dtype=np.uint8)
    for stroke in _placed(kept, _between(hand.margin, chance), chance):
        _ink(canvas, _wobble(_overshoot(stroke, chance), person.jitter, chance), person, size / REFERENCE, chance)
    return np.asarray(cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _chosen(strokes: Sequence[Stroke], budget: float, chance: np.random.Generator) -> list[Stroke]:
    """Strokes whose lengths add up to `budget`: long ones sooner than short ones, but not strictly so."""
    weights = [length(stroke) * float(np.exp(chance.normal(0.0, 0.5))) for stroke in strokes]
    chosen, used = [], 0.0
    for number in np.argsort(weights)[::-1].tolist():
        used += length(strokes[number])
        if used > budget:
            break
        chosen.append(strokes[number])
    return chosen


def _simplify(stroke: Stroke, tolerance: float) -> Stroke:
    """The stroke's corner points (Ramer, Douglas, Peucker)."""
    corners = cv2.approxPolyDP(stroke.reshape(-1, 1, 2).astype(np.float32), tolerance, closed=False)
    return np.asarray(corners, dtype=np.float32).reshape(-1, 2)


def _cut(corners: Stroke) -> list[Stroke]:
    """Parts of a stroke: cut at sharp turns, and where one go of the hand would get too long."""
    if len(corners) < 2:
        return []
    steps = np.diff(corners, axis=0)
    angles = np.arctan2(steps[:, 1], steps[:, 0])
    turns = np.abs((np.diff(angles) + np.pi) % (2 * np.pi) - np.pi)
    parts, first, gone = [], 0, 0.0
    for corner in range(1, len(corners)):
        gone += float(np.linalg.norm(steps[corner - 1]))
        last = corner == len(corners) - 1
        if last or turns[corner - 1] > SHARP_TURN or gone > LONGEST:
            parts.append(corners[first : corner + 1])
            first, gone = corner, 0.0
    return parts


def _placed(strokes: Sequence[Stroke], margin: float, chance: np.random.Generator) -> list[Stroke]:
    """The strokes shrunk to leave a margin, a little out of proportion and tilted, and placed at random on the sheet."""
    stretch, tilt = np.exp(chance.uniform(-STRETCH, STRETCH) / 2), chance.uniform(-TILT, TILT)
    turn = np.array([[np.cos(tilt), -np.sin(tilt)], [np.sin(tilt), np.cos(tilt)]]) @ np.diag([stretch, 1 / stretch])
    shift = chance.uniform(-0.5, 0.5, 2) * margin * REFERENCE
    middle = REFERENCE / 2
    scale = 1.0 - 2.0 * margin
    return [((stroke - middle) * scale @ turn.T + middle + shift).astype(np.float32) for stroke in strokes]


def _overshoot(stroke: Stroke, chance: np.random.Generator) -> Stroke:
    """Both ends moved along the line: past their mark, or short of it by at most a quarter of the last step."""
    moved = stroke.copy()
    for end, inner in ((0, 1), (-1, -2)):
        step = stroke[end] - stroke[inner]
        gone = float(np.linalg.norm(step))
        moved[end] += step / max(gone, 1e-6) * max(chance.normal(0.5, OVERSHOOT / 2), -gone / 4)
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


def _ink(
    canvas: npt.NDArray[np.uint8], stroke: Stroke, person: Person, scale: float, chance: np.random.Generator
) -> None:
    """Inks the stroke with the person's pen; its width swells and thins by up to a quarter along the way."""
    width = person.width * chance.uniform(0.85, 1.15)
    phase, waves = chance.uniform(0, 2 * np.pi), chance.uniform(0.5, 1.5)
    pressure = 1 + 0.25 * np.sin(phase + waves * np.linspace(0, 2 * np.pi, len(stroke)))
    # Pixel centres: a line through x = 10 covers the pixel from 9.5 to 10.5.
    points = np.rint(((stroke + 0.5) * scale * FINE - 0.5) * 2**SHIFT).astype(np.int32)
    for start, end, press in zip(points[:-1], points[1:], pressure[1:], strict=True):
        thickness = max(1, round(width * scale * FINE * float(press)))
        cv2.line(canvas, start.tolist(), end.tolist(), person.grey, thickness, cv2.LINE_AA, SHIFT)
