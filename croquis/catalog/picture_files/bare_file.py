"""What is left of a picture file, and how many parts it may have: the cost of reading one is bounded by these."""

from __future__ import annotations

from dataclasses import dataclass

from croquis.catalog.image_errors import AnimatedImageError, CostlyImageError, ImageError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF")
MOST_PARTS = 20_000  # chunks or segments; a PNG of 20 MB in chunks of 8 kB, libpng's size, has 2,500
MOST_BLOCKS = 200_000  # of at most 255 bytes each, of a GIF; one of 20 MB has 79,000
MOST_SCANS = 100  # of a progressive JPEG; encoders write 3 to 15
MOST_TABLE_BYTES = 131_072  # of a JPEG before its first scan; all tables that the standard allows take 3 kB
MOST_RUN_BYTES = 400_000  # of a run-length-encoded BMP, which Pillow decodes in Python
MOST_RUN_PIXELS = 4_000_000


@dataclass(frozen=True)
class BareFile:
    """A picture file without what its pixels do not need.

    Attributes:
        kind: Pillow's name of the format.
        data: the file.
        orientation: the EXIF orientation tag as it stands in the file; None where there is none.
        passes: how often decoding goes over all pixels.
    """

    kind: str
    data: bytes
    orientation: object = None
    passes: int = 1


def costly(kind: str, count: int, what: str, most: int) -> CostlyImageError:
    """The error of a file with too many parts of a kind, e.g. scans.

    Args:
        kind: of the file, e.g. `JPEG`.
        count: parts that were counted before reading stopped.
        what: name of the parts.
        most: so many are allowed.
    """
    return CostlyImageError(f"the {kind} has {count} {what} or more, at most {most} are read; save it again")


def animated(kind: str) -> AnimatedImageError:
    """The error of a file with several pictures; `kind` is e.g. `GIF`."""
    return AnimatedImageError(f"the {kind} is animated; send a still picture")


def unknown() -> ImageError:
    """The error of a file that is none of `FORMATS`."""
    return ImageError(f"the file is none of {', '.join(FORMATS)}")
