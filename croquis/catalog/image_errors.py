"""Why a picture is not accepted: one class per kind of reason, so that rules and answers can distinguish them."""

from __future__ import annotations


class ImageError(ValueError):
    """Bytes that are not a picture we accept, or an array that is not a picture; the message names value and limit."""


class DamagedImageError(ImageError):
    """The file begins as a picture and breaks off or makes no sense further on."""


class OversizedImageError(ImageError):
    """The file, or the picture that its header promises, is over a limit."""


class CostlyImageError(ImageError):
    """Decoding the file would take far longer than that of an ordinary picture of its size."""


class AnimatedImageError(ImageError):
    """The file holds more than one picture."""


class ColourModeError(ImageError):
    """The picture's colours are stored in a way that `to_rgb` does not know."""


class BoxError(ImageError):
    """The box to look at is no box, or holds no pixel of the picture."""
