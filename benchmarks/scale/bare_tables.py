"""Tables of what parts of the pipeline cost beside the same work done without it; for docs/benchmarks/capacity.md."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median

from benchmarks.common.studies import Study, Values
from benchmarks.common.tables import table

RATIO_HEAD = ["", "median", "least", "greatest"]


def evaluation_table(report: Mapping[str, Values], _: Study) -> str:
    """Ratios of the report of `benchmarks.scale.exact_evaluation`, and the memory of each way."""
    ratios = {name: found for name, found in report.items() if " / " in name}
    rows = [
        [f"{name}, {time}", *(f"{found[time][key]:.2f}" for key in ("median", "min", "max"))]
        for name, found in ratios.items()
        for time in ("wall", "cpu")
    ]
    sizes = report["sizes"]
    shown = [
        f"{', '.join(f'{name} {value:,.0f} MB' for name, value in peaks.items())} ({int(queries):,} queries)"
        for queries, peaks in report["peak extra MB"].items()
    ]
    asked = (
        f"{sizes['queries']:,} queries, {sizes['gallery']:,} photos, {sizes['dim']} numbers, depth {sizes['depth']:,}; "
        f"beside the libraries {sizes['other_queries']:,} queries. "
        f"Memory beyond the vectors at the peak: {'; '.join(shown)}."
    )
    return f"{table(RATIO_HEAD, rows)}\n\n{asked}"


def rate_table(report: Mapping[str, Values], _: Study) -> str:
    """Bare work over ours, of the report of `benchmarks.scale.photo_rates`."""
    return table(
        ["bare / ours", *RATIO_HEAD[1:]], [[n, *_spread(f["all"])] for n, f in report["bare_over_ours"].items()]
    )


def search_table(report: Mapping[str, Values], _: Study) -> str:
    """Ours over bare work, of the report of `benchmarks.serving.search_cost`."""
    rows = [
        [name, *(f"{report[key][of]:.2f}" for of in ("median", "min", "max"))]
        for name, key in (("CPU", "cpu_ratio"), ("wall", "wall_ratio"))
    ]
    costs = f"CPU time of a search: {report['search_cpu_ms']} ms, bare {report['bare_cpu_ms']} ms."
    return f"{table(['ours / bare', *RATIO_HEAD[1:]], rows)}\n\n{costs}"


def _spread(values: list[float]) -> list[str]:
    return [f"{of(values):.2f}" for of in (median, min, max)]
