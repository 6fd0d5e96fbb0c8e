"""Puts the page of results together: a section for each question, in one HTML file that loads nothing.

Which method is best, on which categories, at what cost, and what does it get wrong; what it answers, whether re-ranking
helps, where the encoders place photos, and how the trainings went.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path

import numpy as np
import vl_convert

from croquis.evaluation.latency import query_latencies
from croquis.files import read_json, write_bytes
from croquis.params import Params
from croquis.registry.gating.gate_inputs import serving_size
from croquis.registry.registration import REPORT
from croquis.report_page import chart_rows, chart_specs
from croquis.report_page.answer_lists import MODES, Questions
from croquis.report_page.error_browser import ErrorBrowser, galleries
from croquis.report_page.markup import PictureRows, as_json, chart, esc, said, section, side_by_side, table
from croquis.report_page.method_results import SPLIT, MethodResult, ResultsError, Way, main_way, read_results, ways
from croquis.report_page.mistakes import sampled
from croquis.report_page.photo_map import map_rows
from croquis.report_page.thumbnails import Thumbnails

PAGE = Path("reports/results.html")
MOST_BYTES = 10_000_000
VEGA_LITE = "6.4"  # the schema of the specifications is version 6
OFFER = "window.vegaEmbed = vegaEmbed;"
SIZE, NETS, TIME = "bytes per photo", "megabytes of nets", "milliseconds per query"
CONTENTS = {
    "methods": "Which method is best?",
    "categories": "On which categories?",
    "cost": "At what cost?",
    "errors": "What does it get wrong?",
    "answers": "What does it answer?",
    "reranking": "Does re-ranking help?",
    "map": "Where do the encoders place photos?",
    "training": "How did the trainings go?",
}
# Nothing may be loaded from anywhere: not even a mistake in the page reaches a host. Vega compiles expressions.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline' 'unsafe-eval'"


def vega_libraries(version: str) -> str:
    """Vega, Vega-Lite of a version and Vega-Embed as one script, which offers `vegaEmbed`; from the package `vl-convert`."""
    text: str = vl_convert.javascript_bundle(OFFER, vl_version=version)
    return text


def write_results_page(root: Path, params: Params) -> Path:
    """Writes reports/results.html of what the pipeline left; returns its path.

    Raises:
        ResultsError: when outputs are missing, are of different runs, or make a page of more than 10 MB.
    """
    page = results_page(root, params).encode()
    if len(page) > MOST_BYTES:
        raise ResultsError(
            f"the page would have {len(page) / 1e6:.1f} MB, more than {MOST_BYTES / 1e6:.0f}: name fewer methods in "
            "`retrievers`, or lower evaluate.gallery_queries"
        )
    write_bytes(root / PAGE, page)
    return root / PAGE


def results_page(root: Path, params: Params) -> str:
    """The text of the page."""
    results, questions, pictures = read_results(root, params), Questions(root, params), Thumbnails()
    way, methods = main_way(results), [result.name for result in results]  # in this order they take their colours
    results = _best_first(results, way)
    queries = questions.queries(way)
    browser = ErrorBrowser(results, way, questions, PictureRows(queries, questions.gallery, pictures))
    sections = {
        "methods": _methods(results, way, methods),
        "categories": _categories(results, way, methods),
        "cost": _cost(results, way, methods, _costs(results, way, root)),
        "errors": _errors(results, way, methods, browser),
        "answers": [galleries(results, _shown(results, questions, pictures, params), questions)],
        "reranking": _reranking(results, methods, browser),
        "map": _map(results, way, questions, pictures, params),
        "training": _training(root, results, methods),
    }
    body = "\n".join(section(name, CONTENTS[name], parts) for name, parts in sections.items())
    contents = "".join(f'<li><a href="#{name}">{esc(CONTENTS[name])}</a></li>' for name in sections)
    head = [f"<h1>Results of {len(results)} methods</h1>", *_summary(root, results, way, questions, params)]
    nav = f'<nav aria-label="Contents"><h2>Contents</h2><ol>{contents}</ol></nav>'
    return _document("\n".join((*head, nav, f"<main>{body}</main>")), pictures)


def _document(body: str, pictures: Thumbnails) -> str:
    """The page around its body; pictures take the room that the rest leaves."""
    own = files("croquis.report_page")
    style, script = (own.joinpath(name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    libraries = vega_libraries(VEGA_LITE)
    room = MOST_BYTES - sum(len(text.encode()) for text in (body, style, script, libraries)) - 200_000
    kept = as_json(pictures.sources(room))
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>Results of the methods</title><style>{style}</style></head>\n<body>{body}\n"
        f'<script type="application/json" id="pictures">{kept}</script>\n<script>{libraries}</script>\n'
        f"<script>{script}</script>\n</body></html>\n"
    )


def _summary(
    root: Path, results: Sequence[MethodResult], way: Way, questions: Questions, params: Params
) -> Iterator[str]:
    queries, gallery = questions.queries(way), questions.gallery
    yield said(
        f"{len(queries)} queries ({way.title}) of the split {SPLIT} search {len(gallery)} gallery photos of "
        f"{len(set(gallery.item_ids))} items; protocol {gallery.protocol.name}. Charts and rows without another word are "
        "of these queries, without re-ranking."
    )
    left_out = [name for name in params.retrievers if name not in {result.name for result in results}]
    if left_out:
        yield said(f"Not on this page, as their outputs are missing: {', '.join(left_out)}.")
    if (root / REPORT).is_file():
        report = read_json(root / REPORT)
        yield said(f"Registration chose {report['method']} by {report['selected_by']}: {report['outcome']}.")


def _methods(results: Sequence[MethodResult], way: Way, methods: Sequence[str]) -> list[str]:
    scores = chart_rows.score_rows(results)
    return [
        _leaderboard(results, way),
        chart(
            "scores",
            "Metric of each method, with its interval; grey: chance",
            chart_specs.score_chart(scores, methods),
        ),
        chart(
            "curves",
            "Share of queries with a right answer within the first k",
            chart_specs.curve_chart(chart_rows.curve_rows(results), methods),
        ),
    ]


def _best_first(results: Sequence[MethodResult], way: Way) -> list[MethodResult]:
    """By the main metric of the main queries; methods that do not answer these come last."""

    def place(result: MethodResult) -> tuple[float, str]:
        run = result.run(way)
        return (-run["metrics"][chart_rows.METRIC]["value"] if run else 0.0, result.name)

    return sorted(results, key=place)


def _leaderboard(results: Sequence[MethodResult], way: Way) -> str:
    """All metrics of the main queries."""
    runs = [(result.name, run) for result in results for run in filter(None, [result.run(way)])]
    names = sorted(runs[0][1]["metrics"], key=chart_rows.metric_order)
    rows: list[list[object]] = []
    for method, run in runs:
        found = run["metrics"]
        first = found[chart_rows.METRIC]
        values = [f"{found[name]['value']:.3f}" for name in names]
        rows.append([method, *values, f"{first['low']:.3f} to {first['high']:.3f}", f"{first['chance']:.3f}"])
    return table(["method", *names, f"{chart_rows.METRIC}, 95 %", "chance"], rows)


def _categories(results: Sequence[MethodResult], way: Way, methods: Sequence[str]) -> list[str]:
    rows = chart_rows.category_scores(results, way)
    title = "hit@1 by category and method; the tooltip has the interval and the number of queries"
    return [chart("by-category", title, chart_specs.category_chart(rows, methods))]


def _costs(results: Sequence[MethodResult], way: Way, root: Path) -> dict[str, dict[str, float]]:
    bundles = [result.retriever.bundle for result in results]
    times = query_latencies(bundles, SPLIT, way.pair, root)
    found = {}
    for result, milliseconds in zip(results, times, strict=True):
        size = serving_size(result.retriever.bundle)
        values = {SIZE: size.bytes_per_image, NETS: size.model_bytes / 1e6, TIME: milliseconds}
        found[result.name] = {name: round(float(value), 3) for name, value in values.items()}
    return found


def _cost(
    results: Sequence[MethodResult], way: Way, methods: Sequence[str], costs: Mapping[str, Mapping[str, float]]
) -> list[str]:
    rows = chart_rows.cost_rows(results, way, costs)
    cells = [
        [row["method"], f"{row['quality']:.3f}", f"{row[SIZE]:,.0f}", f"{row[NETS]:.1f}", f"{row[TIME]:.1f}"]
        for row in rows
    ]
    return [
        said(
            "Times were measured on this computer while the page was written: the median of single queries, photo to list."
        ),
        table(["method", chart_rows.METRIC, SIZE, NETS, TIME], cells),
        side_by_side(
            chart(f"pareto-{place}", f"Pareto front of hit@1 and {cost}", chart_specs.pareto_chart(rows, methods, cost))
            for place, cost in enumerate((SIZE, TIME))
        ),
    ]


def _errors(results: Sequence[MethodResult], way: Way, methods: Sequence[str], browser: ErrorBrowser) -> list[str]:
    rows = chart_rows.bucket_rows(results, way)
    return [
        chart("ranks", "Where the first right answer stands", chart_specs.bucket_chart(rows, methods)),
        "<h3>Error browser</h3>",
        said("Green frames are right answers, red dashed frames wrong ones. Each row begins with the query."),
        browser.html(),
    ]


def _shown(
    results: Sequence[MethodResult], questions: Questions, pictures: Thumbnails, params: Params
) -> dict[Way, tuple[PictureRows, list[str]]]:
    """The ways that a bundle serves, each with the queries that every method shows."""
    found = {}
    for way in ways(results):
        if way.path not in MODES:
            continue
        queries = questions.queries(way)
        asked = results[0].ranks(way).ids if results[0].run(way) else queries.image_ids.tolist()
        ids = sampled(asked, params.evaluate.gallery_queries)
        found[way] = (PictureRows(queries, questions.gallery, pictures), ids)
    return found


def _reranking(results: Sequence[MethodResult], methods: Sequence[str], browser: ErrorBrowser) -> list[str]:
    rows = chart_rows.rerank_rows(results)
    if not rows:
        return [said("No re-ranking was measured.")]
    return [
        chart("rerank", "Gain of each re-ranking", chart_specs.rerank_chart(rows, methods)),
        "<h3>Before and after</h3>",
        browser.reranked() or said("The re-ranking moved no first right answer."),
    ]


def _map(
    results: Sequence[MethodResult], way: Way, questions: Questions, pictures: Thumbnails, params: Params
) -> list[str]:
    queries = questions.queries(way)
    if MODES.get(way.path) != "photo":  # encoders take photos
        queries = queries.take(np.zeros(0, dtype=np.int64))
    rows, categories = map_rows(
        results, questions.gallery, queries, pictures, params.evaluate.projection, params.base.seed
    )
    title = f"Photos of the gallery and queries by {params.evaluate.projection}; point at one to see it"
    return [chart("map", title, chart_specs.map_chart(rows, categories))]


def _training(root: Path, results: Sequence[MethodResult], methods: Sequence[str]) -> list[str]:
    own, shared = chart_rows.training_rows(root, results), chart_rows.part_rows(root)
    parts: list[str] = []
    if own:
        parts.append(chart("training", "Curves of the methods", chart_specs.training_chart(own, methods)))
    if shared:
        parts.append(chart("parts", "Curves of the shared nets", chart_specs.part_chart(shared)))
    return parts or [said("No method of this page was trained.")]
