"""Curves, and the pieces that a garment is drawn from.

Garment units: x to the right of the body's middle, y down from the base of the neck; half a shoulder line is about 0.2,
the waist lies at 0.42, the knee at 1.05, the ankle at 1.55.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]
"""Shape (n, 2): x and y in garment units."""


@dataclass(frozen=True)
class Part:
    """A closed piece of cloth. Later parts lie over earlier ones and shade them.

    Attributes:
        fill: `main` (printed cloth), `solid` (main colour), `accent`, `rib`, `inside` (lining in shadow) or `metal`.
        grain: turn of the print and weave against the body, radians.
        lift: how dark a shadow the part throws on what is below, 0 to 1.
        round: how much the part darkens towards its edge, 0 (flat) to 1 (tube).
    """

    outline: Points
    fill: str = "main"
    grain: float = 0.0
    lift: float = 0.5
    round: float = 0.5
    colour: tuple[float, float, float] | None = None
    drawn: bool = True


@dataclass(frozen=True)
class Stroke:
    """A line on the cloth: `seam` (thin, dark), `stitch` (dashed), `fold` (soft shade), `cord` (a drawn string)."""

    path: Points
    kind: str = "seam"
    width: float = 0.004
    tone: float = -0.3


@dataclass(frozen=True)
class Button:
    """A round button; garment units."""

    centre: tuple[float, float]
    radius: float = 0.009


@dataclass(frozen=True)
class Badge:
    """Where a graphic print sits; the picture itself comes from the garment's print."""

    centre: tuple[float, float]
    width: float
    turn: float = 0.0


@dataclass(frozen=True)
class Zip:
    """A zip along a path; garment units."""

    path: Points
    width: float = 0.012


Element = Part | Stroke | Button | Badge | Zip


@dataclass(frozen=True)
class Pose:
    """How the garment hangs. Angles in radians, per side (left of the picture, right of the picture)."""

    arms: tuple[float, float] = (0.26, 0.26)
    elbows: tuple[float, float] = (-0.05, -0.05)
    legs: tuple[float, float] = (0.05, 0.05)

    def mirrored(self) -> Pose:
        """The pose seen from the other side."""
        return replace(self, arms=self.arms[::-1], elbows=self.elbows[::-1], legs=self.legs[::-1])


@dataclass
class Drawing:
    """Elements from the back to the front."""

    elements: list[Element] = field(default_factory=list)

    def add(self, *elements: Element) -> None:
        """Lays elements over those that are there."""
        self.elements.extend(elements)

    def box(self) -> tuple[float, float, float, float]:
        """x0, y0, x1, y1 over all parts."""
        every = np.concatenate([e.outline for e in self.elements if isinstance(e, Part)])
        (x0, y0), (x1, y1) = every.min(axis=0), every.max(axis=0)
        return float(x0), float(y0), float(x1), float(y1)


def points(*pairs: Sequence[float] | Points) -> Points:
    """The given (x, y) pairs as one path."""
    return np.array(pairs, dtype=np.float64).reshape(-1, 2)


def bezier(
    start: Sequence[float], first: Sequence[float], second: Sequence[float], end: Sequence[float], n: int = 14
) -> Points:
    """A cubic Bezier curve as `n` points, both ends included."""
    return np.asarray(_bernstein(n) @ np.array([start, first, second, end], dtype=np.float64))


def spline(knots: Points | Sequence[Sequence[float]], n: int = 8) -> Points:
    """A Catmull-Rom curve through all knots, `n` points per span."""
    p = np.asarray(knots, dtype=np.float64)
    p = np.concatenate([2 * p[:1] - p[1:2], p, 2 * p[-1:] - p[-2:-1]])
    corners = np.stack([p[:-3], p[1:-2], p[2:-1], p[3:]], axis=1)  # (spans, 4, 2)
    return np.concatenate([(_catmull_rom(n) @ corners).reshape(-1, 2), p[-2:-1]])


@lru_cache(maxsize=64)
def _bernstein(n: int) -> Points:
    """Weights of the four control points at `n` places, shape (n, 4)."""
    t = np.linspace(0.0, 1.0, n)
    return np.stack([(1 - t) ** 3, 3 * (1 - t) ** 2 * t, 3 * (1 - t) * t**2, t**3], axis=1)


@lru_cache(maxsize=64)
def _catmull_rom(n: int) -> Points:
    """Weights of four neighbouring knots at `n` places between the middle two, shape (n, 4)."""
    t = np.linspace(0.0, 1.0, n, endpoint=False)
    weights = [-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, t**3 - t**2]
    return 0.5 * np.stack(weights, axis=1)


def mirror(path: Points) -> Points:
    """The path on the other side of the body, in reversed order (so that outlines can be chained)."""
    return np.asarray(path[::-1] * np.array([-1.0, 1.0]))


def flip(path: Points) -> Points:
    """The path on the other side of the body, in the same order."""
    return np.asarray(path * np.array([-1.0, 1.0]))


def side(path: Points, sign: int) -> Points:
    """The path as it is for the right of the picture (+1), flipped for the left (-1)."""
    return path if sign > 0 else flip(path)


def chain(*paths: Points) -> Points:
    """Paths one behind the other as one."""
    return np.concatenate(paths)


def offset(path: Points, distance: float) -> Points:
    """The path moved to its left by `distance` (y down: left of the direction of travel is up when going right)."""
    along = np.gradient(path, axis=0)
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
    return np.asarray(path + distance * np.stack([along[:, 1], -along[:, 0]], axis=1))


def ribbon(path: Points, start: float, end: float) -> Points:
    """A closed band along `path` with half widths going from `start` to `end`."""
    half = np.linspace(start, end, len(path))[:, None]
    normal = offset(path, 1.0) - path
    return chain(path + half * normal, (path - half * normal)[::-1])


def rectangle(x0: float, y0: float, x1: float, y1: float) -> Points:
    """The four corners, from (x0, y0) by way of (x1, y0)."""
    return points((x0, y0), (x1, y0), (x1, y1), (x0, y1))


def ellipse(x: float, y: float, rx: float, ry: float, turn: float = 0.0, n: int = 28) -> Points:
    """`n` points of an ellipse about (x, y), turned by `turn` radians; rx and ry in garment units."""
    t = np.linspace(0.0, 2 * np.pi, n, endpoint=False)
    c, s = np.cos(turn), np.sin(turn)
    px, py = rx * np.cos(t), ry * np.sin(t)
    return np.stack([x + c * px - s * py, y + s * px + c * py], axis=1)
