"""What the writers of small data sets share: counted text files and pictures of garments."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw


def counted(path: Path, header: str | None, lines: list[str], stated: int | None = None) -> None:
    """A text file of the DeepFashion family: the number of rows (or what is `stated`), the header if any, the rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    top = [str(len(lines) if stated is None else stated)] + ([] if header is None else [header])
    path.write_text("\n".join(top + lines) + "\n", encoding="utf-8")


def garment(path: Path, item: int, shot: int = 0, size: tuple[int, int] = (48, 48), form: int | None = None) -> Path:
    """A photo in which the item decides form, colour and print, the shot decides place and light.

    Args:
        size: width and height, pixels.
        form: decides form and colour instead, so that items of one form differ in the print only.
    """
    looks, body_looks = np.random.default_rng([item, 1]), np.random.default_rng([item if form is None else form, 3])
    chance = np.random.default_rng([item, shot, 2])
    side = 64
    image = Image.new("RGB", (side, side), tuple(chance.integers(215, 250, 3).tolist()))
    canvas = ImageDraw.Draw(image)
    dx, dy = chance.integers(-3, 4, 2).tolist()
    bounds = ((8, 20), (6, 16), (22, 36), (26, 42))
    left, top, width, height = (int(body_looks.integers(low, high)) for low, high in bounds)
    body = (left + dx, top + dy, left + dx + width, top + dy + height)
    canvas.rectangle(body, fill=tuple(body_looks.integers(0, 200, 3).tolist()))
    for _ in range(9):
        x, y, width, height = looks.integers(0, 40, 4).tolist()
        spot = (x + 8 + dx, y + 6 + dy, x + 14 + width // 3 + dx, y + 12 + height // 3 + dy)
        canvas.ellipse(spot, fill=tuple(looks.integers(0, 256, 3).tolist()))
    path.parent.mkdir(parents=True, exist_ok=True)
    image.resize(size, Image.Resampling.BILINEAR).save(path, quality=95)
    return path


def part(size: int, share: float) -> str:
    """A coordinate at this share of `size`, padded with zeros as the released files pad it."""
    return f"{round(size * share):03d}"
