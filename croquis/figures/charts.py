"""Line and bar charts with matplotlib, without its global state, as PNG bytes that depend on the content only."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


def figure_bytes(figure: Figure) -> bytes:
    """The PNG of a figure; the name and version of the software stay out of it."""
    stream = io.BytesIO()
    FigureCanvasAgg(figure).print_png(stream, metadata={"Software": None})
    return stream.getvalue()


def line_chart(curves: Mapping[str, Sequence[tuple[float, float]]], title: str, x_label: str, y_label: str) -> bytes:
    """One line per name through its (x, y) points; a name that begins with `chance` is drawn dotted and grey."""
    figure = Figure(figsize=(6.4, 4.2), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    for name, points in curves.items():
        xs, ys = zip(*points, strict=True) if points else ((), ())
        style = {"linestyle": ":", "color": "0.5"} if name.startswith("chance") else {"linewidth": 1.8}
        axes.plot(xs, ys, label=name, **style)
    axes.set(title=title, xlabel=x_label, ylabel=y_label)
    axes.grid(alpha=0.25)
    if curves:
        axes.legend(frameon=False, fontsize="small")
    return figure_bytes(figure)


def bar_chart(
    bars: Mapping[str, tuple[float, float, float]], title: str, x_label: str, reference: float | None = None
) -> bytes:
    """Horizontal bars, value with interval (value, low, high) per name; `reference` is a dashed line, e.g. the mean."""
    names = list(bars)[::-1]
    figure = Figure(figsize=(6.4, 1.2 + 0.28 * max(len(names), 1)), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    values = [bars[name][0] for name in names]
    below = [max(0.0, bars[name][0] - bars[name][1]) for name in names]
    above = [max(0.0, bars[name][2] - bars[name][0]) for name in names]
    axes.barh(names, values, xerr=(below, above), color="#7aa6c2", ecolor="0.35", capsize=2)
    if reference is not None:
        axes.axvline(reference, linestyle="--", color="0.4", linewidth=1)
    axes.set(title=title, xlabel=x_label)
    axes.set_xlim(left=0)
    return figure_bytes(figure)
