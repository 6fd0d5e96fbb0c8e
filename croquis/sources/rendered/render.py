"""Paints a drawing onto a canvas: cloth, light and shade, seams, buttons."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from croquis.arrays import Floats32
from croquis.sources.rendered.drawing.geometry import Badge, Button, Drawing, Part, Points, Stroke, Zip
from croquis.sources.rendered.drawing.graphics import SIDE, graphic
from croquis.sources.rendered.garments.cloth import Cloth, Frame
from croquis.sources.rendered.garments.palette import luminance, shaded

SHIFT = 4
LIGHT = (-0.55, -0.45)
"""Default direction towards the light: from the upper left."""


@dataclass
class Canvas:
    """What has been painted so far.

    Attributes:
        colour: RGB in [0, 255], multiplied by `cover`, float32 (h, w, 3).
        cover: in [0, 1], float32 (h, w).
        owned: share of the pixel that shows the catalogue garment itself, float32 (h, w).
    """

    colour: Floats32
    cover: Floats32
    owned: Floats32

    @classmethod
    def empty(cls, frame: Frame) -> Canvas:
        """A canvas of the frame's size with nothing on it."""
        shape = (frame.height, frame.width)
        return cls(*(np.zeros(s, dtype=np.float32) for s in ((*shape, 3), shape, shape)))


def paint(
    canvas: Canvas,
    drawing: Drawing,
    cloth: Cloth,
    rng: np.random.Generator,
    light: tuple[float, float] = LIGHT,
    owned: bool = False,
) -> None:
    """Paints all elements over what is there.

    Args:
        rng: decides the creases of this photo only.
        light: direction towards the light in the picture.
        owned: the drawing is the catalogue garment (and not the wearer or a thing beside it).
    """
    relief = _relief(drawing, cloth.frame, rng)
    for element in drawing.elements:
        if isinstance(element, Part):
            _paint_part(canvas, element, cloth, relief, light, owned)
        elif isinstance(element, Stroke) and element.kind != "fold":
            _paint_stroke(canvas, element, cloth)
        elif isinstance(element, Button):
            _paint_button(canvas, element, cloth)
        elif isinstance(element, Zip):
            _paint_zip(canvas, element, cloth.frame)
        elif isinstance(element, Badge) and relief is not None:
            _paint_badge(canvas, element, cloth, relief)


def _relief(drawing: Drawing, frame: Frame, rng: np.random.Generator) -> Floats32 | None:
    """Factor of brightness from folds and creases, about 1, shape (height, width); made at half resolution."""
    if all(isinstance(e, Part) and e.colour is not None for e in drawing.elements):
        return None  # skin and wood do not crease
    half = (frame.height // 2, frame.width // 2)
    tone = np.zeros(half, dtype=np.float32)
    for element in drawing.elements:
        if isinstance(element, Stroke) and element.kind == "fold":
            path = np.round(frame.to_pixels(element.path) / 2).astype(np.int32)
            strength = element.tone * float(rng.uniform(0.5, 1.5))
            cv2.polylines(tone, [path], False, strength, max(1, round(element.width * frame.scale / 2)))
    tone = cv2.GaussianBlur(tone, (0, 0), max(0.8, 0.010 * frame.scale / 2))
    units = frame.width / frame.scale
    coarse, fine = (max(3, round(units * k)) for k in (7, 16))
    creases = _noise(rng, (coarse, max(3, coarse * 2 // 3)), half) + 0.5 * _noise(rng, (fine, fine), half)
    tone = 1.0 + tone + 0.028 * creases
    return np.asarray(cv2.resize(tone, (frame.width, frame.height), interpolation=cv2.INTER_LINEAR), dtype=np.float32)


def _noise(rng: np.random.Generator, cells: tuple[int, int], shape: tuple[int, int]) -> Floats32:
    """Smooth noise of unit variance: `cells` random values stretched over `shape`."""
    values = rng.standard_normal(cells, dtype=np.float32)
    return np.asarray(cv2.resize(values, shape[::-1], interpolation=cv2.INTER_CUBIC), dtype=np.float32)


def _region(path: np.ndarray, frame: Frame, margin: int) -> tuple[slice, slice] | None:
    low = np.floor(path.min(axis=0)).astype(int) - margin
    high = np.ceil(path.max(axis=0)).astype(int) + margin + 1
    x0, y0 = max(0, low[0]), max(0, low[1])
    x1, y1 = min(frame.width, high[0]), min(frame.height, high[1])
    return (slice(y0, y1), slice(x0, x1)) if x1 > x0 and y1 > y0 else None


def _mask(path: np.ndarray, region: tuple[slice, slice]) -> np.ndarray:
    rows, columns = region
    mask = np.zeros((rows.stop - rows.start, columns.stop - columns.start), dtype=np.uint8)
    local = np.round((path - (columns.start, rows.start)) * 2**SHIFT).astype(np.int32)
    cv2.fillPoly(mask, [local], 255, cv2.LINE_AA, SHIFT)
    return mask


def _paint_part(
    canvas: Canvas, part: Part, cloth: Cloth, relief: Floats32 | None, light: tuple[float, float], owned: bool
) -> None:
    frame = cloth.frame
    reach = max(2, round(0.012 * frame.scale))
    path = frame.to_pixels(part.outline)
    region = _region(path, frame, 2 * reach)
    if region is None:
        return
    mask = _mask(path, region)
    cover = mask.astype(np.float32)
    cover *= np.float32(1 / 255)
    colour = canvas.colour[region]
    if part.lift:
        _throw_shadow(colour, mask, part.lift, reach, light)
    shade = _shade(mask, part, frame, light)
    if relief is not None:
        shade *= relief[region]
    if part.colour is not None:
        texture = shade[..., None] * np.array(part.colour, dtype=np.float32)
    else:
        texture = cloth.texture(part.fill, part.grain, region) * shade[..., None]
    np.minimum(texture, 255.0, out=texture)
    texture -= colour
    texture *= cover[..., None]
    colour += texture
    canvas.cover[region] += (1.0 - canvas.cover[region]) * cover
    canvas.owned[region] += ((1.0 if owned else 0.0) - canvas.owned[region]) * cover


def _throw_shadow(colour: Floats32, mask: np.ndarray, lift: float, reach: int, light: tuple[float, float]) -> None:
    """Darkens what lies around and below the part, a little away from the light."""
    thrown = cv2.blur(mask, (2 * reach + 1, 2 * reach + 1))
    moved = np.array([[1.0, 0.0, -np.sign(light[0]) * (reach // 3)], [0.0, 1.0, reach // 2]])
    thrown = cv2.warpAffine(thrown, moved, mask.shape[::-1], flags=cv2.INTER_NEAREST)
    factor = cv2.LUT(thrown, (1.0 - 0.55 * lift * np.arange(256, dtype=np.float32) / 255.0))
    colour *= factor[..., None]


def _shade(mask: np.ndarray, part: Part, frame: Frame, light: tuple[float, float]) -> Floats32:
    """Roundness of a part: darker towards its edges, lighter where it faces the light."""
    sigma = max(1.5, (0.016 + 0.022 * part.round) * frame.scale)
    quarter = (max(1, mask.shape[1] // 4), max(1, mask.shape[0] // 4))
    reduced = cv2.resize(mask, quarter, interpolation=cv2.INTER_AREA)
    soft = cv2.GaussianBlur(reduced, (0, 0), sigma / 4).astype(np.float32) / 255.0
    slope_x = cv2.Sobel(soft, cv2.CV_32F, 1, 0, ksize=3, scale=1.0)
    slope_y = cv2.Sobel(soft, cv2.CV_32F, 0, 1, ksize=3, scale=1.0)
    facing = (slope_x * -light[0] + slope_y * -light[1]) * -sigma / 4
    tone = 1.0 - part.round * (0.42 * (1.0 - soft) - 0.10 * facing.clip(-1, 1))
    return np.asarray(cv2.resize(tone, mask.shape[::-1], interpolation=cv2.INTER_LINEAR), dtype=np.float32)


def _tone(cloth: Cloth, tone: float) -> float:
    """Seams on dark cloth show as light lines."""
    return tone if luminance(cloth.garment.main_rgb) > 62 else -1.3 * tone


def _paint_line(
    canvas: Canvas,
    path: np.ndarray,
    frame: Frame,
    width: float,
    colour: tuple[float, float, float] | None,
    tone: float = 0.0,
) -> None:
    thick = max(1, round(width))
    region = _region(path, frame, thick + 2)
    if region is None:
        return
    rows, columns = region
    mask = np.zeros((rows.stop - rows.start, columns.stop - columns.start), dtype=np.uint8)
    local = np.round((path - (columns.start, rows.start)) * 2**SHIFT).astype(np.int32)
    cv2.polylines(mask, [local], False, 255, thick, cv2.LINE_AA, SHIFT)
    cover = mask.astype(np.float32) / 255.0 * (canvas.cover[region] > 0.5) * min(1.0, max(width, 0.4))
    base = canvas.colour[region]
    if colour is None:
        lifted = base * (1.0 + tone) if tone < 0 else base + (235.0 - base) * tone * 0.5
        base += (lifted - base) * cover[..., None]
    else:
        base += (np.array(colour, dtype=np.float32) - base) * cover[..., None]


def _paint_stroke(canvas: Canvas, stroke: Stroke, cloth: Cloth) -> None:
    frame = cloth.frame
    path, width = frame.to_pixels(stroke.path), stroke.width * frame.scale
    if stroke.kind == "cord":
        light = luminance(cloth.garment.main_rgb) > 110
        _paint_line(canvas, path + np.array([1.2, 1.2]), frame, width, None, -0.35)
        _paint_line(canvas, path, frame, width, (70.0, 68.0, 66.0) if light else (232.0, 230.0, 224.0))
    elif stroke.kind == "stitch" and frame.scale > 420:
        for piece in dashes(stroke.path, 0.014, 0.6):
            _paint_line(canvas, frame.to_pixels(piece), frame, width * 0.8, None, 1.5 * _tone(cloth, stroke.tone))
    else:
        _paint_line(canvas, path, frame, width, None, _tone(cloth, stroke.tone))


def dashes(path: Points, period: float, share: float) -> list[Points]:
    """The path cut into dashes of `share` of each `period` (garment units)."""
    steps = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
    pieces = []
    for start in np.arange(0.0, steps[-1] - period * share, period):
        at = np.linspace(start, start + period * share, 3)
        pieces.append(np.stack([np.interp(at, steps, path[:, 0]), np.interp(at, steps, path[:, 1])], axis=1))
    return pieces


def _paint_button(canvas: Canvas, button: Button, cloth: Cloth) -> None:
    frame = cloth.frame
    x, y = frame.to_pixels(np.array(button.centre))
    radius = max(1.4, button.radius * frame.scale)
    region = _region(np.array([[x - radius, y - radius], [x + radius, y + radius]]), frame, 4)
    if region is None:
        return
    light = luminance(cloth.garment.main_rgb) > 125
    rgb = shaded(cloth.garment.main_rgb, 0.42) if light else (214.0, 206.0, 190.0)
    rings = (
        (0.9, 1.0, (30.0, 28.0, 28.0), 0.35),
        (0.0, 1.0, rgb, 1.0),
        (-0.15, 0.66, shaded(rgb, 1.16), 0.8),
        (0.0, 0.22, shaded(rgb, 0.5), 0.9),
    )
    for drop, share, colour, strength in rings:
        mask = np.zeros((region[0].stop - region[0].start, region[1].stop - region[1].start), dtype=np.uint8)
        centre = (round((x - region[1].start + drop) * 16), round((y - region[0].start + drop) * 16))
        cv2.circle(mask, centre, max(6, round(radius * share * 16)), 255, -1, cv2.LINE_AA, SHIFT)
        cover = mask.astype(np.float32)[..., None] / 255.0 * strength
        canvas.colour[region] += (np.array(colour, dtype=np.float32) - canvas.colour[region]) * cover


def _paint_zip(canvas: Canvas, closure: Zip, frame: Frame) -> None:
    path, width = frame.to_pixels(closure.path), closure.width * frame.scale
    _paint_line(canvas, path, frame, width, None, -0.45)
    if width < 1.5:
        return
    for piece in dashes(closure.path, 0.009, 0.5):
        _paint_line(canvas, frame.to_pixels(piece), frame, width * 0.5, (196.0, 194.0, 188.0))
    top = closure.path[0]
    pull = top + np.array([[0.0, 0.012], [0.0, 0.036]])
    _paint_line(canvas, frame.to_pixels(pull), frame, width * 0.75, (216.0, 214.0, 208.0))


def _paint_badge(canvas: Canvas, badge: Badge, cloth: Cloth, relief: Floats32) -> None:
    frame, picture = cloth.frame, graphic(cloth.garment)
    scale = badge.width * frame.scale / SIDE
    x, y = frame.to_pixels(np.array(badge.centre))
    if scale < 1:
        picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        scale = 1.0
    cos, sin, half = scale * np.cos(badge.turn), scale * np.sin(badge.turn), picture.shape[0] / 2
    forward = np.array([[cos, -sin, x - cos * half + sin * half], [sin, cos, y - sin * half - cos * half]])
    laid = cv2.warpAffine(picture, forward, (frame.width, frame.height), flags=cv2.INTER_LINEAR).astype(np.float32)
    cover = laid[..., 3:] / 255.0 * 0.94 * (canvas.cover > 0.5)[..., None]
    canvas.colour += (laid[..., :3] * relief[..., None] * 0.97 - canvas.colour) * cover
