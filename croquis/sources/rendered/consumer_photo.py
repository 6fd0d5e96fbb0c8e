"""Consumer photos: the same garment worn, hung or laid somewhere, taken with a phone."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from croquis.sources.rendered.drawing import camera
from croquis.sources.rendered.drawing.geometry import Drawing, Part, Pose, points, ribbon
from croquis.sources.rendered.drawing.occluders import occluder
from croquis.sources.rendered.garments import body
from croquis.sources.rendered.garments.cloth import Cloth, Frame, fit
from croquis.sources.rendered.garments.garment import Garment, sample
from croquis.sources.rendered.garments.silhouettes import draw, shop_pose
from croquis.sources.rendered.render import Canvas, paint
from croquis.sources.rendered.scene import floor_scene, upright_scene
from croquis.sources.rendered.seeding import stream
from croquis.sources.rendered.shop_photo import Box, tight_box

SUPERSAMPLING = 2
MARGIN = 1.3
"""Side of the painted canvas over that of the photo: what the camera may turn into view."""


@dataclass(frozen=True)
class PhotoSetting:
    """How the garment is shown: `worn`, `hung` or `laid`, from the front or the back."""

    kind: str
    view: str
    pose: Pose
    light: tuple[float, float]


def consumer_photo(
    garment: Garment, shot: int, size: int, difficulty: float, lighting: float, seed: int, number: int
) -> tuple[bytes, Box | None]:
    """One photo as JPEG bytes, with the tight box of the garment's visible cloth.

    Args:
        difficulty: strength of pose, viewpoint, folds, cover, blur and noise; 1 is hard.
        lighting: strength of shadows, white balance, exposure and contrast; 1 is hard.
    """
    rng = stream(seed, number, f"consumer-{shot}")
    side = size * SUPERSAMPLING
    setting = _setting(garment, rng, difficulty)
    drawing = draw(garment, setting.view, setting.pose)
    frame = fit(drawing.box(), round(side * MARGIN), 0.80 / MARGIN)
    canvas = _staged(garment, drawing, setting, frame, rng, difficulty)
    turn = 0.26 if setting.kind == "laid" else 0.10
    look = camera.sample_view(rng, frame.width, side, difficulty, turn)
    ground = (floor_scene if setting.kind == "laid" else upright_scene)(rng, side)
    image, owned = _compose(ground, look, canvas, setting)
    image = camera.light(camera.through_lens(image, size, rng, difficulty), rng, lighting)
    image = camera.noisy(image, rng, difficulty)
    quality = camera.jpeg_quality(rng, difficulty)
    _, encoded = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return encoded.tobytes(), tight_box(owned, size)


def _setting(garment: Garment, rng: np.random.Generator, difficulty: float) -> PhotoSetting:
    kind = str(rng.choice(["worn", "hung", "laid"], p=[0.64, 0.16, 0.20]))
    view = "back" if rng.random() < 0.06 * min(1.0, difficulty) else "front"
    base, loose = shop_pose(garment), 0.16 * difficulty
    arms = np.clip(rng.normal(base.arms[0] + (0.0 if kind != "worn" else -0.02), loose, 2), 0.06, 1.25)
    elbows = rng.normal(-0.10, 0.9 * loose, 2) if kind == "hung" else rng.normal(-0.10, 2.2 * loose, 2)
    legs = np.clip(rng.normal(0.07, 0.05 * difficulty, 2), 0.0, 0.24)
    angle = rng.uniform(0, 2 * np.pi)
    pose = Pose(
        (float(arms[0]), float(arms[1])), (float(elbows[0]), float(elbows[1])), (float(legs[0]), float(legs[1]))
    )
    return PhotoSetting(kind, view, pose, (float(np.cos(angle)), float(np.sin(angle))))


def _staged(
    garment: Garment,
    drawing: Drawing,
    setting: PhotoSetting,
    frame: Frame,
    rng: np.random.Generator,
    difficulty: float,
) -> Canvas:
    """What is under the garment, the garment itself, and what is over it."""
    canvas, other = Canvas.empty(frame), Cloth(garment, frame)
    wearer = body.Wearer.sample(rng) if setting.kind == "worn" else None
    if wearer is not None:
        companion = _companion(garment, rng)
        upper = garment if garment.family in body.UPPER else companion
        paint(canvas, body.behind(wearer, setting.pose, upper), other, rng, setting.light)
        if companion is not None:
            beside = draw(companion, setting.view, setting.pose)
            paint(canvas, beside, Cloth(companion, frame, setting.view == "back"), rng, setting.light)
    elif setting.kind == "hung":
        paint(canvas, _hanger(garment), other, rng, setting.light)
    paint(canvas, drawing, Cloth(garment, frame, setting.view == "back"), rng, setting.light, owned=True)
    if wearer is not None:
        paint(canvas, body.in_front(wearer, setting.view == "back"), other, rng, setting.light)
    if rng.random() < 0.32 * difficulty:
        paint(canvas, occluder(rng, drawing.box(), None if wearer is None else wearer.skin), other, rng, setting.light)
    return canvas


def _companion(garment: Garment, rng: np.random.Generator) -> Garment | None:
    """Other clothes of the outfit: something below a top, something above trousers and skirts."""
    if garment.family in {"dress", "jumpsuit"}:
        return None
    wanted = {"legs", "skirt"} if garment.family == "top" else {"top"}
    for _ in range(60):
        other = sample(rng)
        if other.family in wanted and other.category != "coat" and other.length != "crop":
            return other
    return None


def _hanger(garment: Garment) -> Drawing:
    drawing, wood = Drawing(), (150.0, 110.0, 70.0)
    if garment.family in {"legs", "skirt"}:
        drawing.add(Part(ribbon(points((-0.2, 0.40), (0.2, 0.40)), 0.012, 0.012), colour=wood, drawn=False))
        drawing.add(
            Part(ribbon(points((0.0, 0.40), (0.0, 0.2)), 0.006, 0.006), colour=(170.0, 170.0, 170.0), drawn=False)
        )
        return drawing
    for sign in (-1, 1):
        drawing.add(Part(ribbon(points((0.0, -0.03), (sign * 0.2, 0.07)), 0.014, 0.014), colour=wood, drawn=False))
    hook = points((0.0, -0.03), (0.0, -0.10), (0.03, -0.13), (0.02, -0.17), (-0.01, -0.17))
    drawing.add(Part(ribbon(hook, 0.006, 0.006), colour=(170.0, 170.0, 170.0), drawn=False))
    return drawing


def _compose(
    ground: np.ndarray, look: camera.CameraView, canvas: Canvas, setting: PhotoSetting
) -> tuple[np.ndarray, np.ndarray]:
    """The scene as float32 RGB (side, side, 3) and the visible share of the garment (side, side)."""
    side = ground.shape[0]
    stacked = np.dstack([canvas.colour, canvas.cover * 255.0])
    seen = look.take(np.round(stacked).astype(np.uint8)).astype(np.float32)
    owned = look.take(canvas.owned)
    bare = 1.0 - seen[..., 3] * np.float32(1 / 255)
    small = cv2.resize(bare, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    spread = {"worn": 0.05, "hung": 0.03, "laid": 0.016}[setting.kind]
    blurred = cv2.GaussianBlur(1.0 - small, (0, 0), side * spread / 4)
    away = -np.array(setting.light) * spread * side * 0.8 / 4
    thrown = cv2.warpAffine(blurred, np.array([[1.0, 0.0, away[0]], [0.0, 1.0, away[1]]]), small.shape[::-1])
    shadow = cv2.resize(1.0 - 0.45 * thrown, (side, side), interpolation=cv2.INTER_LINEAR)
    return ground * (bare * shadow)[..., None] + seen[..., :3], owned
