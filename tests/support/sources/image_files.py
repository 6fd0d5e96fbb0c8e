"""Picture files for the sources to find."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PIL import Image

MakeImage = Callable[..., Path]


def write_image(path: Path, shade: int = 128, size: tuple[int, int] = (8, 8)) -> Path:
    """A picture of one colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (shade % 256, 90, 60)).save(path)
    return path
