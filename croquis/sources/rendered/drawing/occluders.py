"""Things that come between the camera and the garment: bags, arms, leaves."""

from __future__ import annotations

import numpy as np

from croquis.sources.rendered.drawing.geometry import (
    Drawing,
    Part,
    Points,
    bezier,
    chain,
    ellipse,
    rectangle,
    ribbon,
    spline,
)
from croquis.sources.rendered.garments.body import SKINS
from croquis.sources.rendered.garments.palette import Colour, shaded
from croquis.sources.rendered.scene import any_colour

Box = tuple[float, float, float, float]


def occluder(rng: np.random.Generator, box: Box, skin: Colour | None) -> Drawing:
    """One thing placed over a garment, covering about a tenth of it.

    Args:
        box: x0, y0, x1, y1 of the garment, garment units.
        skin: of the wearer, whose bag or hand it is; None when the garment is not worn.
    """
    drawing = Drawing()
    if skin is None:
        (_leaves, _cloth)[int(rng.integers(2))](drawing, rng, box)
    elif rng.random() < 0.65:
        _bag(drawing, rng, box)
    else:
        _cup(drawing, rng, box, skin)
    if rng.random() < 0.15:
        _arm(drawing, rng, box, skin or SKINS[int(rng.integers(len(SKINS)))])
    return drawing


def _piece(drawing: Drawing, outline: Points, colour: tuple[float, float, float], round_: float = 0.5) -> None:
    drawing.add(Part(outline, colour=colour, lift=0.6, round=round_, drawn=False))


def _bag(drawing: Drawing, rng: np.random.Generator, box: Box) -> None:
    _, y0, _, y1 = box
    sign, colour = (1 if rng.random() < 0.5 else -1), any_colour(rng, 0.8)
    hip = min(y0 + 0.55, y1 - 0.05)
    strap = bezier((-sign * 0.12, y0 - 0.02), (-sign * 0.05, y0 + 0.2), (sign * 0.12, hip - 0.2), (sign * 0.2, hip), 12)
    _piece(drawing, ribbon(strap, 0.014, 0.014), colour, 0.2)
    x = sign * float(rng.uniform(0.19, 0.25))
    top, low = hip - 0.04, hip + 0.12
    pouch = [(x - 0.085, top), (x + 0.085, top), (x + 0.095, low), (x - 0.095, low), (x - 0.085, top)]
    _piece(drawing, spline(pouch, 4), colour)
    _piece(drawing, rectangle(x - 0.086, hip - 0.035, x + 0.086, hip + 0.03), shaded(colour, 0.85), 0.2)


def _arm(drawing: Drawing, rng: np.random.Generator, box: Box, skin: Colour) -> None:
    """An arm that reaches in from the side and touches the garment."""
    _, y0, _, y1 = box
    sign = 1 if rng.random() < 0.5 else -1
    _forearm(
        drawing, rng, sign * float(rng.uniform(0.02, 0.10)), y0 + (y1 - y0) * float(rng.uniform(0.45, 0.8)), sign, skin
    )


def _forearm(drawing: Drawing, rng: np.random.Generator, x: float, y: float, sign: int, skin: Colour) -> None:
    """Forearm and hand, fingers at (x, y), coming from the side `sign`."""
    outside = (sign * 0.75, y + float(rng.uniform(-0.1, 0.4)))
    axis = bezier(outside, (sign * 0.4, outside[1]), (sign * 0.25, y + 0.02), (x + sign * 0.05, y), 10)
    _piece(drawing, ribbon(axis, 0.05, 0.030), skin, 0.8)
    _piece(drawing, ellipse(x + sign * 0.02, y, 0.052, 0.034), skin, 0.8)
    for k in range(4):
        tip = (x - sign * 0.055, y - 0.028 + 0.019 * k)
        _piece(drawing, ribbon(np.array([(x, tip[1]), tip]), 0.0095, 0.008), skin, 0.6)


def _cup(drawing: Drawing, rng: np.random.Generator, box: Box, skin: Colour) -> None:
    """A paper cup held before the garment."""
    x0, y0, x1, y1 = box
    x, y = float(rng.uniform(0.3 * x0, 0.3 * x1)), y0 + (y1 - y0) * float(rng.uniform(0.25, 0.6))
    cup = np.array([(x - 0.052, y - 0.075), (x + 0.052, y - 0.075), (x + 0.040, y + 0.075), (x - 0.040, y + 0.075)])
    _piece(drawing, cup, (232.0, 228.0, 220.0), 0.8)
    _piece(drawing, rectangle(x - 0.048, y - 0.03, x + 0.048, y + 0.035), any_colour(rng, 0.8), 0.6)
    _piece(drawing, rectangle(x - 0.057, y - 0.09, x + 0.057, y - 0.07), (60.0, 52.0, 48.0), 0.3)
    _forearm(drawing, rng, x, y, 1 if x > 0 else -1, skin)


def _leaves(drawing: Drawing, rng: np.random.Generator, box: Box) -> None:
    x0, y0, x1, y1 = box
    corner = (x0 if rng.random() < 0.5 else x1, y0 if rng.random() < 0.3 else y1)
    for _ in range(7):
        inward = np.arctan2((y0 + y1) / 2 - corner[1], -corner[0]) + rng.normal(0, 0.7)
        reach = float(rng.uniform(0.10, 0.24))
        x, y = corner[0] + 0.7 * reach * np.cos(inward), corner[1] + 0.7 * reach * np.sin(inward)
        leaf = ellipse(float(x), float(y), reach * 0.6, 0.034, float(inward))
        _piece(drawing, leaf, (52.0, float(rng.uniform(80, 130)), 56.0), 0.5)


def _cloth(drawing: Drawing, rng: np.random.Generator, box: Box) -> None:
    x0, y0, x1, y1 = box
    y, colour = y1 - float(rng.uniform(0.02, 0.16)) * (y1 - y0), any_colour(rng, 0.8)
    heights = y + rng.normal(0, 0.04, 5)
    edge = spline(np.stack([np.linspace(x0 - 0.3, x1 + 0.3, 5), heights], axis=1), 6)
    _piece(drawing, chain(edge, edge[::-1] + np.array([0.0, 0.6])), colour, 0.3)
