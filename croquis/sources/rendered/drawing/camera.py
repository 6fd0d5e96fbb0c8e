"""What a phone does to a scene: viewpoint, cloth movement, light, white balance, blur, noise."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

Image = np.ndarray


@dataclass(frozen=True)
class CameraView:
    """Where every pixel of the photo looks in the painted canvas: two float32 maps (side, side)."""

    map_x: Image
    map_y: Image

    def take(self, canvas: Image) -> Image:
        """The photo (side, side, ...) of a painted canvas, black where the view leaves it."""
        return np.asarray(cv2.remap(canvas, self.map_x, self.map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT))


def sample_view(rng: np.random.Generator, source: int, side: int, strength: float, turn: float) -> CameraView:
    """A random viewpoint of a square canvas of `source` pixels, with the cloth's small movements.

    Args:
        turn: standard deviation of the rotation, radians, at strength 1.
    """
    angle, scale = rng.normal(0, turn * strength), float(np.exp(rng.normal(0.02, 0.10 * strength)))
    move = rng.normal(0, 0.045 * strength, 2) * side
    half = side / 2
    corners = np.array([(-half, -half), (half, -half), (half, half), (-half, half)])
    cos, sin = np.cos(angle) / scale, np.sin(angle) / scale
    seen = corners @ np.array([[cos, sin], [-sin, cos]]) + source / 2 + move
    seen += rng.normal(0, 0.032 * strength * side, (4, 2))
    pixels = (corners + half).astype(np.float32)
    a = cv2.getPerspectiveTransform(pixels, seen.astype(np.float32)).astype(np.float32)
    x, y = np.meshgrid(np.arange(side, dtype=np.float32), np.arange(side, dtype=np.float32))
    depth = a[2, 0] * x + a[2, 1] * y + a[2, 2]
    map_x, map_y = (a[0, 0] * x + a[0, 1] * y + a[0, 2]) / depth, (a[1, 0] * x + a[1, 1] * y + a[1, 2]) / depth
    for cells, amount in ((4, 0.011), (9, 0.0045)):
        wave = rng.standard_normal((cells, cells, 2)).astype(np.float32) * (amount * side * strength)
        wave = cv2.resize(wave, (side, side), interpolation=cv2.INTER_CUBIC)
        map_x, map_y = map_x + wave[..., 0], map_y + wave[..., 1]
    return CameraView(map_x, map_y)


def light(image: Image, rng: np.random.Generator, strength: float) -> Image:
    """Directional light, a cast shadow, white balance, exposure and contrast; float32 RGB in and out, any square."""
    side = image.shape[0]
    angle, fall = rng.uniform(0, 2 * np.pi), abs(rng.normal(0, 0.22 * strength))
    ramp = np.linspace(-1, 1, side, dtype=np.float32)
    field = 1.0 + fall * (np.cos(angle) * ramp[None, :] + np.sin(angle) * ramp[:, None])
    if rng.random() < 0.35 * strength:
        field = field * _cast_shadow(rng, side, strength)
    warm = rng.normal(0, 0.27 * strength)
    gains = np.exp(np.array([warm, rng.normal(0, 0.05 * strength), -warm]) + rng.normal(0, 0.40 * strength))
    lit = image * field[..., None].clip(0.2, 2.0) * gains.astype(np.float32)
    gamma = float(np.exp(rng.normal(0, 0.24 * strength)))
    haze = float(abs(rng.normal(0, 0.10 * strength)))
    faded = 255.0 * (np.clip(lit, 0, 255) / 255.0) ** np.float32(gamma)
    return np.asarray(faded * (1 - haze) + 190.0 * haze, dtype=np.float32)


def _cast_shadow(rng: np.random.Generator, side: int, strength: float) -> Image:
    """A soft-edged shadow of a frame, a blind or a passer-by, shape (side, side)."""
    mask = np.ones((side // 4, side // 4), dtype=np.float32)
    depth, small = 1.0 - float(rng.uniform(0.2, 0.5)) * min(1.0, strength), side // 4
    for _ in range(int(rng.integers(1, 4))):
        start, run = rng.uniform(-0.3, 1.0, 2) * small, rng.normal(0, 0.8, 2) * small
        across = np.array([-run[1], run[0]]) * rng.uniform(0.15, 0.6)
        shape = np.array([start, start + run, start + run + across, start + across])
        cv2.fillPoly(mask, [shape.astype(np.int32)], depth)
    mask = cv2.GaussianBlur(mask, (0, 0), float(rng.uniform(0.8, 3.0)))
    return np.asarray(cv2.resize(mask, (side, side), interpolation=cv2.INTER_LINEAR))


def through_lens(image: Image, size: int, rng: np.random.Generator, strength: float) -> Image:
    """Blur and the sensor's pixels; float32 (s, s, 3) in, float32 (size, size, 3) out."""
    supersampling = image.shape[0] / size
    kind = rng.random()
    if kind < 0.45:
        blur = supersampling * abs(rng.normal(0, 0.4 * strength)) * size / 128
        image = cv2.GaussianBlur(image, (0, 0), max(0.3, blur))
    elif kind < 0.58:
        image = _shake(image, rng, supersampling * strength * size / 128)
    return np.asarray(cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA))


def noisy(image: Image, rng: np.random.Generator, strength: float) -> Image:
    """Sensor noise; float32 in, uint8 out."""
    grain = rng.standard_normal(image.shape, dtype=np.float32) * np.float32(1.0 + 5.0 * strength * rng.random())
    return np.asarray(np.clip(image + grain, 0, 255).round(), dtype=np.uint8)


def _shake(image: Image, rng: np.random.Generator, strength: float) -> Image:
    """Motion blur along a short straight line."""
    reach = max(3, round(3.5 * strength)) | 1
    kernel = np.zeros((reach, reach), dtype=np.float32)
    angle, middle = rng.uniform(0, np.pi), reach // 2
    run = np.array([np.cos(angle), np.sin(angle)]) * middle
    start, end = np.round(middle - run).astype(int), np.round(middle + run).astype(int)
    cv2.line(kernel, (int(start[0]), int(start[1])), (int(end[0]), int(end[1])), 1.0)
    return np.asarray(cv2.filter2D(image, -1, kernel / kernel.sum()))


def jpeg_quality(rng: np.random.Generator, strength: float) -> int:
    """A JPEG quality of 35 to 88 by chance; the larger `strength`, at least 0, the lower."""
    return int(np.clip(88 - abs(rng.normal(0, 18 * strength)), 35, 95))
