"""Collars, lapels, hoods and stands: what sits on the neck."""

from __future__ import annotations

import numpy as np

from croquis.sources.rendered.drawing.geometry import (
    Drawing,
    Part,
    Stroke,
    bezier,
    chain,
    ellipse,
    mirror,
    points,
    ribbon,
    side,
    spline,
)
from croquis.sources.rendered.garments.garment import Garment
from croquis.sources.rendered.garments.measures import PatternBlock


def add_behind(drawing: Drawing, garment: Garment, b: PatternBlock, back: bool) -> None:
    """What lies behind the torso: the back of a hood, the fall of a collar."""
    if garment.neck == "hood" and not back:
        _hood_behind(drawing, garment, b)
    if garment.neck in {"collar", "polo", "stand", "lapel", "shawl"} and not back:
        high = 0.026 if garment.neck in {"stand", "lapel", "shawl"} else 0.034
        top = bezier((-b.neck, -0.006), (-b.neck * 0.7, -high - 0.012), (b.neck * 0.7, -high - 0.012), (b.neck, -0.006))
        low = bezier((b.neck, 0.01), (b.neck * 0.6, 0.03), (-b.neck * 0.6, 0.03), (-b.neck, 0.01))
        drawing.add(Part(chain(top, low), "solid", lift=0.0, round=0.5))


def _hood_behind(drawing: Drawing, garment: Garment, b: PatternBlock) -> None:
    w, top = b.neck + 0.048, -0.225 - 0.02 * garment.shape.detail
    right = [(b.neck + 0.02, 0.03), (w + 0.012, -0.06), (w - 0.012, -0.16), (0.05, top + 0.012), (0.0, top)]
    half = spline(right, 6)
    drawing.add(Part(chain(half, (half * [-1, 1])[::-1]), "main", lift=0.2, round=0.8))
    inner = spline(
        [(b.neck - 0.01, 0.03), (w - 0.030, -0.06), (w - 0.045, -0.135), (0.03, top + 0.05), (0.0, top + 0.045)], 6
    )
    drawing.add(Part(chain(inner, (inner * [-1, 1])[::-1]), "inside", lift=0.3, round=0.7))


def add_front(drawing: Drawing, garment: Garment, b: PatternBlock) -> None:
    """What lies over the torso in the front view."""
    makers = {
        "collar": _shirt_collar,
        "polo": _shirt_collar,
        "stand": _stand,
        "lapel": _lapels,
        "shawl": _shawl,
        "hood": _hood,
    }
    maker = makers.get(garment.neck)
    if maker is not None:
        maker(drawing, garment, b)


def add_back(drawing: Drawing, garment: Garment, b: PatternBlock) -> None:
    """The same collars seen from behind."""
    n = b.neck
    if garment.neck == "hood":
        right = spline(
            [(0.0, -0.05), (0.045, -0.045), (n + 0.035, 0.0), (n + 0.05, 0.07), (0.06, 0.175), (0.0, 0.19)], 6
        )
        drawing.add(Part(chain(right, mirror(right)[1:-1]), "main", lift=0.6, round=0.8))
        drawing.add(Stroke(points((0.0, -0.04), (0.0, 0.185)), "seam", 0.004, -0.25))
    elif garment.neck in {"collar", "polo", "lapel", "shawl"}:
        top = bezier((-n - 0.004, -0.01), (-n * 0.6, -0.048), (n * 0.6, -0.048), (n + 0.004, -0.01))
        low = bezier((n + 0.03, 0.03), (n * 0.5, 0.05), (-n * 0.5, 0.05), (-n - 0.03, 0.03))
        drawing.add(Part(chain(top, low), _fill(garment), lift=0.4, round=0.5))
    elif garment.neck == "stand":
        top = bezier((-n + 0.004, -0.04), (-n * 0.5, -0.052), (n * 0.5, -0.052), (n - 0.004, -0.04))
        low = bezier((n + 0.004, 0.002), (n * 0.5, 0.022), (-n * 0.5, 0.022), (-n - 0.004, 0.002))
        drawing.add(Part(chain(top, low), _fill(garment), lift=0.3, round=0.5))


def _fill(garment: Garment) -> str:
    if garment.category == "polo":
        return "rib"
    return "main" if garment.category in {"coat", "jacket"} else "solid"


def _shirt_collar(drawing: Drawing, garment: Garment, b: PatternBlock) -> None:
    long = 0.105 + 0.020 * garment.shape.detail
    for sign in (-1, 1):
        leaf = [
            (b.neck * 0.55, -0.036),
            (b.neck + 0.010, -0.010),
            (b.neck + 0.020, 0.035),
            (b.neck * 0.62, long),
            (0.004, b.neck_depth + 0.006),
        ]
        inner = bezier(leaf[4], (b.neck * 0.45, b.neck_depth * 0.6), (b.neck * 0.75, 0.0), leaf[0], 8)
        outline = chain(spline(leaf[:3], 5), points(*leaf[3:]), inner[1:])
        drawing.add(Part(side(outline, sign), _fill(garment), grain=-0.6 * sign, lift=0.55, round=0.25))
        edge = points((b.neck + 0.008, 0.036), (b.neck * 0.62, long - 0.010), (0.016, b.neck_depth + 0.004))
        drawing.add(Stroke(side(edge, sign), "stitch", 0.0025, -0.18))


def _stand(drawing: Drawing, garment: Garment, b: PatternBlock) -> None:
    high = 0.048 if garment.category in {"jacket", "coat"} else 0.03
    for sign in (-1, 1):
        low = bezier(
            (b.neck + 0.006, 0.0),
            (b.neck * 0.9, b.neck_depth),
            (b.neck * 0.4, b.neck_depth + 0.014),
            (0.0, b.neck_depth + 0.014),
            10,
        )
        top = bezier(
            (0.006, b.neck_depth + 0.014 - high),
            (b.neck * 0.5, b.neck_depth - high),
            (b.neck * 0.80, 0.0),
            (b.neck - 0.008, -high * 0.45),
            10,
        )
        drawing.add(Part(side(chain(low, top), sign), _fill(garment), lift=0.35, round=0.35))


def _lapels(drawing: Drawing, garment: Garment, b: PatternBlock) -> None:
    wide = 0.098 + 0.016 * garment.shape.detail
    for sign in (-1, 1):
        notch_y = b.neck_depth * 0.40
        lapel = chain(
            points((b.neck * 0.98, 0.012), (b.neck + 0.030, notch_y - 0.004), (wide + 0.02, notch_y - 0.008)),
            bezier(
                (wide + 0.022, notch_y), (wide, notch_y + 0.08), (0.03, b.neck_depth), (0.0, b.neck_depth + 0.012), 10
            ),
            bezier(
                (0.0, b.neck_depth),
                (b.neck * 0.35, b.neck_depth * 0.75),
                (b.neck * 0.80, b.neck_depth * 0.35),
                (b.neck * 0.98, 0.0),
                8,
            )[1:],
        )
        drawing.add(Part(side(lapel, sign), "main", grain=-0.25 * sign, lift=0.6, round=0.3))
        collar = chain(
            points(
                (b.neck * 0.6, -0.036),
                (b.neck + 0.012, -0.012),
                (b.neck + 0.050, notch_y - 0.022),
                (b.neck + 0.028, notch_y),
            ),
            points((b.neck * 0.80, notch_y * 0.75), (b.neck * 0.92, 0.0)),
        )
        drawing.add(Part(side(collar, sign), "main", grain=-0.5 * sign, lift=0.5, round=0.3))


def _shawl(drawing: Drawing, garment: Garment, b: PatternBlock) -> None:
    wide = 0.05 + 0.012 * garment.shape.detail
    for sign in (-1, 1):
        path = bezier(
            (b.neck * 0.75, -0.035),
            (b.neck * 1.15, 0.05),
            (b.neck * 0.9, b.neck_depth * 0.5),
            (0.012, b.neck_depth + 0.01),
            14,
        )
        drawing.add(Part(side(ribbon(path, 0.022, wide * 0.45), sign), "rib", lift=0.5, round=0.5))


def _hood(drawing: Drawing, garment: Garment, b: PatternBlock) -> None:
    for sign in (-1, 1):
        path = bezier(
            (b.neck + 0.042, -0.055),
            (b.neck + 0.040, 0.02),
            (b.neck * 0.7, b.neck_depth * 0.9),
            (0.0, b.neck_depth + 0.022),
            12,
        )
        drawing.add(Part(side(ribbon(path, 0.022, 0.020), sign), "main", lift=0.45, round=0.6))
    if garment.category == "hoodie":
        for sign in (-1, 1):
            start = (sign * 0.034, b.neck_depth + 0.008)
            cord = bezier(
                start,
                (start[0] * 1.2, start[1] + 0.05),
                (start[0] * 0.9, start[1] + 0.09),
                (start[0] * 1.1, start[1] + 0.13),
                8,
            )
            drawing.add(Stroke(cord, "cord", 0.008, 0.0))
            drawing.add(Part(ellipse(sign * 0.034, b.neck_depth + 0.006, 0.006, 0.006), "metal", lift=0.0, round=0.0))


def depth_below_neck(b: PatternBlock) -> float:
    """Where a front opening starts, garment units."""
    return float(np.round(b.neck_depth + 0.012, 4))
