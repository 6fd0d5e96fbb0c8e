"""Cloth: the repeating tile of a print, and the weave of a fabric."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import cv2
import numpy as np

from croquis.arrays import Floats32, Uint8Image
from croquis.sources.rendered.garments.garment import Garment, Print
from croquis.sources.rendered.garments.palette import PALETTE, Colour, blended, luminance, shaded

WEAVE_PERIOD = {
    "knit": 0.017,
    "cable": 0.075,
    "ribbed": 0.017,
    "corduroy": 0.015,
    "denim": 0.008,
    "pique": 0.010,
    "quilted": 0.085,
}


def third_colour(garment: Garment) -> Colour:
    """The small third colour of a print: drawn from its motif, else a shade between the two."""
    rng = np.random.default_rng(garment.print.motif)
    if rng.random() < 0.5:
        return blended(garment.main_rgb, garment.accent_rgb, 0.5)
    return list(PALETTE.values())[int(rng.integers(len(PALETTE)))]


def tile(garment: Garment, period: int) -> Uint8Image:
    """One repeat of the garment's print, `period` pixels (at least 3) per repeat; shape (h, w, 3), RGB."""
    maker = TILES.get(garment.pattern)
    colours = (garment.main_rgb, garment.accent_rgb, third_colour(garment))
    if maker is None:
        return np.full((4, 4, 3), colours[0], dtype=np.float32).round().astype(np.uint8)
    return maker(garment.print, max(3, period), colours)


Colours = tuple[Colour, Colour, Colour]


def _profile(period: int, spans: list[tuple[float, float]]) -> Floats32:
    """Coverage in [0, 1] of `period` pixels by the spans (in shares of the period), anti-aliased."""
    at = (np.arange(period * 8) + 0.5) / (period * 8)
    covered = np.zeros(period * 8, dtype=np.float32)
    for start, end in spans:
        covered[(at >= start) & (at < end)] = 1.0
    return np.asarray(covered.reshape(period, 8).mean(axis=1), dtype=np.float32)


def _mix(base: Floats32, colour: Colour, cover: Floats32) -> Floats32:
    return np.asarray(base + (np.array(colour, dtype=np.float32) - base) * cover[..., None], dtype=np.float32)


def _stripes(spec: Print, period: int, colours: Colours) -> Uint8Image:
    rng = np.random.default_rng(spec.motif)
    column = np.broadcast_to(np.array(colours[0], dtype=np.float32), (period, 4, 3))
    spans = [(0.0, spec.share)]
    if rng.random() < 0.35:
        spans = [(0.0, spec.share * 0.45), (spec.share * 0.65, spec.share)]
    image = _mix(column, colours[1], np.repeat(_profile(period, spans)[:, None], 4, axis=1))
    if rng.random() < 0.4:
        thin = _profile(period, [(spec.share + (1 - spec.share) * 0.42, spec.share + (1 - spec.share) * 0.62)])
        image = _mix(image, colours[2], np.repeat(thin[:, None], 4, axis=1))
    return image.round().astype(np.uint8)


def _upright(spec: Print, period: int, colours: Colours) -> Uint8Image:
    return np.ascontiguousarray(_stripes(spec, period, colours).transpose(1, 0, 2))


def _checks(spec: Print, period: int, colours: Colours) -> Uint8Image:
    rng, side = np.random.default_rng(spec.motif), int(period * 1.6) + 1
    base = np.broadcast_to(np.array(colours[0], dtype=np.float32), (side, side, 3))
    band = _profile(side, [(0.0, spec.share)])
    image = _mix(base, colours[1], np.add.outer(band, band) * np.float32(0.5))
    if rng.random() < 0.6:
        centre = float(rng.choice([spec.share / 2, (1 + spec.share) / 2]))
        line = _profile(side, [(centre - 0.045, centre + 0.045)])
        image = _mix(image, colours[2], np.maximum.outer(line, line) * np.float32(0.75))
    return image.round().astype(np.uint8)


def _canvas(side: int, colour: Colour) -> Uint8Image:
    return np.full((side, side, 3), np.round(colour), dtype=np.uint8)


def _wrapped(image: Uint8Image, x: float, y: float, reach: float, paint: Callable[[float, float], None]) -> None:
    """Calls `paint` for the motif and for its copies that reach in over the tile's edges."""
    side = image.shape[0]
    for dx in (-side, 0, side):
        for dy in (-side, 0, side):
            if -reach < x + dx < side + reach and -reach < y + dy < side + reach:
                paint(x + dx, y + dy)


def _disc(image: Uint8Image, x: float, y: float, radius: float, colour: Colour) -> None:
    centre = (int(x * 16), int(y * 16))
    cv2.circle(image, centre, max(8, int(radius * 16)), colour, -1, cv2.LINE_AA, 4)


def _oval(image: Uint8Image, x: float, y: float, axes: tuple[float, float], turn: float, colour: Colour) -> None:
    centre, half = (int(x * 16), int(y * 16)), (max(6, int(axes[0] * 16)), max(6, int(axes[1] * 16)))
    cv2.ellipse(image, centre, half, np.degrees(turn), 0, 360, colour, -1, cv2.LINE_AA, 4)


def _dots(spec: Print, period: int, colours: Colours) -> Uint8Image:
    side = max(6, int(period * 1.2))
    image, radius = _canvas(side, colours[0]), side * (0.12 + 0.16 * spec.share)
    for x, y in ((0.25, 0.25), (0.75, 0.75)):
        _wrapped(image, x * side, y * side, radius, lambda px, py: _disc(image, px, py, radius, colours[1]))
    return image


def _floral(spec: Print, period: int, colours: Colours) -> Uint8Image:
    rng, side = np.random.default_rng(spec.motif), max(24, int(period * 4.2))
    image = _canvas(side, colours[0])
    leaf = blended((58.0, 104.0, 64.0), colours[0], 0.25)
    petals, heart = int(rng.integers(4, 7)), colours[2] if luminance(colours[1]) > 60 else (232.0, 190.0, 70.0)
    spots = [(cx + rng.uniform(-0.07, 0.07), cy + rng.uniform(-0.07, 0.07)) for cx, cy in _scatter(rng)]
    for number, (cx, cy) in enumerate(spots):
        size = side * rng.uniform(0.055, 0.095) * (1.0 if number % 3 else 1.25)
        turn = float(rng.uniform(0, 2 * np.pi))
        colour = colours[1] if number % 4 else colours[2]

        def paint(x: float, y: float, size: float = size, turn: float = turn, colour: Colour = colour) -> None:
            for swing in (0.6, 2.4):
                a = turn + swing
                _oval(
                    image, x + 1.7 * size * np.cos(a), y + 1.7 * size * np.sin(a), (0.85 * size, 0.32 * size), a, leaf
                )
            for k in range(petals):
                a = turn + 2 * np.pi * k / petals
                _oval(
                    image,
                    x + size * np.cos(a) * 0.75,
                    y + size * np.sin(a) * 0.75,
                    (0.62 * size, 0.44 * size),
                    a,
                    colour,
                )
            _disc(image, x, y, 0.34 * size, heart)

        _wrapped(image, cx * side, cy * side, 3 * size, paint)
    return image


def _scatter(rng: np.random.Generator) -> list[tuple[float, float]]:
    """Nine places on a jittered grid, in a seeded order."""
    grid = [((i + 0.5 + 0.25 * (j % 2)) / 3, (j + 0.5) / 3) for i in range(3) for j in range(3)]
    return [grid[k] for k in rng.permutation(len(grid))]


def _zigzag(spec: Print, period: int, colours: Colours) -> Uint8Image:
    side = max(6, int(period * 1.3))
    image, wide = _canvas(side, colours[0]), max(1, round(side * (0.18 + 0.25 * spec.share)))
    for y in (-side, 0, side):
        path = np.array([(-0.5, 0.75), (0.0, 0.25), (0.5, 0.75), (1.0, 0.25), (1.5, 0.75)]) * side + [0, y]
        cv2.polylines(image, [(path * 16).astype(np.int32)], False, colours[1], wide, cv2.LINE_AA, 4)
    return image


def _camouflage(spec: Print, period: int, colours: Colours) -> Uint8Image:
    rng, side = np.random.default_rng(spec.motif), max(24, int(period * 5))
    image = np.broadcast_to(np.array(colours[0], dtype=np.float32), (side, side, 3))
    for colour, share in ((colours[1], 0.42), (colours[2], 0.30), (shaded(colours[0], 0.6), 0.16)):
        noise = np.tile(rng.random((7, 7)).astype(np.float32), (3, 3))
        field = cv2.resize(noise, (3 * side, 3 * side), interpolation=cv2.INTER_CUBIC)[side : 2 * side, side : 2 * side]
        level = float(np.quantile(field, 1 - share))
        image = _mix(image, colour, np.clip((field - level) * side * 0.35 + 0.5, 0, 1))
    return image.round().clip(0, 255).astype(np.uint8)


def _argyle(spec: Print, period: int, colours: Colours) -> Uint8Image:
    wide, high = max(8, int(period * 1.7)), max(12, int(period * 2.5))
    image = np.full((high, wide, 3), np.round(colours[0]), dtype=np.uint8)
    diamond = np.array([(0.5, 0.0), (1.0, 0.5), (0.5, 1.0), (0.0, 0.5)]) * [wide, high]
    cv2.fillPoly(image, [(diamond * 16).astype(np.int32)], colours[1], cv2.LINE_AA, 4)
    for x in (-0.5, 0.5):
        cross = (diamond / [wide, high] + [x, 0.0]) * [wide, high]
        cv2.polylines(
            image, [(cross * 16).astype(np.int32)], True, colours[2], 1 + int(spec.share > 0.5), cv2.LINE_AA, 4
        )
    return image


TILES: dict[str, Callable[[Print, int, Colours], Uint8Image]] = {
    "stripes-horizontal": _stripes,
    "stripes-vertical": _upright,
    "checks": _checks,
    "dots": _dots,
    "floral": _floral,
    "zigzag": _zigzag,
    "camouflage": _camouflage,
    "argyle": _argyle,
}


@lru_cache(maxsize=256)
def weave(fabric: str, period: int) -> Floats32:
    """Light and shade of the fabric's surface, one or more repeats; about 1 on average, shape (h, w)."""
    p = max(3, period)
    y, x = np.mgrid[0:p, 0:p].astype(np.float32) / p
    tau = np.float32(2 * np.pi)
    if fabric == "knit":
        stitches = 0.10 * np.sin(tau * (y + np.abs(x - 0.5))) + 0.05 * np.cos(tau * x)
        return np.asarray(1 + stitches, dtype=np.float32)
    if fabric == "cable":
        rope = np.where(
            np.abs(x - 0.5) < 0.30, np.sin(tau * (2 * y + 1.4 * np.abs(x - 0.5))), 0.25 * np.cos(8 * tau * x)
        )
        return np.asarray(1 + 0.13 * rope - 0.14 * np.exp(-(((np.abs(x - 0.5) - 0.32) / 0.05) ** 2)), dtype=np.float32)
    if fabric in {"ribbed", "corduroy"}:
        return np.asarray(1 + (0.11 if fabric == "ribbed" else 0.15) * np.cos(tau * x), dtype=np.float32)
    if fabric == "denim":
        return np.asarray(1 + 0.06 * np.sin(tau * (x + y)), dtype=np.float32)
    if fabric == "pique":
        return np.asarray(1 + 0.07 * np.sin(tau * x) * np.sin(tau * y), dtype=np.float32)
    if fabric == "quilted":
        ridge = np.minimum(np.abs(((x + y) % 1) - 0.5), np.abs(((x - y) % 1) - 0.5)) * 2
        return np.asarray(1.05 - 0.20 * np.exp(-((ridge / 0.14) ** 2)) + 0.10 * (0.5 - y), dtype=np.float32)
    rng = np.random.default_rng(5)
    rough = 0.05 if fabric == "fleece" else 0.018
    return np.asarray(1 + rough * rng.standard_normal((64, 64)), dtype=np.float32)
