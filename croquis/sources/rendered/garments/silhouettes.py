"""From a garment to its drawing: the one place that knows the order of the pieces."""

from __future__ import annotations

from dataclasses import replace

from croquis.sources.rendered.drawing.geometry import (
    Button,
    Drawing,
    Part,
    Pose,
    Stroke,
    Zip,
    bezier,
    points,
    rectangle,
)
from croquis.sources.rendered.garments import collars, lower, torso
from croquis.sources.rendered.garments.closures import add_badge, add_closure, add_pockets
from croquis.sources.rendered.garments.garment import Garment
from croquis.sources.rendered.garments.measures import PatternBlock, block


def draw(garment: Garment, view: str = "front", pose: Pose | None = None) -> Drawing:
    """The garment's pieces from the back to the front; `view` is `front` or `back`."""
    pose = pose or shop_pose(garment)
    if view == "back":
        pose = pose.mirrored()
    makers = {"top": _top, "dress": _dress, "jumpsuit": _jumpsuit, "skirt": _skirt, "legs": _legs}
    drawing = Drawing()
    makers[garment.family](drawing, garment, pose, view == "back")
    return drawing


def shop_pose(garment: Garment) -> Pose:
    """Laid out neatly: short sleeves stand out more than long ones."""
    arms = {"cap": 0.75, "short": 0.62, "elbow": 0.42}.get(garment.sleeve, 0.27)
    return Pose((arms, arms), (-0.06, -0.06), (0.05, 0.05))


def _upper(drawing: Drawing, garment: Garment, b: PatternBlock, pose: Pose, back: bool) -> None:
    collars.add_behind(drawing, garment, b, back)
    if not back:
        torso.add_inside(drawing, garment, b)
    for sign in (-1, 1):
        torso.add_sleeve(drawing, garment, b, sign, pose)
    torso.add_torso(drawing, garment, b, back)


def _finish(drawing: Drawing, garment: Garment, b: PatternBlock, back: bool) -> None:
    torso.add_neckband(drawing, garment, b, back)
    if back:
        _back_seams(drawing, garment, b)
        collars.add_back(drawing, garment, b)
        return
    add_badge(drawing, garment, b)
    add_pockets(drawing, garment, b)
    add_closure(drawing, garment, b)
    collars.add_front(drawing, garment, b)


def _back_seams(drawing: Drawing, garment: Garment, b: PatternBlock) -> None:
    if garment.category in {"shirt", "jacket"}:
        yoke = bezier((-b.shoulder + 0.02, 0.125), (-0.08, 0.14), (0.08, 0.14), (b.shoulder - 0.02, 0.125))
        drawing.add(Stroke(yoke, "seam", 0.004, -0.28))
        drawing.add(Stroke(points((0.0, 0.14), (0.0, b.hem_y)), "fold", 0.014, -0.12))
    elif garment.category == "coat":
        drawing.add(Stroke(points((0.0, 0.03), (0.0, b.hem_y)), "seam", 0.004, -0.22))
        drawing.add(Stroke(points((0.0, b.hem_y - 0.20), (0.0, b.hem_y)), "seam", 0.009, -0.35))
    elif garment.family == "dress":
        drawing.add(Zip(points((0.0, 0.03), (0.0, b.waist_y + 0.06)), 0.005))


def _top(drawing: Drawing, garment: Garment, pose: Pose, back: bool) -> None:
    b = block(garment)
    _upper(drawing, garment, b, pose, back)
    if garment.category == "jacket" and garment.neck in {"stand", "hood"}:
        band = rectangle(-b.hem * 0.99, b.hem_y - 0.045, b.hem * 0.99, b.hem_y + 0.006)
        drawing.add(Part(band, "rib" if garment.fabric != "denim" else "solid", lift=0.25, round=0.3))
    if garment.category == "coat" and garment.shape.width < -0.2:
        drawing.add(
            Part(
                rectangle(-b.waist * 1.02, b.waist_y - 0.02, b.waist * 1.02, b.waist_y + 0.028),
                "main",
                lift=0.5,
                round=0.3,
            )
        )
        if not back:
            drawing.add(
                Part(rectangle(-0.035, b.waist_y - 0.03, 0.035, b.waist_y + 0.036), "metal", lift=0.3, round=0.2)
            )
            drawing.add(
                Part(rectangle(-0.022, b.waist_y - 0.017, 0.022, b.waist_y + 0.023), "main", lift=0.0, round=0.2)
            )
    _finish(drawing, garment, b, back)


def _dress(drawing: Drawing, garment: Garment, pose: Pose, back: bool) -> None:
    b = block(garment)
    _upper(drawing, garment, b, pose, back)
    fit = garment.fit if garment.fit == "flared" else "regular"
    lower.add_skirt_folds(drawing, fit, b.waist_y, b.waist, b.hem, b.hem_y + b.hem_dip * 0.5)
    if garment.fit != "loose":
        seam = bezier(
            (-b.waist, b.waist_y),
            (-b.waist * 0.5, b.waist_y + 0.012),
            (b.waist * 0.5, b.waist_y + 0.012),
            (b.waist, b.waist_y),
        )
        if garment.shape.detail > 0.25:
            drawing.add(Part(torso.strap(seam, 0.036), "solid", lift=0.4, round=0.3))
        else:
            drawing.add(Stroke(seam, "seam", 0.006, -0.34))
    _finish(drawing, garment, b, back)


def _jumpsuit(drawing: Drawing, garment: Garment, pose: Pose, back: bool) -> None:
    b = block(garment)
    legs_top = b.waist_y + 0.012
    lower.add_legs(drawing, garment, pose, legs_top, b.waist, back)
    if garment.pocket == "side":
        lower.add_hip_pockets(drawing, garment, legs_top, b.waist, back)
    bodice = replace(b, hem_y=b.waist_y + 0.035, hem=b.waist + 0.004, hem_dip=0.008)
    _upper(drawing, garment, bodice, pose, back)
    seam = bezier(
        (-b.waist, b.waist_y),
        (-b.waist * 0.5, b.waist_y + 0.01),
        (b.waist * 0.5, b.waist_y + 0.01),
        (b.waist, b.waist_y),
    )
    drawing.add(Part(torso.strap(seam, 0.042), "solid", lift=0.45, round=0.3))
    torso.add_neckband(drawing, garment, b, back)
    if back:
        return collars.add_back(drawing, garment, b)
    if garment.pocket == "chest":
        add_pockets(drawing, garment, b)
    add_closure(drawing, garment, b)
    return collars.add_front(drawing, garment, b)


def _skirt(drawing: Drawing, garment: Garment, pose: Pose, back: bool) -> None:
    del pose
    top, waist = lower.waist_y(garment), lower.waist_half(garment)
    outline = lower.skirt_outline(garment, top, waist)
    drawing.add(Part(outline, "main", lift=0.4, round=0.5))
    wide, end = float(outline[:, 0].max()), float(outline[:, 1].max())
    lower.add_skirt_folds(drawing, garment.fit, top, waist, wide, end - 0.012)
    lower.add_hip_pockets(drawing, garment, top, waist, back)
    if garment.closure == "buttons" and not back:
        drawing.add(Stroke(points((0.024, top + 0.03), (0.024, end - 0.01)), "seam", 0.004, -0.3))
        count = max(3, round((end - top) / 0.10))
        drawing.add(*(Button((0.0, top + 0.07 + k * (end - top - 0.12) / (count - 1)), 0.011) for k in range(count)))
    elif garment.closure == "zip" and not back:
        drawing.add(Zip(points((0.0, top), (0.0, top + 0.22)), 0.012))
    lower.add_waistband(drawing, garment, top, waist, back)


def _legs(drawing: Drawing, garment: Garment, pose: Pose, back: bool) -> None:
    top, waist = lower.waist_y(garment), lower.waist_half(garment)
    inside = bezier((-waist, top), (-waist * 0.5, top - 0.014), (waist * 0.5, top - 0.014), (waist, top), 10)
    drawing.add(Part(torso.strap(inside, 0.014), "inside", lift=0.0, round=0.0))
    lower.add_legs(drawing, garment, pose, top, waist, back)
    lower.add_hip_pockets(drawing, garment, top, waist, back)
    if garment.closure == "zip" and not back:
        drawing.add(Zip(points((0.0, top + 0.04), (0.0, lower.CROTCH_Y - 0.07)), 0.008))
    lower.add_waistband(drawing, garment, top, waist, back)
