"""The garment's print and weave laid out over a canvas, turned with the grain of each piece."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from croquis.arrays import Floats32
from croquis.sources.rendered.garments.fabric import WEAVE_PERIOD, tile, weave
from croquis.sources.rendered.garments.garment import Garment, block_band, block_style
from croquis.sources.rendered.garments.palette import shaded


@dataclass(frozen=True)
class Frame:
    """Where garment units fall on a canvas: pixel = (unit - origin) * scale. Canvas sides in pixels."""

    scale: float
    x0: float
    y0: float
    width: int
    height: int

    def to_pixels(self, path: np.ndarray) -> np.ndarray:
        """A path (n, 2) in garment units as pixels of the canvas."""
        return (np.asarray(path, dtype=np.float64) - (self.x0, self.y0)) * self.scale


def fit(box: tuple[float, float, float, float], side: int, fill: float) -> Frame:
    """A square frame of `side` pixels in which `box` is centred and takes the share `fill` of the longer way."""
    x0, y0, x1, y1 = box
    scale = fill * side / max(x1 - x0, y1 - y0)
    return Frame(scale, (x0 + x1) / 2 - side / scale / 2, (y0 + y1) / 2 - side / scale / 2, side, side)


Region = tuple[slice, slice]
"""Rows and columns of a canvas."""

BACK_SHIFT = (0.37, 0.21)
"""Where the print of a back starts, in repeats: a back is not a copy of the front."""

FLAT_PATTERNS = frozenset({"plain", "graphic", "colour-block"})


@dataclass
class Cloth:
    """The textures of one garment on one canvas, cut where a piece needs them.

    `back`: the cloth of the back, where the print starts elsewhere and left and right are exchanged.
    """

    garment: Garment
    frame: Frame
    back: bool = False
    _repeat: np.ndarray | None = field(default=None, repr=False)

    def texture(self, fill: str, grain: float, region: Region) -> Floats32:
        """RGB in [0, 255] of a region of the canvas, shape (rows, columns, 3)."""
        if fill == "main" and self.garment.pattern not in FLAT_PATTERNS:
            angle = self.garment.print.angle + grain
            colour = self._lay(self._tile(), angle, region).astype(np.float32)
        else:
            colour = self._flat(fill, region)
        surface = self._weave(fill, grain, region)
        return colour if surface is None else colour * surface[..., None]

    def _tile(self) -> np.ndarray:
        if self._repeat is None:
            self._repeat = tile(self.garment, round(self.garment.print.period * self.frame.scale))
        return self._repeat

    def _flat(self, fill: str, region: Region) -> Floats32:
        garment, (rows, columns) = self.garment, region
        plain = {
            "inside": shaded(garment.main_rgb, 0.55),
            "accent": garment.accent_rgb,
            "metal": (176.0, 174.0, 168.0),
            "label": (226.0, 222.0, 212.0),
        }
        rgb = np.array(plain.get(fill, garment.main_rgb), dtype=np.float32)
        image = np.broadcast_to(rgb, (rows.stop - rows.start, columns.stop - columns.start, 3))
        if fill == "main" and garment.pattern == "colour-block":
            second = np.array(garment.accent_rgb, dtype=np.float32)
            image = np.where(self._block(region)[..., None], second, image)
        return image

    def _block(self, region: Region) -> np.ndarray:
        """Where the second colour of a colour-blocked garment lies, by the garment's own place for it; bool."""
        (rows, columns), frame = region, self.frame
        y = np.arange(rows.start, rows.stop)[:, None] / frame.scale + frame.y0
        x = np.arange(columns.start, columns.stop)[None, :] / frame.scale + frame.x0
        start, end = block_band(self.garment)
        everywhere = np.ones((y.shape[0], x.shape[1]), dtype=bool)
        masks = {
            "band": (y > start) & (y < end),
            "lower": y > start,
            "halves": (x > 0.0) != self.back,
        }
        return np.asarray(masks.get(block_style(self.garment), ~everywhere) & everywhere)

    def _lay(self, repeat: np.ndarray, angle: float, region: Region) -> np.ndarray:
        """Repeats a tile over the region, turned by `angle` and anchored to the garment."""
        frame, (rows, columns), (high, wide) = self.frame, region, repeat.shape[:2]
        moved = BACK_SHIFT if self.back else (0.0, 0.0)
        x = columns.start + frame.x0 * frame.scale - moved[0] * wide
        y = rows.start + frame.y0 * frame.scale - moved[1] * high
        cos, sin = np.cos(angle), np.sin(angle)
        inverse = np.array([[cos, sin, cos * x + sin * y], [-sin, cos, -sin * x + cos * y]])
        inverse[:, 2] %= (wide, high)
        size, flags = (columns.stop - columns.start, rows.stop - rows.start), cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return np.asarray(cv2.warpAffine(repeat, inverse, size, flags=flags, borderMode=cv2.BORDER_WRAP))

    def _weave(self, fill: str, grain: float, region: Region) -> Floats32 | None:
        """The fabric's surface as a factor of brightness; None where it is finer than the pixels (it would be moire)."""
        fabric = "ribbed" if fill == "rib" else self.garment.fabric
        period = round(WEAVE_PERIOD.get(fabric, 0.0) * self.frame.scale)
        if fill in {"inside", "metal", "label"} or (period < 3 and fabric != "fleece"):
            return None
        surface = np.clip(weave(fabric, period) * 128, 0, 255).astype(np.uint8)
        return np.asarray(self._lay(surface, grain, region).astype(np.float32) / 128.0, dtype=np.float32)
