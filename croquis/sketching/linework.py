"""From a photo to the lines that a drawing of it begins with: the outline, and what is to be seen inside.

Five beginnings, since a person may trace closely, sketch roughly, or draw the outline only:

- `canny`: the edges of Canny, thin and exact.
- `hed`: edges as a net finds them, where the caller has one.
- `xdog`: soft edges (extended difference of Gaussians); they follow tone rather than gradient.
- `coarse`: the silhouette's contour as outline, and inside it the edges of the blurred photo.
- `silhouette`: the contour alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import cv2
import numpy as np
import numpy.typing as npt

from croquis.catalog.drawings import INK
from croquis.catalog.edge_maps import EdgeMap, edge_map
from croquis.sketching.skeleton import Stroke, thin, trace

Beginning = Literal["canny", "xdog", "coarse", "silhouette", "hed"]
BEGINNINGS: tuple[Beginning, ...] = get_args(Beginning)
Detect = Callable[[], EdgeMap]
REFERENCE = 128
"""Strokes are in pixels of a sheet of this side, whatever the photo's; so are the lengths below."""

SHORTEST = 4.0  # shorter strokes inside are texture, not form
NEAR = 3.5  # a line this near to the silhouette's contour belongs to the outline
GAP = 2  # breaks of an outline that are closed to find what it encloses
SMALLEST_PART = 0.02  # of the sheet: smaller enclosed regions are no garment
SMALLEST_SHARE = 0.3  # of the lines' bounding box: where less is enclosed, the outline has an opening


@dataclass(frozen=True)
class Linework:
    """Strokes (points, 2) as x, y on a sheet of side `REFERENCE`."""

    outline: Sequence[Stroke]
    inner: Sequence[Stroke]


def linework(photo: npt.NDArray[np.uint8], beginning: Beginning = "canny", detect: Detect | None = None) -> Linework:
    """The lines of a square photo uint8 (S, S, 3). Where no silhouette is to be found, all that the edges show is outline.

    Args:
        detect: gives the edges of the kind `hed` of this photo.

    Raises:
        ValueError: when the photo is not square, or of another type, or `hed` has nothing to detect edges.
    """
    if photo.dtype != np.uint8 or photo.ndim != 3 or photo.shape[0] != photo.shape[1]:
        raise ValueError(f"a photo must be uint8 (S, S, 3), not {photo.dtype} {photo.shape}")
    scale = REFERENCE / photo.shape[0]
    if beginning == "hed":
        if detect is None:
            raise ValueError("lines that begin with 'hed' need the net that finds them")
        edges = detect()
        return Linework(*_parted(_traced(edges), silhouette(edges), scale))
    mask = silhouette(edge_map(photo))
    if beginning == "canny" or beginning == "xdog" or not mask.any():
        method = "xdog" if beginning == "xdog" else "canny"
        return Linework(*_parted(_traced(edge_map(photo, method)), mask, scale))
    contour = [stroke * scale for stroke in _contours(mask)]
    if beginning == "silhouette":
        return Linework(contour, [])
    blurred = np.asarray(cv2.GaussianBlur(photo, (0, 0), 1.5 / scale), dtype=np.uint8)
    return Linework(contour, _parted(_traced(edge_map(blurred)), mask, scale)[1])


def silhouette(edges: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """What the lines of an edge map (S, S), dark on white, enclose, small breaks closed; nothing where they stay open."""
    size = len(edges)
    reach = max(1, round(GAP * size / REFERENCE))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    border = 2 * reach + 1
    ink = edges < INK
    walls = cv2.dilate(np.pad(ink.astype(np.uint8), border), kernel)
    cv2.floodFill(walls, None, (0, 0), 2)
    enclosed = cv2.erode((walls != 2).astype(np.uint8), kernel)[border:-border, border:-border]
    count, labels, stats, _ = cv2.connectedComponentsWithStats(enclosed, connectivity=4)
    large = [part for part in range(1, count) if stats[part, cv2.CC_STAT_AREA] >= SMALLEST_PART * size * size]
    mask = np.asarray(np.isin(labels, large), dtype=np.bool_)
    rows, columns = np.nonzero(ink)
    spanned = np.ptp(rows) * np.ptp(columns) if len(rows) else 0
    return mask if mask.sum() >= SMALLEST_SHARE * spanned else np.zeros_like(mask)


def _contours(mask: npt.NDArray[np.bool_]) -> list[Stroke]:
    """The outer contours of a mask, in its pixels, each in two open strokes: one without ends cannot be simplified."""
    padded = np.pad(mask.astype(np.uint8), 1)
    found, _ = cv2.findContours(padded, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    strokes = []
    for line in found:
        closed = (np.concatenate([line, line[:1]])[:, 0] - 1).astype(np.float32)
        strokes += [closed[: len(closed) // 2 + 1], closed[len(closed) // 2 :]]
    return strokes


def _traced(edges: npt.NDArray[np.uint8]) -> list[Stroke]:
    return trace(thin(edges < INK))


def _parted(strokes: Sequence[Stroke], mask: npt.NDArray[np.bool_], scale: float) -> tuple[list[Stroke], list[Stroke]]:
    """Strokes in the photo's pixels -> those of the outline and those inside, on the reference sheet.

    Where no silhouette was found, all belong to the outline: nothing says which of them matter less.
    """
    if not mask.any():
        return [stroke * scale for stroke in strokes], []
    contour = cv2.morphologyEx(np.pad(mask.astype(np.uint8), 1), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    distance = cv2.distanceTransform((contour[1:-1, 1:-1] == 0).astype(np.uint8), cv2.DIST_L2, 5) * scale
    outline, inner = [], []
    for stroke in strokes:
        x, y = stroke.astype(np.intp).T
        if np.median(distance[y, x]) <= NEAR:
            outline.append(stroke * scale)
        elif length(stroke) * scale >= SHORTEST:
            inner.append(stroke * scale)
    return outline, inner


def length(stroke: Stroke) -> float:
    """Of a stroke (n, 2), in its own unit."""
    return float(np.linalg.norm(np.diff(stroke, axis=0), axis=1).sum())
