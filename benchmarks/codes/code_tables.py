"""The tables of the hashing studies: learned codes and the baselines on the same features, both comparisons, and
what the features hold before they are coded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from benchmarks.common.recorded_results import by_name
from benchmarks.common.seed_interval import paired, spread
from benchmarks.common.studies import Study, Values
from benchmarks.common.tables import caption, gain_in_words, mean_of, table

LEARNED = ("sgh", "dhd", "gpq", "spq")
UNTRAINED = "untrained"  # the net before any training, which has no code layer
# What learned codes are set against: the net (none: the method's own), the block of figures, and the words for it.
COMPARED = (
    ("", "baselines", "above the best"),
    ("", "baselines_labelled", "above the best of labelled images"),
    (UNTRAINED, "baselines", "above the best before training"),
)
REFERENCE = "itq"  # the baseline that codes are set against by name, too
ALL = "all"  # of the components; the features as they are, but for their mean

Cells = Mapping[int, Values]  # by seed
Figures = dict[int, float]


def codes_table(report: Mapping[str, Values], _: Study) -> str:
    """Nets that were trained: one table per average precision, mean and 95 % interval over seeds, by bits."""
    return tables_of(report, codes_of)


def shared_features_table(report: Mapping[str, Values], _: Study) -> str:
    """As `codes_table`, where all codes have the same features below them, or start from them: a row without codes has the
    baselines on them."""
    return tables_of(report, codes_on_shared_features)


def tables_of(report: Mapping[str, Values], make: Callable[[Mapping[str, Mapping[int, Cells]], str], str]) -> str:
    grid = by_method(report["cells"])
    some = next(iter(report["cells"].values()))
    names = list(next(iter(some["codes"].values())))
    chance = some["splits"]["test"]["metrics"][names[0]]["chance"]
    blocks = [caption(report), f"`*`: the interval of the difference excludes 0. Chance: {names[0]} {chance:.3f}."]
    for name in names:
        blocks += [f"**{name}**, test", make(grid, name)]
    return "\n\n".join(blocks)


def comparisons_table(report: Mapping[str, Values], _: Study) -> str:
    """The learned codes by symmetric and asymmetric comparison."""
    grid = by_method(report["cells"])
    metric = next(iter(next(iter(next(iter(report["cells"].values()))["codes"].values()))))
    bits = sorted({each for cells in grid.values() for each in cells})
    rows = []
    for method in sorted(set(grid) & set(LEARNED)):
        for comparison in ("symmetric", "asymmetric"):
            cells = [text(figures(grid[method].get(each, {}), ("codes", comparison, metric))) for each in bits]
            rows.append([method, comparison, *cells])
    return "\n\n".join([caption(report), table(["codes", "comparison", *(f"{each} bits" for each in bits)], rows)])


def components_table(report: Mapping[str, Values], _: Study) -> str:
    """The features below the codes, as floats: all of their principal components, and the first of them."""
    grid = by_method(report["cells"])
    some = next(iter(report["cells"].values()))
    metric = next(iter(next(iter(some["components"].values()))))
    bits = sorted({each for cells in grid.values() for each in cells})
    rows = []
    for method in sorted(grid, key=lambda name: (name not in LEARNED, name)):
        for count in sorted(some["components"]):
            rows.append([f"{method} net", count, *row(grid[method], bits, ("components", count, metric))])
    return "\n\n".join([caption(report), table(["features", "components", *(f"{each} bits" for each in bits)], rows)])


def codes_of(grid: Mapping[str, Mapping[int, Cells]], metric: str) -> str:
    bits = sorted({each for cells in grid.values() for each in cells})
    rows: list[list[str]] = []
    for method in sorted(grid, key=lambda name: (name not in LEARNED, name)):
        own = grid[method]
        names = baseline_names(own)
        if method in LEARNED:
            rows.append([f"**{method}**", "its own", *row(own, bits, served(metric))])
        else:
            rows.append([f"{method}, floats", f"{method} net", *row(own, bits, ("components", ALL, metric))])
        rows += [[name, f"{method} net", *row(own, bits, ("baselines", name, metric))] for name in names]
        for net, block, words in COMPARED if method in LEARNED else ():
            gains = gains_over(own, grid.get(net or method, {}), bits, block, metric)
            if any(gains):
                rows.append([f"{method} {words}", f"{net or method} net", *gains])
    return table(["codes", "features", *(f"{each} bits" for each in bits)], rows)


def codes_on_shared_features(grid: Mapping[str, Mapping[int, Cells]], metric: str) -> str:
    bits = sorted({each for cells in grid.values() for each in cells})
    learned = [name for name in sorted(grid) if name in LEARNED]
    features: Mapping[int, Cells] = next((grid[name] for name in sorted(grid) if name not in LEARNED), {})
    rows = [[f"**{method}**", *row(grid[method], bits, served(metric))] for method in learned]
    blocks = {"baselines": "", "baselines_labelled": " of labelled images"}
    for block, words in blocks.items():
        cells = [[f"{name}{words}", *row(features, bits, (block, name, metric))] for name in baseline_names(features)]
        rows += [line for line in cells if any(line[1:])]
    rows.append(["floats", *row(features, bits, ("components", ALL, metric))])
    for method in learned:
        for block, words in blocks.items():
            for name in ("the best", REFERENCE):
                gains = gains_over(grid[method], features, bits, block, metric, [name] if name == REFERENCE else None)
                if any(gains):
                    rows.append([f"{method} above {name}{words}", *(gain.removesuffix(f" ({name})") for gain in gains)])
    return table(["codes", *(f"{each} bits" for each in bits)], rows)


def baseline_names(cells_by_bits: Mapping[int, Cells]) -> list[str]:
    return sorted({name for cells in cells_by_bits.values() for cell in cells.values() for name in cell["baselines"]})


def gains_over(
    own: Mapping[int, Cells],
    others: Mapping[int, Cells],
    bits: Sequence[int],
    block: str,
    metric: str,
    names: Sequence[str] | None = None,
) -> list[str]:
    """Learned codes minus the best baseline of `others`, of `names` where given, by bits; empty texts where that was not
    measured."""
    named = names or baseline_names(others)
    return [verdict(own.get(each, {}), others.get(each, {}), (block, named), metric) for each in bits]


def verdict(cells: Cells, others: Cells, baselines: tuple[str, Sequence[str]], metric: str) -> str:
    """What the learned codes of `cells` are worth beyond the best baseline on the features of `others`, paired by seed.

    Args:
        baselines: the block of figures, and their names.
    """
    block, names = baselines
    found = {name: figures(others, (block, name, metric)) for name in names}
    found = {name: values for name, values in found.items() if values}
    if not found:
        return ""
    best = max(found, key=lambda name: mean_of(found[name]))
    gain = paired(found[best], figures(cells, served(metric)))
    return "" if gain is None else f"{gain_in_words(gain)} ({best})"


def served(metric: str) -> tuple[str, str, str]:
    """Where a cell keeps the figure of the comparison that its bundle uses."""
    return ("codes", "", metric)


def row(cells: Mapping[int, Cells], bits: Sequence[int], place: tuple[str, str, str]) -> list[str]:
    return [text(figures(cells.get(each, {}), place)) for each in bits]


def figures(cells: Cells, place: tuple[str, str, str]) -> Figures:
    """seed -> the figure at that place of its cell; an empty second name is the bundle's own comparison."""
    block, name, metric = place
    found = {seed: cell.get(block, {}).get(name or cell["comparison"], {}) for seed, cell in cells.items()}
    return {seed: values[metric] for seed, values in found.items() if metric in values}


def text(values: Figures) -> str:
    return str(spread(list(values.values()))) if values else ""


def by_method(cells: dict[str, Values]) -> dict[str, dict[int, Cells]]:
    """method -> bits -> seed -> cell."""
    grid: dict[str, dict[int, Cells]] = {}
    for name, found in by_name(cells).items():
        method, _, bits = name.partition("@")
        grid.setdefault(method, {})[int(bits)] = found
    return grid
