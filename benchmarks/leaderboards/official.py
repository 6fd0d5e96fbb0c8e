"""Ours against the recipes of the official codes at equal budget: a row is `METHOD VARIANT`, the first of a method its base.

Every row has the same net, images, batches and number of steps; what differs is start, views, optimiser, schedule and the
settings that the sources name, all of them params of our own modules. Of CIFAR-10's pick 2,000 images are trained on and
searched (`cifar10_c`), 400 ask.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from benchmarks.codes.cifar_pick import write_catalogue
from benchmarks.common.recorded_results import by_name
from benchmarks.common.seed_interval import paired, spread
from benchmarks.common.studies import Options, Study, Values
from benchmarks.common.tables import caption, gain_in_words, metric_values, seconds_in_words, table
from croquis.params import load_params

SHARE = 0.2  # of the pick: 2,000 images trained on and searched, 400 queries, 200 more on val


def make_small_pick(folder: Path, options: Options) -> None:
    """The catalogue of a study, whose params.yaml is there and names the protocol."""
    protocol = load_params(folder / "params.yaml").base.protocol
    write_catalogue(options.shared, folder, protocol, SHARE * options.share)


def variants(report: Mapping[str, Values], study: Study) -> str:
    """Val and test figures by row, and the gain over the method's first row, paired by seed; 95 % intervals over seeds."""
    of_row = by_name(report["cells"])
    bases: dict[str, str] = {}
    for row in study.all_rows:
        bases.setdefault(study.method_of(row), row)
    measured = next(iter(report["cells"].values()))["splits"]["test"]["metrics"]
    precision = next(name for name in measured if name.startswith("map@"))
    rows = []
    for row in (row for row in study.all_rows if row in of_row):
        cells, base = of_row[row], bases[study.method_of(row)]
        line = [row]
        for split in ("val", "test"):
            own = metric_values(cells, split, precision)
            line.append(str(spread(list(own.values()))))
            above = (
                paired(metric_values(of_row[base], split, precision), own) if base in of_row and base != row else None
            )
            line.append(gain_in_words(above))
        rows.append([*line, seconds_in_words(cells.values()), str(len(cells))])
    head = [
        "variant",
        f"val {precision}",
        "above the first",
        f"test {precision}",
        "above the first",
        "train s",
        "seeds",
    ]
    return "\n\n".join([caption(report), table(head, rows), "`*`: the interval of the difference excludes 0."])
