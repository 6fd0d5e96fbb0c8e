"""Pictures in and out: safe decoding, and the one preparation that training, evaluation and serving share."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from croquis.arrays import Uint8Image
from croquis.catalog.image_errors import AnimatedImageError as AnimatedImageError
from croquis.catalog.image_errors import BoxError as BoxError
from croquis.catalog.image_errors import ColourModeError as ColourModeError
from croquis.catalog.image_errors import CostlyImageError as CostlyImageError
from croquis.catalog.image_errors import DamagedImageError as DamagedImageError
from croquis.catalog.image_errors import ImageError as ImageError
from croquis.catalog.image_errors import OversizedImageError as OversizedImageError
from croquis.catalog.picture_files.bare_file import FORMATS as FORMATS
from croquis.catalog.picture_files.bare_file import BareFile, unknown
from croquis.catalog.picture_files.jpeg_scale import Box, ask_for_scale, scaled_box, upright_size
from croquis.catalog.picture_files.orientation import ORIENTATION_TAG
from croquis.catalog.picture_files.stripping import bare_file

Batch = npt.NDArray[np.float32]  # (B, 3, S, S) in [0, 1]

# Every colour mode that Pillow gives for these formats; `to_rgb` says what becomes of each.
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "I;16", "I")
SCANS_OF_THE_LARGEST = 30  # twice what encoders write
WHITE = (255, 255, 255)
PNG_BIT_DEPTH = 24  # place of the bit depth in a PNG file: 8 bytes of signature, then the IHDR chunk


@dataclass(frozen=True)
class DecodeLimits:
    """What is refused before a pixel is decoded.

    Attributes:
        max_bytes: largest file, bytes.
        max_pixels: largest width x height as the file's header states it.
        max_work: most pixels that decoding goes over, scan by scan; when None those of 30 scans of the largest picture.
    """

    max_bytes: int = 20_000_000
    max_pixels: int = 50_000_000
    max_work: int | None = None


DEFAULT_LIMITS = DecodeLimits()


@dataclass(frozen=True)
class Decoded:
    """A picture and how its file stored it.

    Attributes:
        pixels: uint8 (H, W, 3), upright.
        mode: Pillow's name of the colour mode in the file.
        orientation: the EXIF orientation tag: 1 to 8 where the file follows the standard, None where there is none.
    """

    pixels: Uint8Image
    mode: str
    orientation: object


def decode_image(data: bytes, limits: DecodeLimits = DEFAULT_LIMITS) -> Uint8Image:
    """Decodes a photo to upright RGB.

    Training, evaluation, the index and serving all read pictures through this function: the EXIF orientation is
    applied, then `to_rgb`.

    Args:
        data: a whole JPEG, PNG, WEBP, BMP or GIF file.
        limits: checked on the file and its header, before decoding.

    Returns:
        uint8 of shape (H, W, 3).

    Raises:
        ImageError: when the bytes are no such picture, are animated, truncated or over a limit.
    """
    return read_image(data, limits).pixels


def decode_inside(
    data: bytes, bbox: Sequence[int] | None, limits: DecodeLimits = DEFAULT_LIMITS, draft: int = 0
) -> Uint8Image:
    """What is inside a box of a photo: `crop` of `decode_image`, or, with `draft`, the same at a smaller scale.

    Args:
        data: a whole file.
        bbox: x1, y1, x2, y2 in pixels of the full, upright photo; clipped to it. The whole photo when None.
        limits: checked on the file and its header, of the full size, before decoding.
        draft: pixels that the longer side of the box keeps at least where a JPEG's decoder scales it to 1/2, 1/4 or 1/8;
            0 to decode in full. Other formats are always decoded in full.

    Returns:
        uint8 of shape (h, w, 3).

    Raises:
        BoxError: when the box holds no pixel of the photo.
        ImageError: as `decode_image`.
    """
    return np.array(_open(data, limits, bbox, draft)[0], dtype=np.uint8)


def read_image(data: bytes, limits: DecodeLimits = DEFAULT_LIMITS) -> Decoded:
    """`decode_image`, and what the file says about itself."""
    upright, mode, orientation = _open(data, limits)
    return Decoded(np.array(upright, dtype=np.uint8), mode, orientation)


def costs_little(data: bytes, limits: DecodeLimits) -> bool:
    """Whether a file keeps to limits by its parts and header; True of what is no picture, which decoding tells at once."""
    try:
        file = bare_file(data)
        with Image.open(io.BytesIO(file.data), formats=(file.kind,)) as image:
            _check_header(image, file, limits)
    except (OversizedImageError, CostlyImageError, Image.DecompressionBombError):
        return False
    except Exception:  # as in `_read`: a parser raises anything
        return True
    return len(data) <= limits.max_bytes


def _open(
    data: bytes, limits: DecodeLimits, bbox: Sequence[int] | None = None, draft: int = 0
) -> tuple[Image.Image, str, object]:
    """Upright RGB inside the box, the file's mode and its orientation; arguments as `decode_inside`."""
    if not data:
        raise ImageError("the image is empty (0 bytes)")
    if len(data) > limits.max_bytes:
        raise OversizedImageError(f"the image has {len(data)} bytes, the limit is {limits.max_bytes}")
    return _read(bare_file(data), limits, bbox, draft)


def _read(
    file: BareFile, limits: DecodeLimits, bbox: Sequence[int] | None, draft: int
) -> tuple[Image.Image, str, object]:
    # A parser fed with hostile bytes raises anything (struct.error, SyntaxError, OverflowError, ...): all of it means
    # that this is not a picture, and none of it is swallowed.
    try:
        with Image.open(io.BytesIO(file.data), formats=(file.kind,)) as image:
            _check_header(image, file, limits)
            size = upright_size(image, file.orientation)
            box = (0, 0, *size) if bbox is None else _inside(bbox, *size)
            if draft:
                ask_for_scale(image, box, draft)
            image.load()
            _scale_colour_key(image, file.data)
            upright = _rgb(_upright(image, file.orientation))
            inside = upright if bbox is None else upright.crop(scaled_box(box, size, upright.size))
            return inside, image.mode, file.orientation
    except ImageError:
        raise
    except UnidentifiedImageError:
        raise unknown() from None
    except Image.DecompressionBombError:
        raise OversizedImageError(f"the image has far more than the {limits.max_pixels} pixels allowed") from None
    except MemoryError:
        raise CostlyImageError("the image takes more memory to decode than there is; save it smaller") from None
    except Exception as error:
        raise DamagedImageError(f"the image is truncated or damaged: {error}") from error


def from_pillow(image: Image.Image) -> Uint8Image:
    """Upright RGB, uint8 (H, W, 3), of an image that Pillow holds; for files use `decode_image`, which checks them first.

    Raises:
        ImageError: when its pixels cannot be read, or its colour mode is unknown.
    """
    try:
        image.load()
    except Exception as error:  # as in `read_image`: a parser raises anything
        raise DamagedImageError(f"the image is truncated or damaged: {error}") from error
    return check_image(to_rgb(_upright(image, _orientation(image))))


def _check_header(image: Image.Image, file: BareFile, limits: DecodeLimits) -> None:
    width, height = image.size
    if width * height > limits.max_pixels:
        raise OversizedImageError(
            f"the image is {width} x {height} pixels, the limit is {limits.max_pixels} pixels in all"
        )
    work = SCANS_OF_THE_LARGEST * limits.max_pixels if limits.max_work is None else limits.max_work
    if width * height * file.passes > work:
        raise CostlyImageError(
            f"the image is {width} x {height} pixels in {file.passes} scans; it would take too long: save it again"
        )


def _orientation(image: Image.Image) -> object:
    try:
        return image.getexif().get(ORIENTATION_TAG)
    except Exception:  # broken EXIF says nothing about the pixels, which are whole at this point
        return None


def _upright(image: Image.Image, orientation: object) -> Image.Image:
    turns = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }
    turn = turns.get(orientation) if isinstance(orientation, int) else None
    return image if turn is None else image.transpose(turn)


def to_rgb(image: Image.Image) -> Uint8Image:
    """The one conversion of every colour mode to 8-bit RGB.

    - `L`, `1`: grey in all three channels; ink is 0, paper 255.
    - `I;16`, `I` (16-bit grey): the high byte, which is what Pillow keeps of 16-bit colour.
    - `LA`, `PA`, `RGBA`, a transparent palette entry or colour: laid on white.
    - `P`: the palette's colours. `CMYK`: Pillow's conversion without a colour profile (Adobe's inverted files included).

    Args:
        image: loaded, in one of `MODES`.

    Returns:
        uint8 of shape (H, W, 3).

    Raises:
        ColourModeError: when the mode is another.
    """
    return np.array(_rgb(image), dtype=np.uint8)


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode not in MODES:
        raise ColourModeError(f"the colour mode {image.mode} is none of {', '.join(MODES)}; save it as RGB")
    if image.mode.startswith("I"):
        return Image.fromarray(_high_bytes(image))
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        canvas = Image.new("RGBA", rgba.size, (*WHITE, 255))
        return Image.alpha_composite(canvas, rgba).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _high_bytes(image: Image.Image) -> Uint8Image:
    values = np.clip(np.asarray(image).astype(np.int64), 0, 65_535)
    grey = np.where(values == image.info.get("transparency", -1), 255, values >> 8).astype(np.uint8)
    return np.ascontiguousarray(np.repeat(grey[:, :, None], 3, axis=2))


def _scale_colour_key(image: Image.Image, data: bytes) -> None:
    """Brings a PNG's transparent colour to the 8 bits of the decoded pixels; Pillow leaves it at the file's bit depth."""
    key = image.info.get("transparency")
    if image.format != "PNG" or isinstance(key, bytes) or key is None:
        return
    depth = data[PNG_BIT_DEPTH]
    if image.mode == "RGB" and depth == 16:
        image.info["transparency"] = tuple(value >> 8 for value in key)
    elif image.mode == "L" and depth < 8:
        image.info["transparency"] = key * 255 // (2**depth - 1)


def prepare_image(image: Uint8Image, size: int, bbox: Sequence[int] | None = None) -> Uint8Image:
    """Crops to the garment, scales with anti-aliasing and centres on a white square.

    Args:
        image: uint8 (H, W, 3).
        size: side of the result, pixels, at least 1.
        bbox: x1, y1, x2, y2 in pixels of `image` (upright); clipped to it. The whole image when None.

    Returns:
        uint8 of shape (size, size, 3).

    Raises:
        ImageError: when `image` has another shape or type, or nothing is left inside `bbox`.
    """
    cropped = crop(check_image(image), bbox)
    return cropped if cropped.shape[:2] == (size, size) else _square(Image.fromarray(cropped), size)


def prepare_file(data: bytes, size: int, bbox: Sequence[int] | None = None, draft: int = 0) -> Uint8Image:
    """`prepare_image` of what `decode_inside` reads: the same pixels, without the copies in between."""
    return _square(_open(data, DEFAULT_LIMITS, bbox, draft)[0], size)


def _square(image: Image.Image, size: int) -> Uint8Image:
    width, height = image.size
    longest = max(height, width)
    fitted = (max(1, round(width * size / longest)), max(1, round(height * size / longest)))
    # reducing_gap shrinks big photos by whole factors first: the same picture to the eye, many times faster.
    scaled = image.resize(fitted, Image.Resampling.LANCZOS, reducing_gap=3.0)
    if fitted == (size, size):
        return np.array(scaled, dtype=np.uint8)
    square = Image.new("RGB", (size, size), WHITE)
    square.paste(scaled, ((size - fitted[0]) // 2, (size - fitted[1]) // 2))
    return np.array(square, dtype=np.uint8)


def crop(image: Uint8Image, bbox: Sequence[int] | None) -> Uint8Image:
    """The part of (H, W, 3) inside x1, y1, x2, y2, clipped to the image.

    Raises:
        BoxError: when `bbox` is not four numbers or holds no pixel of the image.
    """
    if bbox is None:
        return image
    height, width = image.shape[:2]
    x1, y1, x2, y2 = _inside(bbox, width, height)
    return np.ascontiguousarray(image[y1:y2, x1:x2])


def _inside(bbox: Sequence[int], width: int, height: int) -> Box:
    if len(bbox) != 4:
        raise BoxError(f"bbox has {len(bbox)} numbers, must be x1, y1, x2, y2: {list(bbox)}")
    x1, x2 = (min(max(int(value), 0), width) for value in (bbox[0], bbox[2]))
    y1, y2 = (min(max(int(value), 0), height) for value in (bbox[1], bbox[3]))
    if x1 >= x2 or y1 >= y2:
        raise BoxError(f"bbox {list(bbox)} holds no pixel of the {width} x {height} image")
    return x1, y1, x2, y2


def check_image(image: Uint8Image) -> Uint8Image:
    """Returns `image` when it is uint8 (H, W, 3) with at least one pixel.

    Raises:
        ImageError: naming the type and shape that came instead.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ImageError(f"an image must be uint8 (H, W, 3), not {image.dtype} {image.shape}")
    return image


def to_batch(images: Sequence[Uint8Image]) -> Batch:
    """Stacks prepared squares into what the nets take.

    Args:
        images: at least one uint8 (S, S, 3), all of one size.

    Returns:
        float32 of shape (B, 3, S, S) in [0, 1], contiguous.

    Raises:
        ImageError: when there are none or their shapes differ.
    """
    shapes = {check_image(image).shape for image in images}
    if len(shapes) != 1:
        raise ImageError(f"a batch needs one or more images of one shape, not {sorted(shapes)}")
    stacked = np.stack(images).transpose(0, 3, 1, 2)
    return np.ascontiguousarray(stacked, dtype=np.float32) / np.float32(255)


def from_batch(batch: Batch) -> list[Uint8Image]:
    """The inverse of `to_batch`: values are clipped to [0, 1] and rounded."""
    pixels = np.rint(np.clip(batch, 0.0, 1.0) * 255).astype(np.uint8).transpose(0, 2, 3, 1)
    return [np.ascontiguousarray(image) for image in pixels]


def encode_jpeg(image: Uint8Image, quality: int = 90) -> bytes:
    """A baseline JPEG of uint8 (H, W, 3); `quality` 1 to 95."""
    stream = io.BytesIO()
    Image.fromarray(check_image(image)).save(stream, format="JPEG", quality=quality)
    return stream.getvalue()


def encode_png(image: Uint8Image) -> bytes:
    """A lossless PNG of uint8 (H, W, 3)."""
    stream = io.BytesIO()
    Image.fromarray(check_image(image)).save(stream, format="PNG")
    return stream.getvalue()
