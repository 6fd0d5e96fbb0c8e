"""Chest graphics: small pictures and words, each from its seed."""

from __future__ import annotations

import cv2
import numpy as np

from croquis.sources.rendered.drawing.geometry import Points, ellipse, points
from croquis.sources.rendered.garments.fabric import third_colour
from croquis.sources.rendered.garments.garment import Garment
from croquis.sources.rendered.garments.palette import Colour

SIDE = 128
WORDS = (
    "NORTH",
    "ATLAS",
    "NOVA",
    "87",
    "LUNA",
    "RIO",
    "WAVE",
    "ECHO",
    "KYOTO",
    "24",
    "ORBIT",
    "SOL",
    "PEAK",
    "FERN",
    "MOSS",
    "07",
)


def graphic(garment: Garment) -> np.ndarray:
    """The picture as RGBA in [0, 255], uint8 (SIDE, SIDE, 4); transparent where the cloth shows."""
    rng = np.random.default_rng(garment.print.motif + 1)
    image = np.zeros((SIDE, SIDE, 4), dtype=np.uint8)
    colours = (garment.accent_rgb, third_colour(garment), garment.main_rgb)
    makers = (_sun, _mountain, _star, _rings, _bars, _leafy, _flag)
    makers[int(rng.integers(len(makers)))](image, rng, colours)
    if rng.random() < 0.55:
        _word(image, WORDS[int(rng.integers(len(WORDS)))], 114, colours[0], 0.8 + 0.4 * float(rng.random()))
    return image


Colours = tuple[Colour, Colour, Colour]


def _fill(image: np.ndarray, path: Points, colour: Colour) -> None:
    cv2.fillPoly(image, [np.round(path * 16).astype(np.int32)], (*colour, 255), cv2.LINE_AA, 4)


def _word(image: np.ndarray, text: str, baseline: int, colour: Colour, scale: float) -> None:
    (wide, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_DUPLEX, scale, 3)
    at = ((SIDE - wide) // 2, baseline)
    cv2.putText(image, text, at, cv2.FONT_HERSHEY_DUPLEX, scale, (*colour, 255), 3, cv2.LINE_AA)


def _sun(image: np.ndarray, rng: np.random.Generator, colours: Colours) -> None:
    radius = float(rng.uniform(26, 38))
    _fill(image, ellipse(64, 50, radius, radius), colours[0])
    for k in range(int(rng.integers(2, 5))):
        y = 50 + radius * (0.1 + 0.24 * k)
        _fill(image, points((20, y), (108, y), (108, y + 3 + k), (20, y + 3 + k)), colours[2])


def _mountain(image: np.ndarray, rng: np.random.Generator, colours: Colours) -> None:
    _fill(image, ellipse(88, 34, 13, 13), colours[1])
    left, peak = float(rng.uniform(40, 62)), float(rng.uniform(18, 36))
    _fill(image, points((8, 88), (left, peak), (92, 88)), colours[0])
    _fill(image, points((52, 88), (84, peak + 22), (120, 88)), colours[1])
    _fill(image, points((left - 9, peak + 18), (left, peak), (left + 9, peak + 18), (left, peak + 12)), colours[2])


def _star(image: np.ndarray, rng: np.random.Generator, colours: Colours) -> None:
    tips, inner = int(rng.integers(4, 9)), float(rng.uniform(0.35, 0.6))
    a = np.arange(2 * tips) * np.pi / tips - np.pi / 2
    radius = np.where(np.arange(2 * tips) % 2 == 0, 46.0, 46.0 * inner)
    _fill(image, np.stack([64 + radius * np.cos(a), 52 + radius * np.sin(a)], axis=1), colours[0])
    _fill(image, ellipse(64, 52, 14, 14), colours[1])


def _rings(image: np.ndarray, rng: np.random.Generator, colours: Colours) -> None:
    for k, radius in enumerate(np.linspace(46, 12, int(rng.integers(3, 6)))):
        _fill(image, ellipse(64, 52, radius, radius * float(rng.uniform(0.95, 1.0))), colours[k % 3])


def _bars(image: np.ndarray, rng: np.random.Generator, colours: Colours) -> None:
    for k, x in enumerate(np.linspace(16, 98, int(rng.integers(4, 7)))):
        top = float(rng.uniform(8, 60))
        _fill(image, points((x, top), (x + 11, top), (x + 11, 94), (x, 94)), colours[k % 2])


def _leafy(image: np.ndarray, rng: np.random.Generator, colours: Colours) -> None:
    count, turn = int(rng.integers(5, 10)), float(rng.uniform(0, 3))
    for k in range(count):
        a = turn + 2 * np.pi * k / count
        _fill(image, ellipse(64 + 27 * np.cos(a), 52 + 27 * np.sin(a), 24, 9, a), colours[k % 2])
    _fill(image, ellipse(64, 52, 11, 11), colours[1])


def _flag(image: np.ndarray, rng: np.random.Generator, colours: Colours) -> None:
    low = 34 + float(rng.uniform(0, 20))
    _fill(image, points((8, 14), (120, 14), (120, low), (8, low)), colours[0])
    _fill(image, points((8, low + 5), (120, low + 5), (120, 90), (8, 90)), colours[1])
    _fill(image, ellipse(64, 52, 15, 15), colours[2])
