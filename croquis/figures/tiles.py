"""The pieces of a contact sheet: square tiles with frames, and lines of text. Pillow only."""

from __future__ import annotations

import io

from PIL import Image, ImageDraw, ImageFont

from croquis.arrays import Uint8Image

Colour = tuple[int, int, int]

WHITE: Colour = (255, 255, 255)
INK: Colour = (34, 34, 34)
MUTED: Colour = (120, 120, 120)
# Distinguishable without red-green vision: the green is dark, the red light.
HIT: Colour = (0, 128, 60)
MISS: Colour = (240, 120, 110)


def tile(image: Uint8Image, side: int, frame: Colour | None = None, frame_width: int = 4) -> Image.Image:
    """`image`, uint8 (H, W) or (H, W, 3), fitted into a white square of `side` pixels, inside a frame when asked."""
    inner = side - 2 * frame_width
    picture = Image.fromarray(image).convert("RGB")
    scale = inner / max(picture.size)
    width, height = (max(1, round(length * scale)) for length in picture.size)
    canvas = Image.new("RGB", (side, side), WHITE)
    resized = picture.resize((width, height), Image.Resampling.LANCZOS)
    canvas.paste(resized, ((side - width) // 2, (side - height) // 2))
    if frame is not None:
        ImageDraw.Draw(canvas).rectangle((0, 0, side - 1, side - 1), outline=frame, width=frame_width)
    return canvas


def write(sheet: Image.Image, at: tuple[int, int], text: str, width: int, size: int = 12, ink: Colour = INK) -> None:
    """One line of text with its top left corner `at`, shortened with an ellipsis to at most `width` pixels."""
    # The font that Pillow carries inside itself: the same glyphs on every machine.
    font = ImageFont.load_default(size)
    shown = text
    while shown and font.getlength(shown) > width:
        shown = shown[:-2].rstrip() + "…" if len(shown) > 2 else ""
    ImageDraw.Draw(sheet).text(at, shown, fill=ink, font=font)


def png_bytes(image: Image.Image) -> bytes:
    """The PNG of a picture, without time stamps or software names.

    Level 2 takes a third of the time of the usual 6, and an eighth more bytes (a contact sheet of evaluation).
    """
    stream = io.BytesIO()
    image.convert("RGB").save(stream, format="PNG", optimize=False, compress_level=2)
    return stream.getvalue()
