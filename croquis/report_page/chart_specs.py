"""The charts of the page as Vega-Lite specifications, and the colours that methods have in all charts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from croquis.report_page.chart_rows import BUCKETS, LAST_BUCKET, METRIC, Row

Spec = dict[str, Any]
# Ten hues, found by a search for the largest of the smallest differences between any two of them, as people with normal
# sight, protanopia, deuteranopia and tritanopia see them (Machado, Oliveira and Fernandes 2009; distances in OKLab), of
# colours that stand out from white and from black. The order keeps the first few as far apart as can be.
PALETTE = (
    "#00ccf0", "#cc0c00", "#840cfc", "#c0c000", "#6c90fc", "#9c30a8", "#fc90a8", "#a89054", "#0c7860", "#e448a8",
)  # fmt: skip
OTHERS, OTHER_COLOUR = "other categories", "#909090"
LEGEND = "method (click: only this one)"
BAR = 24  # pixels for a bar
DOT: Spec = {"type": "point", "filled": True, "size": 90, "opacity": 1}
WIDE = 8  # largest over smallest cost; beyond, the axis is logarithmic


_OPACITY: Spec = {"condition": {"param": "chosen", "value": 1}, "value": 0.1}


def score_chart(rows: Sequence[Row], methods: Sequence[str]) -> Spec:
    """A metric of each method with its interval, and the level of chance; queries and metric are chosen in the page."""
    y = {"field": "method", "type": "nominal", "sort": list(methods), "title": None}
    value = {"field": "value", "type": "quantitative", "title": "value, 95 % interval", "scale": {"zero": True}}
    tips = [_tip("method"), _tip("value", 3), _tip("low", 3), _tip("high", 3), _tip("chance", 3), _tip("count")]
    colour = _colour(methods, legend=False)
    return _chart(
        rows,
        BAR * len(methods),
        params=[_choice("queries", rows), _choice("metric", rows)],
        layer=[
            {
                "mark": {"type": "rule", "strokeWidth": 2},
                "encoding": {"y": y, "x": value | {"field": "low"}, "x2": {"field": "high"}, "color": colour},
            },
            {"mark": DOT, "encoding": {"y": y, "x": value, "color": colour, "tooltip": tips}},
            {"mark": "tick", "encoding": {"y": y, "x": value | {"field": "chance"}}},
        ],
    )


def curve_chart(rows: Sequence[Row], methods: Sequence[str]) -> Spec:
    """hit@k over k, a line for each method."""
    return _lines(rows, methods, "k", "hit@k", [_choice("queries", rows)])


def training_chart(rows: Sequence[Row], methods: Sequence[str]) -> Spec:
    """A metric over the epochs, a line for each method that is trained."""
    return _lines(rows, methods, "epoch", "value", [_choice("metric", rows, "val/score")])


def part_chart(rows: Sequence[Row]) -> Spec:
    """A metric of the shared nets over the epochs."""
    encoding = {"x": _axis("epoch"), "y": _axis("value"), "tooltip": [_tip("epoch"), _tip("value", 4)]}
    mark = {"type": "line", "strokeWidth": 2, "color": PALETTE[5], "point": {"size": 40, "color": PALETTE[5]}}
    return _chart(rows, 260, params=[_choice("metric", rows)], mark=mark, encoding=encoding)


def bucket_chart(rows: Sequence[Row], methods: Sequence[str]) -> Spec:
    """Shares of the queries by the rank of the first right answer, a bar for each method."""
    names = [*(name for _, name in BUCKETS), LAST_BUCKET]
    return _chart(
        rows,
        BAR * len(methods),
        mark="bar",
        encoding={
            "y": {"field": "method", "type": "nominal", "sort": list(methods), "title": None},
            "x": {
                "field": "share",
                "type": "quantitative",
                "title": "share of the queries",
                "axis": {"format": "%"},
                "scale": {"domain": [0, 1]},
            },
            "color": {
                "field": "rank",
                "type": "ordinal",
                "scale": {"domain": names, "scheme": "viridis", "reverse": True},
                "title": "rank of the first right answer",
            },
            "order": {"field": "order"},
            "tooltip": [_tip("method"), _tip("rank"), _tip("count"), _tip("share", 3)],
        },
    )


def category_chart(rows: Sequence[Row], methods: Sequence[str]) -> Spec:
    """hit@1 as a table of colours: a row for each category, a column for each method."""
    place = {
        "y": {"field": "category", "type": "nominal", "title": None},
        "x": {"field": "method", "type": "nominal", "sort": list(methods), "title": None, "axis": {"labelAngle": -45}},
    }
    tips = [_tip("method"), _tip("category"), _tip("value", 3), _tip("low", 3), _tip("high", 3), _tip("count")]
    scale = {"scheme": "viridis", "domain": [0, 1]}
    return _chart(
        rows,
        BAR * len({row["category"] for row in rows}),
        layer=[
            {"mark": "rect", "encoding": place | {"tooltip": tips, "color": {
                "field": "value", "type": "quantitative", "scale": scale, "title": METRIC}}},
            {"mark": {"type": "text", "fontSize": 10}, "encoding": place | {
                "text": {"field": "value", "type": "quantitative", "format": ".2f"}, "tooltip": tips,
                "color": {"condition": {"test": "datum.value > 0.6", "value": "#000"}, "value": "#fff"}}},
        ],
    )  # fmt: skip


def pareto_chart(rows: Sequence[Row], methods: Sequence[str], cost: str) -> Spec:
    """hit@1 over a cost; the line joins the methods that no other beats in both."""
    values = [row[cost] for row in rows]
    wide = min(values, default=0) > 0 and max(values) > WIDE * min(values)
    scale = {"type": "log", "nice": False, "padding": 24} if wide else {"zero": True, "padding": 24}
    place = {
        "x": {"field": cost, "type": "quantitative", "scale": scale},
        "y": {"field": "quality", "type": "quantitative", "title": METRIC, "scale": {"zero": True}},
    }
    tips = [_tip("method"), _tip("quality", 3), _tip(cost, 3)]
    on_front = [{"filter": f"datum['front of {cost}']"}]
    # Labels stand inside the chart: to the left of the points of its right half.
    beyond = f"scale('x', datum['{cost}']) > width / 2"
    label = {"align": {"expr": f"{beyond} ? 'right' : 'left'"}, "dx": {"expr": f"{beyond} ? -9 : 9"}, "dy": -8}
    return _chart(
        rows,
        320,
        layer=[
            {
                "transform": on_front,
                "mark": {"type": "line", "interpolate": "step-after", "strokeDash": [4, 3]},
                "encoding": place | {"order": {"field": cost}},
            },
            {
                "params": [_legend("method")],
                "mark": {"type": "point", "filled": True, "size": 140},
                "encoding": place | {"color": _colour(methods), "opacity": _OPACITY, "tooltip": tips},
            },
            {
                "transform": on_front,
                "mark": {"type": "text", **label},
                "encoding": place | {"text": {"field": "method"}},
            },
        ],
    )


def rerank_chart(rows: Sequence[Row], methods: Sequence[str]) -> Spec:
    """The gain of a re-ranking with its paired interval, by method."""
    y = {"field": "method", "type": "nominal", "sort": list(methods), "title": None}
    tips = [_tip("method"), _tip("before", 3), _tip("after", 3)]
    tips += [_tip(name, 3) for name in ("gain", "gain low", "gain high")]
    gain = {"type": "quantitative", "title": "gain over no re-ranking, paired 95 % interval"}
    colour = _colour(methods, legend=False)
    return _chart(
        rows,
        BAR * len(methods),
        params=[_choice("re-ranking", rows), _choice("queries", rows), _choice("metric", rows)],
        layer=[
            {"mark": {"type": "rule", "strokeDash": [3, 3]}, "encoding": {"x": {"datum": 0}}},
            {"mark": {"type": "rule", "strokeWidth": 2}, "encoding": {
                "y": y, "x": gain | {"field": "gain low"}, "x2": {"field": "gain high"}, "color": colour}},
            {"mark": DOT, "encoding": {
                "y": y, "x": gain | {"field": "gain"}, "color": colour, "tooltip": tips}},
        ],
    )  # fmt: skip


def map_chart(rows: Sequence[Row], categories: Sequence[str]) -> Spec:
    """Where a method's encoder places photos; the tooltip shows the photo of the row's `picture`.

    Args:
        categories: those with a colour of their own, at most ten; rows of all others name `OTHERS`.
    """
    hidden = {"axis": None, "scale": {"zero": False, "padding": 12}}
    shown = [*categories, *([OTHERS] if any(row["group"] == OTHERS for row in rows) else [])]
    colours = [*PALETTE[: len(categories)], OTHER_COLOUR]
    return _chart(
        rows,
        460,
        params=[_choice("method", rows), _legend("group")],
        mark={"type": "point", "filled": True, "size": 55},
        encoding={
            "x": {"field": "x", "type": "quantitative"} | hidden,
            "y": {"field": "y", "type": "quantitative"} | hidden,
            "color": {"field": "group", "type": "nominal", "title": "category (click: only this one)",
                      "scale": {"domain": shown, "range": colours[: len(shown)]}},
            "shape": {"field": "domain", "type": "nominal", "title": "photo of"},
            "opacity": _OPACITY,
            "tooltip": [_tip(name) for name in ("picture", "category", "item", "domain")],
        },
    )  # fmt: skip


def _lines(rows: Sequence[Row], methods: Sequence[str], x: str, y: str, choices: list[Spec]) -> Spec:
    return _chart(
        rows,
        340,
        params=[*choices, _legend("method")],
        mark={"type": "line", "strokeWidth": 2, "point": {"filled": True, "size": 26}},
        encoding={
            "x": _axis(x),
            "y": _axis(y),
            "color": _colour(methods, listed=[name for name in methods if any(row["method"] == name for row in rows)]),
            "opacity": _OPACITY,
            "tooltip": [_tip("method"), _tip(x), _tip(y, 4)],
        },
    )


def _chart(rows: Sequence[Row], height: int, params: Sequence[Spec] = (), **parts: Any) -> Spec:
    """As wide as its place in the page; rows that a choice of the page excludes are left out."""
    chosen = [param for param in params if "bind" in param and "select" not in param]
    filters = [{"filter": f"datum['{param['bind']['name'].rstrip(': ')}'] === {param['name']}"} for param in chosen]
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "data": {"values": list(rows)},
        "width": "container",
        "height": height,
        "autosize": {"type": "fit-x", "contains": "padding"},
        "params": list(params),
        "transform": filters,
        **parts,
    }


def _choice(field: str, rows: Sequence[Row], first: str | None = None) -> Spec:
    """A list of the values of `field`, of which the page shows one at a time."""
    options = list(dict.fromkeys(row[field] for row in rows))
    value = first if first in options else options[0] if options else ""
    bind = {"input": "select", "options": options, "name": f"{field}: "}
    return {"name": f"choose_{field.replace('-', '_')}", "value": value, "bind": bind}


def _legend(field: str) -> Spec:
    return {"name": "chosen", "select": {"type": "point", "fields": [field]}, "bind": "legend"}


def _colour(methods: Sequence[str], legend: bool = True, listed: Sequence[str] | None = None) -> Spec:
    """The same colour for a method in every chart; `listed`: the methods that the legend names, all by default."""
    scale = {"domain": list(methods), "range": list(PALETTE)}
    shown: Spec = {"title": LEGEND, "legend": {"values": list(listed or methods)}} if legend else {"legend": None}
    return {"field": "method", "type": "nominal", "scale": scale, **shown}


def _axis(field: str) -> Spec:
    return {"field": field, "type": "quantitative", "scale": {"nice": False, "zero": field == "hit@k"}}


def _tip(field: str, digits: int | None = None) -> Spec:
    if digits is None:
        return {"field": field, "type": "nominal"}
    return {"field": field, "type": "quantitative", "format": f".{digits}f"}
