"""Backgrounds of consumer photos: rooms, floors, streets and wardrobes, in any colour."""

from __future__ import annotations

import colorsys
from collections.abc import Callable

import cv2
import numpy as np

Image = np.ndarray


def any_colour(rng: np.random.Generator, saturation: float = 0.45) -> tuple[float, float, float]:
    """A random RGB colour, mostly muted."""
    tone = colorsys.hsv_to_rgb(
        float(rng.random()), float(rng.random() ** 1.5) * saturation, float(rng.uniform(0.25, 0.95))
    )
    return (255.0 * tone[0], 255.0 * tone[1], 255.0 * tone[2])


def upright_scene(rng: np.random.Generator, side: int) -> Image:
    """A place for a person or a hanger: RGB uint8 (side, side, 3)."""
    return _finish(rng, UPRIGHT[int(rng.integers(len(UPRIGHT)))](rng, side))


def floor_scene(rng: np.random.Generator, side: int) -> Image:
    """A surface to lay clothes on: RGB uint8 (side, side, 3)."""
    return _finish(rng, FLOORS[int(rng.integers(len(FLOORS)))](rng, side))


def _finish(rng: np.random.Generator, image: Image) -> Image:
    side = image.shape[0]
    grain = rng.standard_normal((side // 8, side // 8)).astype(np.float32)
    stains = cv2.resize(grain, (side, side), interpolation=cv2.INTER_CUBIC)[..., None]
    return np.asarray(np.clip(image + 5.0 * stains, 0, 255), dtype=np.uint8)


def _plane(side: int, colour: tuple[float, float, float]) -> Image:
    return np.full((side, side, 3), np.round(colour), dtype=np.uint8)


def _shift(colour: tuple[float, float, float], by: float) -> tuple[float, float, float]:
    red, green, blue = (min(255.0, max(0.0, c + by)) for c in colour)
    return (red, green, blue)


def _quad(image: Image, x0: float, y0: float, x1: float, y1: float, colour: tuple[float, float, float]) -> None:
    s = image.shape[0]
    cv2.rectangle(image, (round(x0 * s), round(y0 * s)), (round(x1 * s), round(y1 * s)), colour, -1)


def _room(rng: np.random.Generator, side: int) -> Image:
    wall, floor = any_colour(rng), any_colour(rng)
    image, line = _plane(side, wall), float(rng.uniform(0.7, 0.9))
    if rng.random() < 0.4:
        for x in np.arange(0.0, 1.0, float(rng.uniform(0.06, 0.2))):
            _quad(image, x, 0, x + 0.02, line, _shift(wall, -14))
    _quad(image, 0, line, 1, 1, floor)
    _quad(image, 0, line - 0.02, 1, line, _shift(wall, 30))
    for _ in range(int(rng.integers(2, 5))):
        _furniture(rng, image, line)
    return image


def _furniture(rng: np.random.Generator, image: Image, line: float) -> None:
    x, wide, high, colour = (
        float(rng.uniform(-0.1, 0.9)),
        float(rng.uniform(0.12, 0.4)),
        float(rng.uniform(0.15, 0.7)),
        any_colour(rng, 0.7),
    )
    kind = int(rng.integers(4))
    if kind == 0:  # shelf with books
        _quad(image, x, line - high, x + wide, line + 0.05, colour)
        for y in np.arange(line - high + 0.02, line, 0.12):
            _quad(image, x + 0.015, y, x + wide - 0.015, y + 0.1, _shift(colour, -40))
            for bx in np.arange(x + 0.02, x + wide - 0.04, 0.03):
                _quad(image, bx, y + float(rng.uniform(0.01, 0.05)), bx + 0.02, y + 0.1, any_colour(rng, 0.8))
    elif kind == 1:  # picture or window
        _quad(image, x, 0.08, x + wide, 0.08 + wide, _shift(colour, -50))
        _quad(image, x + 0.02, 0.10, x + wide - 0.02, 0.06 + wide, any_colour(rng, 0.8))
    elif kind == 2:  # sofa or bed
        _quad(image, x, line - high * 0.5, x + 2 * wide, line + 0.1, colour)
        _quad(image, x, line - high * 0.25, x + 2 * wide, line + 0.1, _shift(colour, 22))
    else:  # plant
        s = image.shape[0]
        for _ in range(9):
            a = float(rng.uniform(-np.pi, 0))
            end = (round((x + 0.2 * np.cos(a)) * s), round((line - 0.12 + 0.25 * np.sin(a)) * s))
            cv2.line(
                image,
                (round(x * s), round((line - 0.1) * s)),
                end,
                (50, float(rng.uniform(80, 140)), 60),
                max(2, s // 50),
                cv2.LINE_AA,
            )
        _quad(image, x - 0.05, line - 0.1, x + 0.05, line + 0.03, colour)


def _wardrobe(rng: np.random.Generator, side: int) -> Image:
    """A rail of other clothes."""
    image, s = _plane(side, _shift(any_colour(rng), -40)), side
    x = -0.05
    while x < 1.05:
        wide, top, low = float(rng.uniform(0.07, 0.2)), float(rng.uniform(0.08, 0.16)), float(rng.uniform(0.6, 1.1))
        colour = any_colour(rng, 0.85)
        body = (
            np.array(
                [
                    (x + wide * 0.4, top),
                    (x + wide * 0.6, top),
                    (x + wide, top + 0.1),
                    (x + wide * 1.05, low),
                    (x - wide * 0.05, low),
                    (x, top + 0.1),
                ]
            )
            * s
        )
        cv2.fillPoly(image, [body.astype(np.int32)], colour, cv2.LINE_AA)
        for k in range(3):
            fold = round((x + wide * float(rng.uniform(0.1, 0.9))) * s)
            cv2.line(
                image,
                (fold, round((top + 0.12) * s)),
                (fold + k * 2 - 2, round(low * s)),
                _shift(colour, -28 if k % 2 else 22),
                max(1, s // 90),
                cv2.LINE_AA,
            )
        x += wide * float(rng.uniform(0.6, 0.95))
    cv2.line(image, (0, round(0.07 * s)), (s, round(0.07 * s)), (150, 150, 150), max(2, s // 45))
    return image


def _street(rng: np.random.Generator, side: int) -> Image:
    image = _plane(side, any_colour(rng))
    for _ in range(18):
        x, y = float(rng.uniform(-0.1, 1)), float(rng.uniform(-0.2, 0.7))
        _quad(image, x, y, x + float(rng.uniform(0.05, 0.35)), y + float(rng.uniform(0.1, 0.6)), any_colour(rng, 0.6))
    _quad(image, 0, 0.78, 1, 1, any_colour(rng, 0.15))
    return np.asarray(cv2.blur(image, (side // 14, side // 14)))


def _foliage(rng: np.random.Generator, side: int) -> Image:
    image = _plane(side, (60, 84, 48))
    for _ in range(120):
        at, size = rng.integers(0, side, 2), int(rng.integers(max(3, side // 50), max(6, side // 14)))
        tone = float(rng.uniform(0.4, 1.5))
        axes, turn = (size, max(1, size // 2)), float(rng.uniform(0, 180))
        cv2.ellipse(
            image, (int(at[0]), int(at[1])), axes, turn, 0, 360, (70 * tone, 104 * tone, 52 * tone), -1, cv2.LINE_AA
        )
    _quad(image, 0, 0.85, 1, 1, (128, 118, 100))
    return np.asarray(cv2.blur(image, (max(1, side // 60), max(1, side // 60))))


def _bricks(rng: np.random.Generator, side: int) -> Image:
    colour = any_colour(rng, 0.6)
    image, high = _plane(side, _shift(colour, 34)), float(rng.uniform(0.05, 0.14))
    for row, y in enumerate(np.arange(0.0, 1.0, high)):
        for x in np.arange(-high * 2 + (row % 2) * high, 1.0, high * 2):
            _quad(
                image,
                x + 0.006,
                y + 0.006,
                x + 2 * high - 0.006,
                y + high - 0.006,
                _shift(colour, float(rng.uniform(-16, 16))),
            )
    return image


def _planks(rng: np.random.Generator, side: int) -> Image:
    colour = (float(rng.uniform(110, 215)), float(rng.uniform(80, 165)), float(rng.uniform(50, 125)))
    image, wide = _plane(side, colour), float(rng.uniform(0.08, 0.22))
    for x in np.arange(0.0, 1.0, wide):
        tone = _shift(colour, float(rng.uniform(-22, 22)))
        _quad(image, x, 0, x + wide - 0.007, 1, tone)
        for _ in range(5):
            grain = x + float(rng.uniform(0, wide))
            _quad(image, grain, 0, grain + 0.003, 1, _shift(tone, -12))
    return image if rng.random() < 0.5 else np.ascontiguousarray(image.transpose(1, 0, 2))


def _bedding(rng: np.random.Generator, side: int) -> Image:
    image = _plane(side, any_colour(rng, 0.5)).astype(np.float32)
    waves = cv2.resize(rng.standard_normal((6, 6)).astype(np.float32), (side, side), interpolation=cv2.INTER_CUBIC)
    ridge = np.sin(3.0 * waves + np.linspace(0, 6, side, dtype=np.float32))
    return np.asarray(np.clip(image + 16.0 * ridge[..., None], 0, 255), dtype=np.uint8)


def _carpet(rng: np.random.Generator, side: int) -> Image:
    image, second = _plane(side, any_colour(rng, 0.7)), any_colour(rng, 0.7)
    step = float(rng.uniform(0.08, 0.25))
    for x in np.arange(0.0, 1.0, step):
        for y in np.arange(0.0, 1.0, step):
            centre = np.array([x + step / 2, y + step / 2])
            shape = (centre + np.array([(0, -1), (1, 0), (0, 1), (-1, 0)]) * step * 0.4) * side
            cv2.fillPoly(image, [shape.astype(np.int32)], second, cv2.LINE_AA)
    return image


UPRIGHT: tuple[Callable[[np.random.Generator, int], Image], ...] = (_room, _room, _wardrobe, _street, _foliage, _bricks)
FLOORS: tuple[Callable[[np.random.Generator, int], Image], ...] = (_planks, _bedding, _carpet, _bricks)
