"""Lower body: trousers, shorts, skirts, and the skirt part of dresses."""

from __future__ import annotations

import numpy as np

from croquis.sources.rendered.drawing.geometry import (
    Button,
    Drawing,
    Part,
    Points,
    Pose,
    Stroke,
    bezier,
    chain,
    flip,
    points,
    rectangle,
    side,
    spline,
)
from croquis.sources.rendered.garments.garment import Garment, block_style
from croquis.sources.rendered.garments.measures import EASE, HEM_Y

CROTCH_Y = 0.735
LEG_WIDTH = {"slim": 0.052, "regular": 0.074, "loose": 0.108, "flared": 0.118, "pleated": 0.08}
KNEE_WIDTH = {"slim": 0.066, "regular": 0.083, "loose": 0.106, "flared": 0.074, "pleated": 0.09}


def waist_y(garment: Garment) -> float:
    """Height of the waistband, garment units."""
    return 0.425 + 0.022 * garment.shape.rise


def waist_half(garment: Garment) -> float:
    """Half the width of the waistband, garment units."""
    return 0.168 + 0.010 * garment.shape.width + 0.3 * max(EASE[garment.fit], 0.0)


def leg_outline(garment: Garment, sign: int, pose: Pose, top: float, waist: float) -> Points:
    """One leg from the middle of the waist down and back up the inner seam to the crotch."""
    end = HEM_Y[garment.length] * (1.0 + 0.02 * garment.shape.hem)
    hip = 0.210 + 0.008 * garment.shape.width + 0.6 * max(EASE[garment.fit], 0.0)
    spread = np.tan(pose.legs[0 if sign < 0 else 1])

    def centre(y: float) -> float:
        return 0.112 + (y - 0.62) * float(spread) + 0.35 * max(EASE[garment.fit], 0.0)

    def half(y: float) -> float:
        thigh, knee, hem = 0.101, KNEE_WIDTH[garment.fit], LEG_WIDTH[garment.fit] * (1.0 + 0.10 * garment.shape.taper)
        return float(np.interp(y, [0.72, 1.05, 1.53], [thigh + 0.4 * max(EASE[garment.fit], 0), knee, hem]))

    stops = [y for y in (0.80, 0.92, 1.05, 1.20, 1.36) if y < end - 0.05] + [end]
    outer = [
        (waist, top),
        (hip - 0.012, top + 0.10),
        (hip, min(0.64, end - 0.12)),
        *((centre(y) + half(y), y) for y in stops),
    ]
    inner = [(0.0, CROTCH_Y), *((max(centre(y) - half(y), 0.006), y) for y in stops if y > CROTCH_Y + 0.03)]
    right = chain(points((-0.004, top)), spline(outer, 5), spline(inner, 5)[::-1])
    return side(right, sign)


def add_legs(drawing: Drawing, garment: Garment, pose: Pose, top: float, waist: float, back: bool) -> None:
    """Both legs with centre seam, creases and hems."""
    blocked = block_style(garment) == "stripe"
    for sign in (-1, 1):
        outline = leg_outline(garment, sign, pose, top, waist)
        turn = -sign * float(pose.legs[0 if sign < 0 else 1])
        drawing.add(Part(outline, "main", grain=turn, lift=0.45, round=0.6))
        if blocked:
            _side_stripe(drawing, outline)
        _leg_folds(drawing, garment, outline, sign)
    drawing.add(Stroke(points((0.0, top + 0.01), (0.0, CROTCH_Y - 0.005)), "seam", 0.005, -0.35))
    if not back and garment.closure != "none" and garment.family == "legs":
        fly = bezier(
            (0.034, top + 0.03), (0.034, CROTCH_Y - 0.12), (0.034, CROTCH_Y - 0.07), (0.0, CROTCH_Y - 0.045), 8
        )
        drawing.add(Stroke(fly, "stitch", 0.003, -0.25))


def _side_stripe(drawing: Drawing, outline: Points) -> None:
    outer = outline[3 : int(len(outline) * 0.55)]
    drawing.add(Part(chain(outer * [0.98, 1.0], (outer * [0.84, 1.0])[::-1]), "accent", lift=0.1, round=0.3))


def _leg_folds(drawing: Drawing, garment: Garment, outline: Points, sign: int) -> None:
    low = outline[:, 1].max()
    hem = outline[np.abs(outline[:, 1] - low) < 1e-6]
    across = points((hem[:, 0].min(), low - 0.022), (hem[:, 0].max(), low - 0.022))
    drawing.add(Stroke(across, "stitch", 0.003, -0.25))
    for rise, tone in ((0.0, -0.12), (0.035, 0.08), (0.06, -0.08)):
        whisker = points((0.012, CROTCH_Y - 0.03 - rise), (0.10, CROTCH_Y - 0.05 - rise * 1.4))
        drawing.add(Stroke(side(whisker, sign), "fold", 0.018, tone))
    if low > 1.2:
        for y, tone in ((1.02, -0.10), (1.06, 0.06), (1.09, -0.08)):
            row = outline[np.argsort(np.abs(outline[:, 1] - y))[:4]]
            x0, x1 = np.sort(np.abs(row[:, 0]))[[0, -1]]
            drawing.add(Stroke(side(points((x0, y + 0.02), (x0 * 0.4 + x1 * 0.6, y)), sign), "fold", 0.02, tone))
    if garment.category == "trousers" and garment.fabric != "fleece" and low > 1.2:
        middle = float((hem[:, 0].min() + hem[:, 0].max()) / 2)
        drawing.add(Stroke(points((sign * 0.11, 0.52), (middle, low)), "fold", 0.006, -0.16))


def add_waistband(drawing: Drawing, garment: Garment, top: float, waist: float, back: bool) -> None:
    """Waistband with loops and button, or an elastic with cord."""
    elastic = garment.fabric == "fleece" or (garment.category == "shorts" and garment.closure == "none")
    curve = bezier(
        (-waist - 0.003, top), (-waist * 0.5, top + 0.014), (waist * 0.5, top + 0.014), (waist + 0.003, top), 10
    )
    deep = np.array([0.0, 0.042])
    drawing.add(
        Part(chain(curve, (curve * [1.02, 1.0] + deep)[::-1]), "rib" if elastic else "solid", lift=0.4, round=0.4)
    )
    if elastic and not back:
        for sign in (-1, 1):
            cord = bezier(
                (sign * 0.010, top + 0.035),
                (sign * 0.02, top + 0.07),
                (sign * 0.014, top + 0.10),
                (sign * 0.022, top + 0.13),
                7,
            )
            drawing.add(Stroke(cord, "cord", 0.007, 0.0))
    elif garment.category in {"jeans", "trousers", "shorts"}:
        for x in (-0.62, 0.62, 0.0) if back else (-0.55, 0.55):
            at = x * waist
            drawing.add(Part(rectangle(at - 0.007, top - 0.001, at + 0.007, top + 0.055), "solid", lift=0.4, round=0.3))
        if not back and garment.closure == "buttons":
            drawing.add(Button((0.010, top + 0.030), 0.011))


def add_hip_pockets(drawing: Drawing, garment: Garment, top: float, waist: float, back: bool) -> None:
    """Slanted, patch or flap pockets; jeans have a yoke and patch pockets behind."""
    if back and garment.category in {"jeans", "trousers", "shorts"} and garment.pocket != "none":
        if garment.fabric == "denim":
            yoke = points((-waist - 0.02, top + 0.085), (0.0, top + 0.125), (waist + 0.02, top + 0.085))
            drawing.add(Stroke(yoke, "seam", 0.005, -0.3))
        for sign in (-1, 1):
            _pocket(drawing, sign * 0.098, top + 0.15, garment.fabric == "denim")
        return
    if back or garment.pocket == "none":
        return
    for sign in (-1, 1):
        if garment.pocket == "side":
            slit = bezier(
                (waist * 0.56, top + 0.042),
                (waist * 0.62, top + 0.10),
                (waist * 0.85, top + 0.135),
                (waist + 0.034, top + 0.14),
                8,
            )
            drawing.add(Stroke(side(slit, sign), "seam", 0.007, -0.42))
            drawing.add(Stroke(side(slit + np.array([-0.010, 0.010]), sign), "stitch", 0.0025, -0.2))
        else:
            cargo = garment.pocket == "flap" and garment.family == "legs" and garment.length != "thigh"
            x, y = (0.165, 0.86) if cargo else (0.115, top + 0.085)
            _pocket(drawing, sign * x, y, False, flap=garment.pocket == "flap")


def _pocket(drawing: Drawing, x: float, y: float, pointed: bool, flap: bool = False) -> None:
    half, high = 0.058, 0.118
    low = y + high * (0.82 if pointed else 1.0)
    outline = points((x - half, y), (x + half, y), (x + half, low), (x, y + high), (x - half, low))
    drawing.add(Part(outline, "main", lift=0.45, round=0.2))
    drawing.add(Stroke(points((x - half, y + 0.014), (x + half, y + 0.014)), "stitch", 0.0025, -0.22))
    if pointed:
        wave = bezier((x - half, y + 0.05), (x - 0.01, y + 0.045), (x - 0.01, y + 0.045), (x, y + 0.065), 6)
        drawing.add(Stroke(wave, "stitch", 0.0025, 0.25), Stroke(wave * [-1, 1] + [2 * x, 0], "stitch", 0.0025, 0.25))
    if flap:
        drawing.add(
            Part(rectangle(x - half - 0.005, y - 0.008, x + half + 0.005, y + 0.038), "main", lift=0.55, round=0.2)
        )
        drawing.add(Button((x, y + 0.026), 0.007))


def skirt_outline(garment: Garment, top: float, waist: float) -> Points:
    """A-line, pencil, flared or pleated skirt from the waist to the hem."""
    end = HEM_Y[garment.length] * (1.0 + 0.02 * garment.shape.hem)
    below = end - top
    flare = {"slim": 0.0, "regular": 0.11, "flared": 0.36, "pleated": 0.24}[garment.fit]
    wide = 0.205 + flare * below * (1.0 + 0.25 * garment.shape.taper) - (0.02 if garment.fit == "slim" else 0.0)
    hip = max(0.205, waist + (wide - waist) * 0.42) if garment.fit != "slim" else 0.212
    right = spline([(waist, top), (hip, top + min(0.19, below * 0.45)), (wide, end)], 8)
    dip = 0.03 if garment.fit in {"flared", "pleated"} else 0.012
    low = bezier((wide, end), (wide * 0.6, end + dip * 1.3), (-wide * 0.6, end + dip * 1.3), (-wide, end), 22)
    if garment.fit == "flared":
        low = low + np.array([0.0, 0.010]) * np.sin(np.linspace(0, 5 * np.pi, len(low)))[:, None]
    return chain(points((-waist, top)), right, low[1:], flip(right)[::-1][1:])


def add_skirt_folds(drawing: Drawing, fit: str, top: float, waist: float, wide: float, end: float) -> None:
    """Pleats (sharp) or flares (soft) that fan out from the waist."""
    count = {"pleated": 9, "flared": 6}.get(fit, 2)
    for k, at in enumerate(np.linspace(-0.86, 0.86, count)):
        start, stop = (at * waist, top + (0.03 if fit == "pleated" else 0.10)), (at * wide, end)
        if fit == "pleated":
            drawing.add(Stroke(points(start, stop), "seam", 0.005, -0.28))
            drawing.add(Stroke(points(start, stop) + np.array([0.018, 0.0]), "fold", 0.024, -0.14))
        else:
            tone = -0.16 if k % 2 == 0 else 0.10
            drawing.add(Stroke(points(start, stop), "fold", 0.03 if fit == "flared" else 0.02, tone))
    if fit != "pleated":
        drawing.add(Stroke(points((-wide * 0.97, end - 0.012), (wide * 0.97, end - 0.012)), "stitch", 0.0025, -0.12))
