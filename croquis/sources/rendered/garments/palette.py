"""The named colours of the catalogue."""

from __future__ import annotations

import colorsys

import numpy as np

Colour = tuple[float, float, float]
"""RGB, each in [0, 255]."""

PALETTE: dict[str, Colour] = {
    "black": (38, 38, 42),
    "white": (240, 239, 235),
    "grey": (142, 144, 148),
    "navy": (36, 46, 82),
    "blue": (48, 88, 170),
    "light-blue": (150, 188, 222),
    "red": (190, 38, 44),
    "burgundy": (108, 30, 46),
    "pink": (232, 160, 176),
    "purple": (112, 72, 136),
    "green": (44, 116, 76),
    "olive": (110, 108, 62),
    "teal": (34, 124, 128),
    "yellow": (232, 190, 70),
    "orange": (216, 112, 48),
    "brown": (112, 76, 52),
    "beige": (214, 194, 164),
}

# Wardrobes are mostly dark and neutral, which is what makes colour alone a weak key.
WEIGHTS: dict[str, float] = {"black": 3.0, "white": 2.5, "grey": 2.5, "navy": 2.5, "beige": 1.6, "blue": 1.4}


def weights() -> np.ndarray:
    """Probability of each palette colour, shape (len(PALETTE),)."""
    values = np.array([WEIGHTS.get(name, 1.0) for name in PALETTE])
    return np.asarray(values / values.sum())


def jittered(name: str, jitter: tuple[float, float, float]) -> Colour:
    """The named colour moved in hue, saturation and value by `jitter` (each about -1..1) without leaving its name."""
    hue, saturation, value = colorsys.rgb_to_hsv(*(channel / 255.0 for channel in PALETTE[name]))
    hue = (hue + 0.014 * jitter[0]) % 1.0
    saturation = min(1.0, max(0.0, saturation * (1.0 + 0.14 * jitter[1])))
    value = min(1.0, max(0.0, value * (1.0 + 0.07 * jitter[2])))
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
    return (255.0 * red, 255.0 * green, 255.0 * blue)


def shaded(colour: Colour, factor: float) -> Colour:
    """`colour` times `factor`, clipped to the range."""
    red, green, blue = (min(255.0, channel * factor) for channel in colour)
    return (red, green, blue)


def blended(first: Colour, second: Colour, share: float) -> Colour:
    """`share` of the second colour, the rest of the first."""
    red, green, blue = (a + (b - a) * share for a, b in zip(first, second, strict=True))
    return (red, green, blue)


def luminance(colour: Colour) -> float:
    """Perceived brightness in [0, 255] (Rec. 601 weights)."""
    return 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]
