"""Searches of codes against those of FAISS on the same codes, in one process: `python -m benchmarks.codes.faiss_ratios`.

Ours settles ties at the last rank, FAISS cuts them. Two bars compute another score than ours: the Hamming distance of
as many bytes beside asymmetric bits, and tables rounded to 8 bits beside product codes. Both sides have one thread and
take turns; a ratio is ours over FAISS's, in CPU time. Each figure is kept as soon as it is there in
reports/benchmarks/code-ratios.json. `python -m benchmarks --render` writes the table of docs/benchmarks/capacity.md.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isqrt
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.common.recorded_results import Results
from benchmarks.common.studies import PROJECT, Study, Values, listed
from benchmarks.common.tables import table
from benchmarks.scale.scale import machine
from benchmarks.scale.scale_indexes import DIM, PROBES, clustered, first_pieces
from croquis.arrays import Vectors
from croquis.index.build import build_index
from croquis.index.code_index import CodeIndex
from croquis.index.kinds import Flat, IndexSettings, Ivf
from croquis.index.vector_index import FAISS, faiss_threads

K = 50
AT_ONCE = (1, 1000)  # queries
LEAST_S = 0.02  # of CPU time that one figure is taken from
KEY = "1"  # of the way of measuring

Search = Callable[[], Any]


@dataclass(frozen=True)
class Contest:
    """A kind of ours and the FAISS index that it is set against.

    Attributes:
        head, comparison: as in `croquis.index.build.build_index`.
        lists: whether codes lie in inverted lists.
        bar: from our index to FAISS's, of the same codes.
    """

    head: str
    comparison: str
    lists: bool
    bar: Callable[[CodeIndex], Any]


PAIRS = {
    "128 bits flat symmetric / IndexBinaryFlat": Contest("binary", "symmetric", False, lambda index: index._index),
    "128 bits ivf symmetric / IndexBinaryIVF": Contest("binary", "symmetric", True, lambda index: index._index),
    "16 x 4 bits flat asymmetric / IndexPQFastScan": Contest(
        "pq", "asymmetric", False, lambda index: FAISS.IndexPQFastScan(index._index)
    ),
    "16 x 4 bits flat asymmetric / IndexPQ": Contest("pq", "asymmetric", False, lambda index: index._index),
    "128 bits flat asymmetric / IndexBinaryFlat": Contest("binary", "asymmetric", False, lambda index: index._index),
}
DRAWN: dict[str, Callable[[int, int, int], Vectors]] = {
    "random": lambda count, _, seed: np.random.default_rng(seed).standard_normal((count, DIM), dtype=np.float32),
    "clustered": clustered,
}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.codes.faiss_ratios", description=__doc__)
    parser.add_argument("--rows", default="10000,100000,1000000", help="codes (default %(default)s)")
    parser.add_argument("--repeats", type=int, default=5, metavar="N", help="turns (default %(default)s)")
    parser.add_argument("--reports", type=Path, default=PROJECT / "reports/benchmarks", help="where figures are kept")
    parser.add_argument("--scratch", type=Path, default=PROJECT / ".scratch/benchmarks", help="where lock files are")
    parser.add_argument("--fresh", action="store_true", help="measure again what has been measured")
    given = parser.parse_args(arguments)
    results = Results(given.reports / "code-ratios.json", machine(), given.scratch)
    for rows in map(int, listed(given.rows)):
        for name, pair in PAIRS.items():
            for drawn in DRAWN:
                label = f"{name}, {drawn} @ {rows}"
                if given.fresh or not results.has(label, KEY):
                    results.add(label, {"key": KEY, **measure(pair, drawn, rows, given.repeats)})
                    print(label, results.cells[label], flush=True)


def measure(pair: Contest, drawn: str, rows: int, repeats: int) -> Values:
    """`ratio N`: ours over FAISS's, one a turn, for N queries at once; `ms N`: CPU time of one query of ours."""
    vectors, queries = (DRAWN[drawn](count, rows, seed) for count, seed in ((rows, 1), (max(AT_ONCE), 2)))
    own: IndexSettings = Ivf(isqrt(rows), PROBES) if pair.lists else Flat()
    metric, books = ("hamming", None) if pair.head == "binary" else ("l2", first_pieces(vectors))
    index = build_index(vectors, own, metric=metric, head=pair.head, comparison=pair.comparison, codebooks=books)
    assert isinstance(index, CodeIndex)
    bar, keys = pair.bar(index), np.random.default_rng(3).permutation(rows).astype(np.uint64)
    figures: Values = {}
    with faiss_threads(1):
        for count in AT_ONCE:
            parts = [queries[first : first + count] for first in range(0, len(queries), count)]
            coded = [index.coding.encode(part) if pair.head == "binary" else part for part in parts]
            turns = [
                (
                    cpu_ms(lambda part: index.search(part, K, tiebreak=keys), parts),
                    cpu_ms(lambda part: bar.search(part, K), coded),
                )
                for _ in range(repeats + 1)
            ][1:]
            figures[f"ratio {count}"] = [round(ours / theirs, 3) for ours, theirs in turns]
            figures[f"ms {count}"] = round(median(ours for ours, _ in turns) / count, 4)
    return figures


def cpu_ms(search: Callable[[Any], Any], parts: list[Any]) -> float:
    """CPU time of one call, over as many calls as take `LEAST_S`."""
    begin, calls = time.process_time(), 0
    while calls == 0 or time.process_time() - begin < LEAST_S:
        search(parts[calls % len(parts)])
        calls += 1
    return 1000 * (time.process_time() - begin) / calls


def ratio_table(report: Mapping[str, Values], _: Study) -> str:
    """Every pair by size, medians with the least and the greatest of the turns."""
    sizes = sorted({int(label.rpartition(" @ ")[2]) for label in report["cells"]})
    rows = []
    for name in PAIRS:
        for drawn in DRAWN:
            for count in AT_ONCE:
                found = [report["cells"].get(f"{name}, {drawn} @ {size}") for size in sizes]
                rows.append([name, drawn, str(count), *(_spread(cell, count) for cell in found)])
    return table(["ours / FAISS's", "codes", "queries at once", *(f"{size:,}" for size in sizes)], rows)


def _spread(cell: Values | None, count: int) -> str:
    if cell is None:
        return ""
    ratios = cell[f"ratio {count}"]
    return f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


if __name__ == "__main__":
    main()
