"""Upper body: torso, neckline, sleeves and hood-free seams of tops, dresses and jumpsuits."""

from __future__ import annotations

import numpy as np

from croquis.sources.rendered.drawing.geometry import (
    Drawing,
    Part,
    Points,
    Pose,
    Stroke,
    bezier,
    chain,
    flip,
    mirror,
    offset,
    points,
    rectangle,
    ribbon,
    side,
    spline,
)
from croquis.sources.rendered.garments.garment import Garment, block_style
from croquis.sources.rendered.garments.measures import PatternBlock

RIBBED_HEMS = frozenset({"sweater", "hoodie", "cardigan"})


def neckline(garment: Garment, b: PatternBlock, back: bool = False) -> Points:
    """The neck edge from the left shoulder to the right one."""
    left, right, depth = (-b.neck, -0.004), (b.neck, -0.004), b.neck_depth
    if back:
        return bezier(left, (-b.neck * 0.6, 0.026), (b.neck * 0.6, 0.026), right)
    if garment.neck in {"v", "lapel", "shawl"}:
        half = bezier(left, (-b.neck * 0.80, depth * 0.35), (-b.neck * 0.35, depth * 0.75), (0.0, depth), 10)
        return chain(half, mirror(half)[1:])
    if garment.neck == "square":
        return points(left, (-b.neck * 0.94, depth), (b.neck * 0.94, depth), right)
    swing = 0.95 if garment.neck in {"crew", "scoop", "polo", "collar", "hood"} else 0.6
    low = depth * 4 / 3
    return bezier(left, (-b.neck * swing, low), (b.neck * swing, low), right, 20)


def armhole(b: PatternBlock, bare: bool) -> Points:
    """From the right shoulder point down to the right underarm."""
    shoulder, underarm = (b.shoulder, b.shoulder_y), (b.chest, b.underarm_y)
    inward = 0.012 if bare else 0.022
    return bezier(
        shoulder,
        (b.shoulder - inward, b.shoulder_y + (0.10 if bare else 0.07)),
        (b.shoulder - inward * 0.8, b.underarm_y - 0.03),
        underarm,
        12,
    )


def torso_side(b: PatternBlock) -> Points:
    """From the right underarm down to the right end of the hem."""
    if b.hem_y <= b.waist_y + 0.06:
        middle = ((b.chest + b.hem) / 2 - 0.004, (b.underarm_y + b.hem_y) / 2)
        return spline([(b.chest, b.underarm_y), middle, (b.hem, b.hem_y)])
    knots = [(b.chest, b.underarm_y), (b.waist, b.waist_y)]
    hip_y = 0.60
    if b.hem_y > hip_y + 0.12:
        reach = (hip_y - b.waist_y) / (b.hem_y - b.waist_y)
        knots.append((b.waist + (b.hem - b.waist) * (reach**0.75), hip_y))
    return spline([*knots, (b.hem, b.hem_y)])


def hem(b: PatternBlock) -> Points:
    """From the right end to the left end."""
    dip = b.hem_y + b.hem_dip
    return bezier((b.hem, b.hem_y), (b.hem * 0.6, dip), (-b.hem * 0.6, dip), (-b.hem, b.hem_y), 18)


def torso_outline(garment: Garment, b: PatternBlock, back: bool) -> Points:
    """The closed outline of the torso, (n, 2) in garment units; neckline of the front or the back."""
    right = chain(armhole(b, garment.sleeve == "none"), torso_side(b)[1:])
    return chain(neckline(garment, b, back), right, hem(b)[1:-1], mirror(right))


def add_inside(drawing: Drawing, garment: Garment, b: PatternBlock) -> None:
    """The inside of the back that shows through the neck opening, with its label."""
    back, front = neckline(garment, b, back=True), neckline(garment, b)
    rise = back - np.array([[0.0, 0.014]]) * np.sin(np.linspace(0, np.pi, len(back)))[:, None] ** 0.5
    drawing.add(Part(chain(rise, front[::-1]), "inside", lift=0.0, round=0.2))
    drawing.add(Stroke(back + np.array([0.0, 0.004]), "seam", 0.004, -0.25))
    if garment.neck not in {"boat"}:
        drawing.add(Part(rectangle(-0.016, 0.012, 0.016, 0.028), "label", lift=0.0, round=0.0, drawn=False))


def sleeve_axis(b: PatternBlock, sign: int, pose: Pose, length: float) -> Points:
    """Centre line of a sleeve from the armhole to the cuff, bent at the elbow."""
    index = 0 if sign < 0 else 1
    angle, bend = pose.arms[index], pose.elbows[index]
    start = np.array([(b.shoulder + b.chest) / 2 - 0.012, (b.shoulder_y + b.underarm_y) / 2])
    reach = np.linspace(0.0, length, 13)
    turn = angle + bend / (1.0 + np.exp(-(reach - 0.29) / 0.02))
    steps = np.diff(reach)[:, None] * np.stack([np.sin(turn[1:]), np.cos(turn[1:])], axis=1)
    return side(np.concatenate([start[None], start + np.cumsum(steps, axis=0)]), sign)


def sleeve_outline(b: PatternBlock, sign: int, pose: Pose) -> tuple[Points, Points]:
    """The sleeve's outer and inner edges, both from the armhole to the cuff."""
    axis = side(sleeve_axis(b, sign, pose, b.sleeve_length), sign)
    normal = offset(axis, 1.0) - axis
    along = np.linspace(0.0, b.sleeve_length / 0.60, len(axis))[:, None]
    width = 0.088 + (b.chest - 0.205) * 0.4
    half = width + (b.cuff - width) * np.clip(along, 0, 1) ** 0.8
    outer, inner = axis + half * normal, axis - half * normal
    outer = spline(chain(points((b.shoulder, b.shoulder_y)), outer[3::3]), 5)
    inner = spline(chain(points((b.chest, b.underarm_y)), inner[3::3]), 5)
    return side(outer, sign), side(inner, sign)


def add_sleeve(drawing: Drawing, garment: Garment, b: PatternBlock, sign: int, pose: Pose) -> None:
    """One sleeve, from behind the torso, with cuff and creases. `sign` -1 is the left of the picture."""
    if garment.sleeve == "none":
        return
    outer, inner = sleeve_outline(b, sign, pose)
    hidden = side(points((b.chest - 0.07, b.underarm_y), (b.shoulder - 0.06, b.shoulder_y + 0.02)), sign)
    angle = pose.arms[0 if sign < 0 else 1]
    fill = "accent" if block_style(garment) == "sleeves" else "main"
    drawing.add(Part(chain(outer, inner[::-1], hidden), fill, grain=-sign * angle, lift=0.3, round=0.8))
    _add_cuff(drawing, garment, outer, inner)
    middle = (outer + inner) / 2
    for at, tone in ((0.16, -0.10), (0.46, -0.13), (0.54, 0.08)):
        if garment.sleeve in {"long", "elbow"}:
            k = int(at * (len(outer) - 1))
            drawing.add(Stroke(points(inner[k], middle[min(k + 2, len(middle) - 1)]), "fold", 0.016, tone))


def _add_cuff(drawing: Drawing, garment: Garment, outer: Points, inner: Points) -> None:
    deep = {"long": 0.055, "elbow": 0.03, "short": 0.026, "cap": 0.02}[garment.sleeve]
    ribbed = garment.category in RIBBED_HEMS or (garment.category == "polo")
    end_outer, end_inner = outer[-1], inner[-1]
    up_outer, up_inner = _back_along(outer, deep), _back_along(inner, deep)
    if ribbed or (garment.category == "shirt" and garment.sleeve == "long"):
        grow = 1.05 if garment.category == "shirt" else 0.95
        middle = (end_outer + end_inner) / 2
        a, c = middle + (end_outer - middle) * grow, middle + (end_inner - middle) * grow
        drawing.add(Part(chain(points(up_outer, a, c, up_inner)), "rib" if ribbed else "solid", lift=0.2, round=0.6))
    else:
        near_outer, near_inner = _back_along(outer, deep * 0.5), _back_along(inner, deep * 0.5)
        drawing.add(Stroke(points(near_outer, near_inner), "stitch", 0.003, -0.25))


def _back_along(path: Points, distance: float) -> Points:
    """The point of the path that lies `distance` before its end."""
    steps = np.linalg.norm(np.diff(path[::-1], axis=0), axis=1)
    k = int(np.searchsorted(np.cumsum(steps), distance))
    k = min(k, len(steps) - 1)
    before = float(np.cumsum(steps)[k] - steps[k])
    share = min(1.0, (distance - before) / max(float(steps[k]), 1e-9))
    last, earlier = path[::-1][k], path[::-1][k + 1]
    return np.asarray(last + share * (earlier - last))


def add_torso(drawing: Drawing, garment: Garment, b: PatternBlock, back: bool) -> None:
    """Torso cloth with its seams, hems and the soft folds under the arms."""
    drawing.add(Part(torso_outline(garment, b, back), "main", lift=0.5, round=0.55))
    hole = armhole(b, garment.sleeve == "none")
    for path in (hole, flip(hole)):
        if garment.sleeve == "none":
            drawing.add(Stroke(path + np.array([-0.008, 0.0]) * np.sign(path[:1, :1]), "stitch", 0.003, -0.2))
        else:
            drawing.add(Stroke(path, "seam", 0.005, -0.32))
    _add_hem(drawing, garment, b)
    for sign in (-1, 1):
        for drop, run, tone in ((0.02, 0.10, -0.10), (0.05, 0.07, 0.06), (0.09, 0.05, -0.07)):
            start = (b.chest - 0.008, b.underarm_y + drop)
            end = (b.chest - 0.02 - run, b.underarm_y + drop + run * 0.9)
            drawing.add(Stroke(side(bezier(start, start, end, end, 4), sign), "fold", 0.022, tone))


def _add_hem(drawing: Drawing, garment: Garment, b: PatternBlock) -> None:
    edge = hem(b)
    if garment.category in RIBBED_HEMS:
        top = edge * np.array([1.0, 1.0]) - np.array([0.0, 0.05])
        drawing.add(Part(chain(top, edge[::-1] * np.array([0.985, 1.0])), "rib", lift=0.15, round=0.3))
    elif garment.category not in {"coat", "jacket"}:
        drawing.add(Stroke(edge * np.array([0.985, 1.0]) - np.array([0.0, 0.018]), "stitch", 0.003, -0.22))


def add_neckband(drawing: Drawing, garment: Garment, b: PatternBlock, back: bool) -> None:
    """The knitted or bound edge of collarless necks."""
    edge = neckline(garment, b, back)
    wide = {"crew": 0.020, "v": 0.018, "scoop": 0.012, "boat": 0.010, "square": 0.010}.get(garment.neck, 0.0)
    wide *= 1.5 if garment.category == "sweater" else 1.0
    if garment.neck == "turtle":
        return _add_turtle(drawing, b)
    if wide and garment.neck == "square" and not back:
        drawing.add(Stroke(edge + np.array([0.0, 0.012]), "stitch", 0.003, -0.25))
    elif wide:
        drawing.add(Part(chain(edge, offset(edge, -wide)[::-1]), "rib", lift=0.15, round=0.3))
    return None


def _add_turtle(drawing: Drawing, b: PatternBlock) -> None:
    w, base = (
        b.neck,
        bezier((-b.neck - 0.008, 0.0), (-b.neck * 0.6, 0.055), (b.neck * 0.6, 0.055), (b.neck + 0.008, 0.0)),
    )
    top = bezier((w - 0.004, -0.085), (w * 0.5, -0.075), (-w * 0.5, -0.075), (-w + 0.004, -0.085))
    drawing.add(Part(chain(base, top), "rib", lift=0.35, round=0.7))
    fold = bezier((-w, -0.022), (-w * 0.5, 0.0), (w * 0.5, 0.0), (w, -0.022))
    drawing.add(Stroke(fold, "fold", 0.012, -0.22))


def strap(path: Points, width: float) -> Points:
    """A closed band of constant width, such as a belt or a placket."""
    return ribbon(path, width / 2, width / 2)
