"""The person who wears the garment: skin, hair, arms and legs, posed as the sleeves and trouser legs are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from croquis.sources.rendered.drawing.geometry import (
    Drawing,
    Part,
    Pose,
    bezier,
    chain,
    ellipse,
    flip,
    points,
    ribbon,
    side,
    spline,
)
from croquis.sources.rendered.garments.garment import Garment
from croquis.sources.rendered.garments.measures import PatternBlock, block
from croquis.sources.rendered.garments.palette import Colour, shaded
from croquis.sources.rendered.garments.torso import sleeve_axis

SKINS: tuple[Colour, ...] = (
    (241, 206, 180),
    (224, 178, 146),
    (198, 146, 110),
    (160, 110, 78),
    (120, 80, 58),
    (88, 58, 44),
)
HAIRS: tuple[Colour, ...] = ((34, 28, 26), (62, 42, 32), (98, 66, 42), (150, 108, 62), (196, 160, 104), (120, 52, 34))
SHOES: tuple[Colour, ...] = ((235, 235, 232), (40, 40, 42), (120, 78, 52), (150, 40, 44), (70, 84, 110))
UPPER = frozenset({"top", "dress", "jumpsuit"})


@dataclass(frozen=True)
class Wearer:
    """Looks of the person; `long_hair` falls in front of the shoulders."""

    skin: Colour
    hair: Colour
    shoes: Colour
    long_hair: bool
    glasses: bool

    @classmethod
    def sample(cls, rng: np.random.Generator) -> Wearer:
        """A person by chance."""
        skin, hair, shoes = (group[int(rng.integers(len(group)))] for group in (SKINS, HAIRS, SHOES))
        return cls(skin, hair, shoes, bool(rng.random() < 0.45), bool(rng.random() < 0.4))


def _piece(drawing: Drawing, outline: np.ndarray, colour: Colour, round_: float = 0.7, lift: float = 0.3) -> None:
    drawing.add(Part(outline, colour=colour, lift=lift, round=round_, drawn=False))


def behind(wearer: Wearer, pose: Pose, upper: Garment | None) -> Drawing:
    """Everything of the body that lies under the clothes."""
    drawing, skin = Drawing(), wearer.skin
    if wearer.long_hair:
        _piece(drawing, ellipse(0.0, -0.14, 0.118, 0.20), shaded(wearer.hair, 0.8))
    for sign in (-1, 1):
        spread = float(pose.legs[0 if sign < 0 else 1])
        foot = 0.10 + 0.95 * np.tan(spread)
        leg = spline([(0.095, 0.66), (0.10 + 0.25 * spread, 0.88), (0.098 + 0.4 * spread, 1.08), (foot, 1.58)], 6)
        widths = np.interp(np.linspace(0, 1, len(leg)), [0, 0.45, 0.62, 1.0], [0.098, 0.062, 0.060, 0.036])
        half = np.stack([widths, 0 * widths], axis=1)
        _piece(drawing, side(chain(leg + half, (leg - half)[::-1]), sign), skin)
        _piece(drawing, side(ellipse(foot + 0.012, 1.625, 0.062, 0.042), sign), wearer.shoes)
    right = spline([(0.045, -0.02), (0.168, 0.055), (0.176, 0.22), (0.148, 0.43), (0.19, 0.62), (0.0, 0.74)], 6)
    _piece(drawing, chain(right, flip(right)[::-1]), skin)
    neck = points((-0.052, -0.12), (0.052, -0.12), (0.066, 0.02), (0.0, 0.09), (-0.066, 0.02))
    _piece(drawing, neck, shaded(skin, 0.93))
    _arms(drawing, wearer, pose, _block_of(upper))
    return drawing


def _block_of(upper: Garment | None) -> PatternBlock | None:
    return block(upper) if upper is not None and upper.family in UPPER else None


def _arms(drawing: Drawing, wearer: Wearer, pose: Pose, b: PatternBlock | None) -> None:
    for sign in (-1, 1):
        if b is None:
            continue
        axis = sleeve_axis(b, sign, pose, 0.60)
        if b.sleeve_length == 0.0:
            axis = axis + np.array([-sign * (b.shoulder - 0.150) - sign * 0.008, -0.02])
        arm = ribbon(axis, 0.050, 0.027)
        _piece(drawing, arm, wearer.skin)
        _piece(drawing, _hand(axis), wearer.skin)


def _hand(axis: np.ndarray) -> np.ndarray:
    step = axis[-1] - axis[-3]
    angle = float(np.arctan2(step[1], step[0]))
    centre = axis[-1] + step / max(float(np.linalg.norm(step)), 1e-9) * 0.045
    return ellipse(float(centre[0]), float(centre[1]), 0.062, 0.032, angle)


def in_front(wearer: Wearer, turned_away: bool) -> Drawing:
    """Head and hair, over the collar of the garment."""
    drawing = Drawing()
    if turned_away:
        _piece(drawing, ellipse(0.0, -0.20, 0.092, 0.125), wearer.hair)
        if wearer.long_hair:
            fall = spline([(-0.10, -0.20), (-0.112, -0.02), (-0.08, 0.13), (0.0, 0.16)], 6)
            _piece(drawing, chain(fall, flip(fall)[::-1]), wearer.hair, lift=0.5)
        return drawing
    _piece(drawing, ellipse(0.0, -0.185, 0.080, 0.110), wearer.skin, lift=0.4)
    crown = bezier((-0.086, -0.16), (-0.10, -0.34), (0.10, -0.34), (0.086, -0.16))
    fringe = bezier((0.078, -0.21), (0.05, -0.26), (-0.02, -0.26), (-0.072, -0.205))
    _piece(drawing, chain(crown, fringe), wearer.hair, lift=0.3)
    shade = (40.0, 34.0, 34.0)
    for sign in (-1, 1):
        radii = (0.026, 0.019) if wearer.glasses else (0.010, 0.007)
        _piece(drawing, ellipse(sign * 0.031, -0.190, *radii), shade, 0.2, 0.0)
    _piece(drawing, ellipse(0.0, -0.128, 0.020, 0.006), (160.0, 76.0, 72.0), 0.1, 0.0)
    if wearer.long_hair:
        for sign in (-1, 1):
            outer = [(0.070, -0.235), (0.098, -0.16), (0.106, -0.04), (0.085, 0.075)]
            lock = spline([*outer, (0.074, -0.02), (0.076, -0.14), (0.068, -0.22)], 5)
            _piece(drawing, side(lock, sign), wearer.hair, lift=0.4)
    return drawing
