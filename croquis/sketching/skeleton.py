"""From an edge map to strokes: lines thinned to one pixel, then walked from end to end."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

Stroke = npt.NDArray[np.float32]  # (points, 2) as x, y

_KERNEL = np.array([[1, 2, 4], [128, 0, 8], [64, 32, 16]], dtype=np.float32)
"""Numbers a pixel's neighbours clockwise from the top left, one bit each."""

_STEPS = ((0, -1), (0, 1), (-1, 0), (1, 0), (-1, -1), (1, -1), (-1, 1), (1, 1))
"""Straight neighbours first, so that a walk does not cut corners."""


def _removal_tables() -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Which neighbourhoods (0..255) Zhang and Suen's two passes remove (CACM 27(3), 1984)."""
    codes = np.arange(256)
    bits = [(codes >> place) & 1 for place in range(8)]  # nw, n, ne, e, se, s, sw, w
    _, n, _, e, _, s, _, w = bits
    count = sum(bits)
    clockwise = [bits[(place + 1) % 8] for place in range(8)]
    changes = sum((a == 0) & (b == 1) for a, b in zip(bits, clockwise, strict=True))
    common = (count >= 2) & (count <= 6) & (changes == 1)
    first = common & (n * e * s == 0) & (e * s * w == 0)
    second = common & (n * e * w == 0) & (n * s * w == 0)
    return first, second


_PASSES = _removal_tables()


def thin(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The skeleton of a mask (H, W): lines one pixel wide, connected as before."""
    lines = mask.astype(np.uint8)
    while True:
        before = int(lines.sum())
        for table in _PASSES:
            codes = cv2.filter2D(lines.astype(np.float32), -1, _KERNEL, borderType=cv2.BORDER_CONSTANT).astype(np.intp)
            lines[table[codes] & (lines == 1)] = 0
        if int(lines.sum()) == before:
            return lines.astype(bool)


def trace(skeleton: npt.NDArray[np.bool_], shortest: int = 4) -> list[Stroke]:
    """Walks every line of a skeleton once; a walk prefers to go straight on and ends where nothing unvisited is left.

    Walks start at line ends first, in reading order, then anywhere on what remains (closed loops).

    Returns:
        strokes of at least `shortest` points, x and y in pixels.
    """
    left = {(int(x), int(y)) for y, x in zip(*np.nonzero(skeleton), strict=True)}
    in_order = sorted(left, key=lambda point: (point[1], point[0]))
    ends = [point for point in in_order if len(_neighbours(point, left)) == 1]
    strokes = []
    for start in (*ends, *in_order):
        if start in left:
            strokes.append(_walk(start, left))
    return [np.array(stroke, dtype=np.float32) for stroke in strokes if len(stroke) >= shortest]


def _neighbours(point: tuple[int, int], among: set[tuple[int, int]]) -> list[tuple[int, int]]:
    x, y = point
    return [(x + dx, y + dy) for dx, dy in _STEPS if (x + dx, y + dy) in among]


def _walk(start: tuple[int, int], left: set[tuple[int, int]]) -> list[tuple[int, int]]:
    """Follows unvisited pixels from `start` and takes them out of `left`."""
    path = [start]
    left.discard(start)
    while choices := _neighbours(path[-1], left):
        back = path[-4] if len(path) >= 4 else path[0]
        heading = (path[-1][0] - back[0], path[-1][1] - back[1])
        here = path[-1]
        # Python's max keeps the first of equals: straight steps win over diagonal ones.
        step = max(choices, key=lambda p: _along(heading, (p[0] - here[0], p[1] - here[1])))
        left.discard(step)
        path.append(step)
    return path


def _along(heading: tuple[int, int], step: tuple[int, int]) -> float:
    """Cosine-like agreement of a step with the heading; 0 at the start of a walk, where there is none."""
    return float((heading[0] * step[0] + heading[1] * step[1]) / np.hypot(*step))
