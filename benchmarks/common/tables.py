"""Pieces of the Markdown tables: every figure in them comes from a report, and none is typed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean

from benchmarks.common.seed_interval import Spread
from benchmarks.common.studies import Values
from croquis.tracking.record import flatten


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def metric_values(cells: Mapping[int, Values], split: str, metric: str) -> dict[int, float]:
    """seed -> value."""
    return {seed: cell["splits"][split]["metrics"][metric]["value"] for seed, cell in cells.items()}


def mean_of(values: Mapping[int, float]) -> float:
    return fmean(values.values())


def one_seed(cells: Sequence[Values], metric: str) -> str:
    """Mean half-width of the bootstrap over the test items of a single seed."""
    found = [cell["splits"]["test"]["metrics"][metric] for cell in cells]
    return f"± {fmean((each['high'] - each['low']) / 2 for each in found):.3f}"


def gain_in_words(gain: Spread | None) -> str:
    """A paired difference with its sign, and `*` where its interval excludes 0; nothing for None."""
    return "" if gain is None else f"{gain:+}{' *' if gain.excludes_zero else ''}"


def seconds_in_words(cells: Iterable[Values]) -> str:
    """Mean of the trainings that were not cut in two."""
    seconds = [cell["train_seconds"] for cell in cells if cell["train_seconds"] is not None]
    return f"{fmean(seconds):.0f}" if seconds else ""


def in_words(found: Values) -> str:
    """A figure with its interval: `0.585 (0.481 to 0.679)`."""
    return f"{found['value']:.3f} ({found['low']:.3f} to {found['high']:.3f})"


def sure_in_words(gain: Values) -> str:
    """A gain with its interval, in bold where that leaves out 0."""
    words = f"{gain['value']:+.3f} ({gain['low']:+.3f} to {gain['high']:+.3f})"
    return f"**{words}**" if gain["low"] > 0 or gain["high"] < 0 else words


def code_in_words(commits: Iterable[str]) -> str:
    known = sorted({commit for commit in commits if commit})
    return f"code {', '.join(known)}" if known else "code outside git"


def caption(report: Mapping[str, Values]) -> str:
    """How the figures were made, in a line."""
    cells = list(report["cells"].values())
    pairs = ", ".join(sorted({cell["pair"] for cell in cells}))
    tests = [cell["splits"]["test"] for cell in cells]
    counts = {
        "queries": span(each["queries"] for each in tests),
        "gallery images": span(each["gallery"]["images"] for each in tests),
    }
    seeds = sorted({cell["seed"] for cell in cells})
    parts = [
        pairs,
        *(f"{count} {name}" for name, count in counts.items()),
        f"seeds {', '.join(map(str, seeds))}",
        *settings_in_words(report["settings"]),
        code_in_words(cell["commit"] for cell in cells),
    ]
    return "; ".join(parts) + "."


def settings_in_words(settings: Values) -> list[str]:
    """What differs from the shipped params."""
    words = [f"epochs x {settings['epochs_scale']:g}"] if settings["epochs_scale"] != 1 else []
    words += [f"share {settings['share']:g}"] if settings.get("share", 1.0) != 1 else []
    return words + [f"`{name}: {value}`" for name, value in flatten(settings["changes"]).items()]


def span(counts: Iterable[int]) -> str:
    """`158`, or `150-166` where seeds differ."""
    listed = sorted(set(counts))
    return f"{listed[0]:,}" if len(listed) == 1 else f"{listed[0]:,}-{listed[-1]:,}"
