"""Flats: technical line drawings made from the garment's own geometry, by an unsteady hand."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np

from croquis.sources.rendered.drawing.geometry import (
    Badge,
    Button,
    Part,
    Points,
    Stroke,
    Zip,
    ellipse,
    points,
    rectangle,
)
from croquis.sources.rendered.garments.cloth import Frame, fit
from croquis.sources.rendered.garments.garment import Garment, block_band, block_style
from croquis.sources.rendered.garments.silhouettes import draw, shop_pose
from croquis.sources.rendered.render import dashes
from croquis.sources.rendered.seeding import stream

SUPERSAMPLING = 3
CORNER = np.cos(np.radians(42))
SHIFT = 4
STEP = 2.5
"""Length of the straight pieces of a line, pixels of a photo of 128."""


class FlatHand:
    """Draws lines as a person does: a slow wobble, ends that miss, a width that varies, a place that is a bit off."""

    def __init__(self, image: np.ndarray, frame: Frame, rng: np.random.Generator) -> None:
        self.image, self.frame, self.rng = image, frame, rng
        self.unsteadiness = float(rng.uniform(0.5, 1.5))
        self.pen = frame.width / 128 * float(rng.uniform(0.85, 1.35))
        self.ink = float(rng.uniform(10, 60))

    def line(self, path: Points, weight: float = 1.0) -> None:
        """One stroke along `path` (garment units); `weight` 1 is an outline, less is a detail."""
        pixels = self._wobbled(_resampled(self.frame.to_pixels(path), STEP * self.frame.width / 128))
        if len(pixels) < 2:
            return
        width = self.pen * weight * (1.0 + 0.25 * _smooth_noise(self.rng, len(pixels) - 1, 8))
        places = np.round(pixels * 2**SHIFT).astype(int).tolist()
        thickness = np.maximum(1, np.round(width)).astype(int).tolist()
        for start, end, thick in zip(places[:-1], places[1:], thickness, strict=True):
            cv2.line(self.image, start, end, self.ink, thick, cv2.LINE_AA, SHIFT)

    def _wobbled(self, pixels: Points) -> Points:
        unit = self.unsteadiness * self.frame.width / 128
        n = len(pixels)
        drift = np.stack([_smooth_noise(self.rng, n, 16), _smooth_noise(self.rng, n, 16)], axis=1) * 0.55
        shake = np.stack([_smooth_noise(self.rng, n, 4), _smooth_noise(self.rng, n, 4)], axis=1) * 0.14
        moved = pixels + unit * (drift + shake + self.rng.normal(0, 0.3, 2))
        if n > 3:
            for end, before in ((0, 2), (-1, -3)):
                way = moved[end] - moved[before]
                length = max(float(np.linalg.norm(way)), 1e-9)
                moved[end] = moved[end] + way / length * unit * self.rng.normal(0.6, 1.0)
        return np.asarray(moved)

    def outline(self, path: Points) -> None:
        """A closed outline as several strokes, lifted at the corners; what lies below is wiped out."""
        inside = np.round(self.frame.to_pixels(path) * 2**SHIFT).astype(np.int32)
        cv2.fillPoly(self.image, [inside], 255.0, cv2.LINE_AA, SHIFT)
        for stroke in strokes_of(path):
            self.line(stroke)


def flat(garment: Garment, size: int, seed: int, number: int) -> bytes:
    """A black-on-white line drawing of the front, PNG bytes, 8-bit grey, (size, size)."""
    rng = stream(seed, number, "flat")
    side = size * SUPERSAMPLING
    drawing = draw(garment, "front", shop_pose(garment))
    frame = fit(drawing.box(), side, float(rng.uniform(0.80, 0.90)))
    hand = FlatHand(np.full((side, side), 255, dtype=np.uint8), frame, rng)
    largest = max(_area(e.outline) for e in drawing.elements if isinstance(e, Part) and e.fill == "main")
    for element in drawing.elements:
        _draw(hand, element, garment)
        if isinstance(element, Part) and element.fill == "main" and _area(element.outline) > 0.6 * largest:
            _hint_pattern(hand, element, garment)
    small = cv2.resize(hand.image, (size, size), interpolation=cv2.INTER_AREA)
    _, encoded = cv2.imencode(".png", small)
    return encoded.tobytes()


def _draw(hand: FlatHand, element: object, garment: Garment) -> None:
    rng = hand.rng
    if isinstance(element, Part) and element.drawn:
        hand.outline(element.outline)
        if element.fill == "rib":
            _hatch_rib(hand, element.outline)
    elif isinstance(element, Stroke) and element.kind in {"seam", "cord"}:
        hand.line(element.path, 0.75)
    elif isinstance(element, Stroke) and element.kind == "stitch" and rng.random() < 0.8:
        for piece in dashes(element.path, 0.035, 0.6):
            hand.line(piece, 0.5)
    elif isinstance(element, Button):
        radius = max(element.radius, 0.011)
        hand.line(ellipse(*element.centre, radius, radius, n=12)[[*range(12), 0, 1]], 0.6)
    elif isinstance(element, Zip):
        hand.line(element.path, 0.8)
        for y in np.linspace(element.path[0, 1], element.path[-1, 1], 14)[1:-1]:
            hand.line(points((-0.010, y), (0.010, y + 0.003)), 0.5)
    elif isinstance(element, Badge):
        _hint_badge(hand, element, garment)


def _area(path: Points) -> float:
    x, y = path[:, 0], path[:, 1]
    return float(abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2)


def strokes_of(path: Points) -> list[Points]:
    """The closed outline cut at its corners, each piece an open path; a smooth outline stays in one piece."""
    steps = np.linalg.norm(np.roll(path, -1, axis=0) - path, axis=1)
    path = path[steps > 1e-6]
    along = np.roll(path, -1, axis=0) - path
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    corners = np.flatnonzero((along * np.roll(along, 1, axis=0)).sum(axis=1) < CORNER)
    if not len(corners):
        return [path[[*range(len(path)), 0]]]
    around = np.roll(path, -int(corners[0]), axis=0)
    cuts = [*(corners - corners[0]).tolist(), len(path)]
    closed = np.concatenate([around, around[:1]])
    return [closed[a : b + 1] for a, b in pairwise(cuts)]


def _resampled(path: np.ndarray, step: float) -> Points:
    lengths = np.linalg.norm(np.diff(path, axis=0), axis=1)
    at = np.concatenate([[0.0], np.cumsum(lengths)])
    count = max(3, int(at[-1] / step) + 1)
    where = np.linspace(0.0, at[-1], count)
    return np.stack([np.interp(where, at, path[:, 0]), np.interp(where, at, path[:, 1])], axis=1)


def _smooth_noise(rng: np.random.Generator, n: int, span: int) -> np.ndarray:
    """`n` values of about unit variance that change over some `span` steps."""
    knots = rng.standard_normal(max(2, n // span + 2))
    return np.interp(np.linspace(0, len(knots) - 1, n), np.arange(len(knots)), knots)


def _hatch_rib(hand: FlatHand, outline: Points) -> None:
    """A few short strokes across a ribbed band."""
    half = len(outline) // 2
    first, second = outline[:half], outline[half:][::-1]
    for share in np.linspace(0.06, 0.94, 9):
        a, c = first[int(share * (len(first) - 1))], second[int(share * (len(second) - 1))]
        hand.line(np.stack([a + (c - a) * 0.15, a + (c - a) * 0.85]), 0.45)


def _hint_badge(hand: FlatHand, badge: Badge, garment: Garment) -> None:
    (x, y), r = badge.centre, badge.width * 0.36
    if garment.print.motif % 2:
        hand.line(ellipse(x, y, r, r)[[*range(28), 0]], 0.7)
    else:
        hand.line(rectangle(x - r, y - r * 0.7, x + r, y + r * 0.7)[[0, 1, 2, 3, 0]], 0.7)
    hand.line(points((x - r * 0.6, y + r * 0.2), (x - r * 0.1, y - r * 0.2), (x + r * 0.5, y + r * 0.2)), 0.7)


def _hint_pattern(hand: FlatHand, part: Part, garment: Garment) -> None:
    """A few strokes that say what is printed, only within the part."""
    (x0, y0), (x1, y1) = part.outline.min(axis=0), part.outline.max(axis=0)
    before, spec = hand.image.copy(), garment.print
    gap = max(0.07, 1.6 * spec.period)
    if spec.kind in {"stripes-horizontal", "checks", "zigzag"}:
        for y in np.arange(y0 + gap, y1, gap):
            hand.line(_zig(x0, x1, y) if spec.kind == "zigzag" else points((x0, y), (x1, y)), 0.45)
    if spec.kind in {"stripes-vertical", "checks"}:
        for x in np.arange(x0 + gap / 2, x1, gap):
            hand.line(points((x, y0), (x, y1)), 0.45)
    if spec.kind in {"dots", "floral", "camouflage", "argyle"}:
        for x in np.arange(x0 + gap / 2, x1, 1.5 * gap):
            for y in np.arange(y0 + gap, y1, 1.5 * gap):
                _motif(hand, spec.kind, x + hand.rng.normal(0, gap / 5), y + hand.rng.normal(0, gap / 5))
    for line in _block_lines(garment, x0, y0, x1, y1):
        hand.line(line, 0.6)
    mask = np.zeros_like(before)
    inside = np.round(hand.frame.to_pixels(part.outline) * 2**SHIFT).astype(np.int32)
    cv2.fillPoly(mask, [inside], 255, cv2.LINE_8, SHIFT)
    hand.image[mask == 0] = before[mask == 0]


def _block_lines(garment: Garment, x0: float, y0: float, x1: float, y1: float) -> list[Points]:
    """The borders between the colours of a colour-blocked garment."""
    start, end = block_band(garment)
    lines = {
        "band": [points((x0, start), (x1, start)), points((x0, end), (x1, end))],
        "lower": [points((x0, start), (x1, start))],
        "halves": [points((0.0, y0), (0.0, y1))],
    }
    return lines.get(block_style(garment), [])


def _zig(x0: float, x1: float, y: float) -> Points:
    xs = np.arange(x0, x1 + 0.04, 0.04)
    return np.stack([xs, y + 0.016 * (-1.0) ** np.arange(len(xs))], axis=1)


def _motif(hand: FlatHand, kind: str, x: float, y: float) -> None:
    if kind == "floral":
        for a in np.arange(5) * 2 * np.pi / 5:
            hand.line(
                ellipse(x + 0.016 * np.cos(a), y + 0.016 * np.sin(a), 0.012, 0.008, float(a), 8)[[*range(8), 0]], 0.4
            )
    elif kind == "argyle":
        hand.line(points((x, y - 0.04), (x + 0.025, y), (x, y + 0.04), (x - 0.025, y), (x, y - 0.04)), 0.45)
    else:
        r = 0.013 if kind == "dots" else 0.028
        stretch = 1.0 if kind == "dots" else 0.6
        hand.line(ellipse(x, y, r, r * stretch, 0.4, 10)[[*range(10), 0]], 0.45)
