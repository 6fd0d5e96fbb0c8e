"""Edge maps of photos: dark lines on white, what a line drawing of the photo might start from."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from croquis.catalog.drawings import INK

EdgeMap = npt.NDArray[np.uint8]  # (H, W), 0 dark line .. 255 white

EDGE_METHODS = ("canny", "xdog")
HED = "hed"  # the edges that a net finds, see `croquis.nets.edge_detector`
DRAWN = "drawn"  # the pictures are line drawings already
SMALLEST_COMPONENT = 5
FAINTEST, SURE = 0.3, 0.5  # probabilities: a line goes on down to the first where it is somewhere above the second
SMOOTHING = 1.0  # standard deviation of the blur that the direction of a line is taken from, pixels
LEVELLING = 0.8  # share of the local mean brightness that is taken out before XDoG


def edge_map(image: npt.NDArray[np.uint8], method: str = "canny") -> EdgeMap:
    """Lines of an RGB picture (H, W, 3) as uint8 (H, W): dark on white, specks below 5 pixels removed.

    `canny` (Canny 1986) gives thin black lines, its thresholds taken from the picture's own gradients; `xdog` (Winnemöller,
    Kyprianidis, Olsen 2012, "XDoG: an extended difference-of-Gaussians compendium") gives soft lines of varying width.
    `drawn` is for pictures that are edge maps already: they lose their colours and nothing else.

    Raises:
        ValueError: for another method, type or shape.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"an image must be uint8 (H, W, 3), not {image.dtype} {image.shape}")
    if method == DRAWN:
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
    if method == HED:
        raise ValueError("edge method 'hed' needs a net: croquis.nets.edge_detector.EdgeDetector finds its lines")
    if method not in EDGE_METHODS:
        raise ValueError(f"edge method {method!r} is none of {', '.join((*EDGE_METHODS, DRAWN))}")
    return without_specks(canny(image) if method == "canny" else xdog(image))


def canny(image: npt.NDArray[np.uint8]) -> EdgeMap:
    """Canny on the strongest colour channel of each pixel, so that equally bright colours part too.

    The high threshold is the gradient that the strongest tenth of the pixels exceeds, kept within bounds so that neither
    a blank picture nor a busy one turns black; the low threshold is 0.4 of it.
    """
    smooth = cv2.GaussianBlur(image, (0, 0), 1.0)
    across, down = (_strongest(cv2.Sobel(smooth, cv2.CV_16S, dx, 1 - dx)) for dx in (1, 0))
    strength = np.abs(across.astype(np.int32)) + np.abs(down)
    high = float(np.clip(np.percentile(strength, 90), 60, 400))
    return np.asarray(255 - cv2.Canny(across, down, 0.4 * high, high), dtype=np.uint8)


def _strongest(gradients: npt.NDArray[np.int16]) -> npt.NDArray[np.int16]:
    """Of (H, W, 3) the channel that is largest in size, per pixel: (H, W)."""
    channel = np.abs(gradients).argmax(axis=2)[:, :, None]
    return np.ascontiguousarray(np.take_along_axis(gradients, channel, axis=2)[:, :, 0])


def xdog(
    image: npt.NDArray[np.uint8],
    sigma: float = 0.8,
    k: float = 1.6,
    p: float = 20.0,
    epsilon: float = 0.75,
    phi: float = 12.0,
) -> EdgeMap:
    """Soft-thresholded sharpened difference of Gaussians, equations 5 and 7 of the paper.

    S = (1 + p) * G(sigma) - p * G(k * sigma) of the picture in [0, 1]; a pixel is white where S >= epsilon and
    1 + tanh(phi * (S - epsilon)) elsewhere. Two deviations, for garments: the picture is the darkest colour channel, which
    parts light colours from a white ground, and it is levelled to white by its surroundings, so that dark cloth stays clear.
    """
    darkest = image.min(axis=2).astype(np.float32) / 255
    levelled = 1.0 + LEVELLING * (darkest - cv2.GaussianBlur(darkest, (0, 0), 8 * sigma))
    sharp = (1 + p) * cv2.GaussianBlur(levelled, (0, 0), sigma) - p * cv2.GaussianBlur(levelled, (0, 0), k * sigma)
    soft = np.where(sharp >= epsilon, 1.0, 1.0 + np.tanh(phi * (sharp - epsilon)))
    return np.asarray(np.rint(np.clip(soft, 0, 1) * 255), dtype=np.uint8)


def ridges(probability: npt.NDArray[np.float32], faintest: float = FAINTEST, sure: float = SURE) -> EdgeMap:
    """Thin black lines along the ridges of edge probabilities float32 (H, W) in [0, 1], as uint8 (H, W), without specks.

    A net draws an edge as a broad band. A pixel stays where none of its two neighbours across the line is more probable
    (non-maximum suppression, Canny 1986; the direction is that of the largest curvature of the blurred picture); a line of
    `faintest` or more stays where one of its pixels reaches `sure`.
    """
    smooth = cv2.GaussianBlur(probability, (0, 0), SMOOTHING)
    across, mixed, down = (cv2.Sobel(smooth, cv2.CV_32F, dx, 2 - dx, ksize=5) for dx in (2, 1, 0))
    angle = 0.5 * np.arctan2(2 * mixed, across - down)  # of one principal axis of curvature
    bend = across * np.cos(angle) ** 2 + 2 * mixed * np.sin(angle) * np.cos(angle) + down * np.sin(angle) ** 2
    angle = np.where(2 * bend <= across + down, angle, angle + np.float32(np.pi / 2))  # the axis that bends down more
    dx, dy = np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)
    y, x = np.indices(probability.shape, dtype=np.float32)
    beside = [
        cv2.remap(smooth, x + way * dx, y + way * dy, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        for way in (1, -1)
    ]
    kept = (smooth >= beside[0]) & (smooth >= beside[1]) & (probability >= faintest)
    _, labels = cv2.connectedComponents(kept.astype(np.uint8), connectivity=8)
    found = np.bincount(labels[kept & (probability >= sure)], minlength=labels.max() + 1) > 0
    found[0] = False
    return without_specks(np.where(found[labels], 0, 255).astype(np.uint8))


def without_specks(edges: EdgeMap, smallest: int = SMALLEST_COMPONENT) -> EdgeMap:
    """Paints over connected lines (8 neighbours) of fewer than `smallest` pixels, and grey haze that touches no line."""
    mask = (edges < 255).astype(np.uint8)
    _, labels = cv2.connectedComponents(mask, connectivity=8)
    dark = np.bincount(labels[edges < INK], minlength=labels.max() + 1)
    keep = dark >= smallest
    keep[0] = False
    return np.where(keep[labels], edges, 255).astype(np.uint8)
