"""Shop photos: the garment alone, centred, on a light ground with a soft shadow."""

from __future__ import annotations

import cv2
import numpy as np

from croquis.sources.rendered.drawing.geometry import Pose
from croquis.sources.rendered.garments.cloth import Cloth, Frame, fit
from croquis.sources.rendered.garments.garment import Garment
from croquis.sources.rendered.garments.silhouettes import draw, shop_pose
from croquis.sources.rendered.render import Canvas, paint
from croquis.sources.rendered.seeding import stream

SUPERSAMPLING = 2
Box = list[int]


def shop_photo(garment: Garment, view: str, size: int, seed: int, number: int) -> tuple[np.ndarray, Box | None]:
    """A photo `front`, `back` or `detail`.

    Returns:
        RGB uint8 (size, size, 3), and the garment's tight box [x1, y1, x2, y2] in pixels (None for a detail).
    """
    rng = stream(seed, number, f"shop-{view}")
    side = size * SUPERSAMPLING
    angle = float(rng.normal(0.0, 0.03))
    pose = shop_pose(garment)
    pose = Pose((pose.arms[0] + angle, pose.arms[1] + angle), pose.elbows, pose.legs)
    drawing = draw(garment, "back" if view == "back" else "front", pose)
    frame = fit(drawing.box(), side, float(rng.uniform(0.86, 0.92)))
    if view == "detail":
        frame = _zoomed(drawing.box(), garment, side, rng)
    cloth = Cloth(garment, frame, back=view == "back")
    canvas = Canvas.empty(frame)
    paint(canvas, drawing, cloth, rng, owned=True)
    image = _on_ground(canvas, rng, side)
    image = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
    box = None if view == "detail" else tight_box(canvas.cover, size)
    return np.clip(image + rng.normal(0, 0.8, image.shape), 0, 255).round().astype(np.uint8), box


def _zoomed(box: tuple[float, float, float, float], garment: Garment, side: int, rng: np.random.Generator) -> Frame:
    """A close look at the part that tells most: neck and chest, or waist and hip."""
    x0, y0, x1, y1 = box
    whole = fit(box, side, 0.9)
    zoom = float(rng.uniform(2.0, 2.7)) * (1.0 if y1 - y0 < 1.0 else 1.35)
    scale = whole.scale * zoom
    seen = side / scale
    y = y0 + seen * 0.47 + (0.0 if garment.family in {"legs", "skirt"} else 0.01)
    x = (x0 + x1) / 2 + float(rng.uniform(-0.05, 0.05))
    return Frame(scale, x - seen / 2, y - seen / 2, side, side)


def _on_ground(canvas: Canvas, rng: np.random.Generator, side: int) -> np.ndarray:
    """Composites onto a near-white ground, slightly darker below, with a shadow to the lower right."""
    tint = (246.0 + rng.uniform(-5, 5) + rng.uniform(-1.5, 1.5, 3)).astype(np.float32)
    small = cv2.resize(canvas.cover, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), side * 0.022 / 4)
    moved = np.array([[1.0, 0.0, side * 0.010 / 4], [0.0, 1.0, side * 0.014 / 4]])
    small = 1.0 - 0.20 * cv2.warpAffine(small, moved, small.shape[::-1])
    small *= np.linspace(1.0, 0.965, len(small), dtype=np.float32)[:, None]
    ground = cv2.resize(small, (side, side), interpolation=cv2.INTER_LINEAR)
    ground *= 1.0 - canvas.cover
    return np.asarray(canvas.colour + ground[..., None] * tint, dtype=np.float32)


def tight_box(cover: np.ndarray, size: int) -> Box | None:
    """The box of what is covered, scaled to a photo of `size` pixels; None when hardly anything is."""
    rows, columns = np.flatnonzero((cover > 0.5).any(axis=1)), np.flatnonzero((cover > 0.5).any(axis=0))
    if len(rows) < 4 or len(columns) < 4:
        return None
    scale = size / cover.shape[0]
    x1, y1 = int(columns[0] * scale), int(rows[0] * scale)
    x2, y2 = int(np.ceil((columns[-1] + 1) * scale)), int(np.ceil((rows[-1] + 1) * scale))
    return [x1, y1, min(size, x2), min(size, y2)]
