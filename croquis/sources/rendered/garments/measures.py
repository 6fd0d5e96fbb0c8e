"""The body block of a garment: widths and heights that all pieces of its drawing agree on."""

from __future__ import annotations

from dataclasses import dataclass

from croquis.sources.rendered.garments.garment import Garment

HEM_Y = {"crop": 0.46, "hip": 0.63, "thigh": 0.83, "knee": 1.07, "calf": 1.30, "ankle": 1.53}
SLEEVE_LENGTH = {"none": 0.0, "cap": 0.09, "short": 0.20, "elbow": 0.33, "long": 0.60}
NECK_DEPTH = {
    "crew": 0.062, "scoop": 0.135, "v": 0.185, "boat": 0.036, "square": 0.125, "turtle": 0.04,
    "collar": 0.075, "polo": 0.07, "stand": 0.05, "hood": 0.085, "lapel": 0.26, "shawl": 0.30,
}  # fmt: skip
EASE = {"slim": -0.022, "regular": 0.0, "loose": 0.034, "flared": -0.012, "pleated": -0.012}
OUTERWEAR = frozenset({"jacket", "coat"})


@dataclass(frozen=True)
class PatternBlock:
    """Half widths (x) and heights (y) in garment units."""

    neck: float
    neck_depth: float
    shoulder: float
    shoulder_y: float
    chest: float
    underarm_y: float
    waist: float
    waist_y: float
    hem: float
    hem_y: float
    hem_dip: float
    sleeve_length: float
    cuff: float


def block(garment: Garment) -> PatternBlock:
    """The upper-body block of tops, dresses and jumpsuits."""
    shape, ease = garment.shape, EASE[garment.fit] + 0.012 * garment.shape.width
    ease += 0.022 if garment.category in OUTERWEAR else 0.0
    chest = 0.205 + ease
    drop = 0.034 if garment.fit == "loose" else 0.0
    shoulder = 0.196 + drop + 0.010 * shape.shoulder + 0.4 * max(ease, 0.0)
    if garment.sleeve == "none":
        shoulder = 0.138 + 0.020 * shape.shoulder
    nipped = 0.030 if garment.family == "dress" else 0.016
    waist = chest - (nipped if garment.fit in {"slim", "flared"} else 0.006) - 0.008 * shape.taper
    return PatternBlock(
        neck=_neck(garment),
        neck_depth=NECK_DEPTH[garment.neck] * (1.0 + 0.12 * shape.neck_depth),
        shoulder=shoulder,
        shoulder_y=0.052 + (0.02 if drop else 0.0) - (0.028 if garment.sleeve == "none" else 0.0),
        chest=chest,
        underarm_y=0.235 + 0.6 * max(ease, 0.0) + drop * 0.5,
        waist=waist,
        waist_y=0.42 + 0.012 * shape.rise,
        hem=_hem(garment, chest, waist),
        hem_y=HEM_Y[garment.length] * (1.0 + 0.025 * shape.hem),
        hem_dip=_dip(garment),
        sleeve_length=SLEEVE_LENGTH[garment.sleeve] * (1.0 + 0.04 * shape.sleeve) - drop,
        cuff=0.047 + 0.30 * ease + 0.006 * shape.sleeve,
    )


def _neck(garment: Garment) -> float:
    width = {"boat": 0.128, "scoop": 0.096, "square": 0.100, "v": 0.084, "turtle": 0.068, "hood": 0.085}
    return width.get(garment.neck, 0.076) * (1.0 + 0.08 * garment.shape.neck_width)


def _hem(garment: Garment, chest: float, waist: float) -> float:
    below = HEM_Y[garment.length] - 0.42
    if garment.family == "dress":
        flare = {"slim": 0.03, "regular": 0.16, "loose": 0.14, "flared": 0.34}[garment.fit]
        return max(waist, 0.19) + flare * below * (1.0 + 0.25 * garment.shape.taper)
    if garment.category == "coat":
        return chest + 0.09 * below
    gathered = garment.category in {"hoodie", "sweater"} or (garment.category == "jacket" and garment.neck != "lapel")
    return chest - (0.014 if gathered else -0.004) + 0.008 * garment.shape.taper


def _dip(garment: Garment) -> float:
    if garment.category == "shirt":
        return 0.045
    return 0.025 if garment.family == "dress" else 0.010
