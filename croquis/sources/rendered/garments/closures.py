"""Plackets, buttons, zips, pockets and printed badges on the front."""

from __future__ import annotations

import numpy as np

from croquis.sources.rendered.drawing.geometry import (
    Badge,
    Button,
    Drawing,
    Part,
    Stroke,
    Zip,
    bezier,
    chain,
    points,
    rectangle,
    side,
)
from croquis.sources.rendered.garments.collars import depth_below_neck
from croquis.sources.rendered.garments.garment import Garment
from croquis.sources.rendered.garments.measures import PatternBlock


def add_closure(drawing: Drawing, garment: Garment, b: PatternBlock) -> None:
    """Placket with buttons, or a zip, from the neck down."""
    if garment.closure == "none":
        return
    top = depth_below_neck(b) - 0.006
    bottom = _bottom(garment, b, top)
    if garment.closure == "zip":
        drawing.add(Stroke(points((-0.016, top), (-0.016, bottom)), "stitch", 0.0025, -0.22))
        drawing.add(Stroke(points((0.016, top), (0.016, bottom)), "stitch", 0.0025, -0.22))
        drawing.add(Zip(points((0.0, top - 0.012), (0.0, bottom))))
        return
    if garment.category == "coat" and garment.shape.detail > 0.1:
        _double_breasted(drawing, b, top, bottom)
        return
    half = 0.020 if garment.category != "cardigan" else 0.024
    fill = "rib" if garment.category == "cardigan" else "main"
    drawing.add(Part(rectangle(-half, top, half, bottom), fill, lift=0.35, round=0.15))
    drawing.add(Stroke(points((half - 0.005, top), (half - 0.005, bottom)), "stitch", 0.002, -0.15))
    count = max(2, round((bottom - top) / (0.13 if garment.category in {"coat", "jacket"} else 0.085)))
    radius = 0.015 if garment.category in {"coat", "cardigan", "jacket"} else 0.0095
    for y in np.linspace(top + 0.03, bottom - 0.035, count):
        drawing.add(Button((0.0, float(y)), radius))


def _double_breasted(drawing: Drawing, b: PatternBlock, top: float, bottom: float) -> None:
    edge = bezier((0.0, top), (0.05, top + 0.02), (0.07, top + 0.05), (0.07, top + 0.10), 8)
    drawing.add(Stroke(chain(edge, points((0.07, bottom))), "seam", 0.006, -0.35))
    for y in np.linspace(top + 0.06, min(bottom - 0.06, b.waist_y + 0.12), 3):
        drawing.add(Button((-0.052, float(y)), 0.016), Button((0.05, float(y)), 0.016))


def _bottom(garment: Garment, b: PatternBlock, top: float) -> float:
    if garment.category == "polo":
        return top + 0.15
    if garment.family == "jumpsuit":
        return b.waist_y + 0.10
    if garment.category == "dress":
        return b.hem_y + b.hem_dip * 0.7 if garment.length in {"thigh", "knee"} else b.waist_y
    return b.hem_y + b.hem_dip * 0.72


def add_pockets(drawing: Drawing, garment: Garment, b: PatternBlock) -> None:
    """Pockets of tops, dresses and jumpsuits."""
    kind = garment.pocket
    if kind == "chest":
        _patch(drawing, 0.085, 0.205, 0.042, 0.095, flap=False)
    elif kind == "flap" and garment.category == "shirt":
        for sign in (-1, 1):
            _patch(drawing, sign * 0.09, 0.20, 0.044, 0.10, flap=True)
    elif kind in {"flap", "patch"}:
        y = min(b.waist_y + 0.06, b.hem_y - 0.17)
        for sign in (-1, 1):
            _patch(drawing, sign * (b.waist * 0.56), y, 0.058, 0.12, flap=kind == "flap")
    elif kind == "side":
        y = min(b.waist_y + 0.03, b.hem_y - 0.15)
        for sign in (-1, 1):
            slit = points((b.waist * 0.50, y), (b.waist * 0.78, y + 0.105))
            drawing.add(Stroke(side(slit, sign), "seam", 0.009, -0.45))
            drawing.add(Stroke(side(slit + np.array([-0.012, 0.006]), sign), "stitch", 0.0025, -0.2))
    elif kind == "kangaroo":
        _kangaroo(drawing, garment, b)


def _patch(drawing: Drawing, x: float, y: float, half: float, high: float, flap: bool) -> None:
    low = y + high * 0.82
    outline = points((x - half, y), (x + half, y), (x + half, low), (x, y + high), (x - half, low))
    drawing.add(Part(outline, "main", lift=0.45, round=0.2))
    drawing.add(Stroke(outline[[0, 4, 3, 2, 1]] * 0.9 + np.array([x, y + high * 0.45]) * 0.1, "stitch", 0.0025, -0.2))
    if flap:
        left, right = x - half - 0.004, x + half + 0.004
        top = points((left, y - 0.006), (right, y - 0.006), (right, y + 0.02), (x, y + 0.042), (left, y + 0.02))
        drawing.add(Part(top, "main", lift=0.55, round=0.2), Button((x, y + 0.026), 0.007))
    else:
        drawing.add(Stroke(points((x - half, y + 0.016), (x + half, y + 0.016)), "stitch", 0.0025, -0.2))


def _kangaroo(drawing: Drawing, garment: Garment, b: PatternBlock) -> None:
    low, top, wide = b.hem_y - 0.045, b.hem_y - 0.195, b.waist * 0.66
    curve = bezier((wide * 0.60, top), (wide * 0.65, top + 0.05), (wide * 0.95, top + 0.06), (wide, top + 0.085), 8)
    half = chain(points((0.0, top)), curve, points((wide, low), (0.0, low)))
    if garment.closure == "zip":
        for sign in (-1, 1):
            gap = half.copy()
            gap[[0, -1], 0] = 0.018
            drawing.add(Part(side(gap, sign), "main", lift=0.5, round=0.2))
    else:
        drawing.add(Part(chain(half[1:-1], (half[1:-1] * [-1, 1])[::-1]), "main", lift=0.5, round=0.2))
    for sign in (-1, 1):
        drawing.add(Stroke(side(curve + np.array([-0.010, 0.004]), sign), "stitch", 0.0025, -0.22))


def add_badge(drawing: Drawing, garment: Garment, b: PatternBlock) -> None:
    """The chest graphic, where the garment has one."""
    if garment.pattern == "graphic":
        high = max(b.neck_depth + 0.125, 0.23) + 0.01 * garment.shape.detail
        width = 0.20 + 0.05 * garment.shape.rise
        if garment.pocket == "kangaroo":
            high, width = high + 0.01, width * 0.9
        drawing.add(Badge((0.0, high), width))
