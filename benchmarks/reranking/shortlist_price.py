"""What k-reciprocal re-ranking loses on a shortlist: `python -m benchmarks.reranking.shortlist_price`.

Zhong et al. 2017 encode the whole gallery; `rerank.depth` looks at a shortlist only. Drawn vectors: items of 8 photos, each
photo its item's direction plus noise, 800 photos in the gallery and a query photo of every fourth item.
Settings are those of params.yaml. Figures are means over three draws; `python -m benchmarks --render` writes the table into
docs/benchmarks/reranking.md.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean

import numpy as np

from benchmarks.common.recorded_results import Results
from benchmarks.common.studies import PROJECT, Study, Values, shipped
from benchmarks.common.tables import table
from croquis.arrays import Floats
from croquis.evaluation.metrics import average_precision
from croquis.rerank.rerankers.k_reciprocal import k_reciprocal_scores
from croquis.rerank.steps import unit_rows

ITEMS, PHOTOS, NUMBERS, ASKING = 100, 8, 32, 4
NOISE = {"easy": 0.18, "hard": 0.24}  # standard deviation of each number, where a direction has length 1
DEPTHS: tuple[int | str, ...] = (50, 100, 200, 400, "all")
SEEDS = (1, 2, 3)
KEY = "1"  # of the way of measuring


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reranking.shortlist_price", description=__doc__)
    parser.add_argument("--reports", type=Path, default=PROJECT / "reports/benchmarks", help="where figures are kept")
    parser.add_argument("--scratch", type=Path, default=PROJECT / ".scratch/benchmarks", help="where lock files are")
    parser.add_argument("--fresh", action="store_true", help="measure again what has been measured")
    given = parser.parse_args(arguments)
    results = Results(given.reports / "shortlist-price.json", {}, given.scratch)
    for name in NOISE:
        if given.fresh or not results.has(name, KEY):
            results.add(name, {"key": KEY, **measure(name)})
            print(name, results.cells[name], flush=True)


def measure(name: str) -> Values:
    """mAP@all of the plain list and after re-ranking, by depth, and milliseconds of a query."""
    settings = shipped()["rerank"]["k_reciprocal"]
    found: dict[str, list[float]] = {}
    took: dict[str, list[float]] = {}
    for seed in SEEDS:
        gallery, items, queries, asked = draw(NOISE[name], seed)
        for query, item in zip(queries, asked, strict=True):
            order = np.argsort(-(gallery @ query), kind="stable")
            found.setdefault("plain", []).append(precision(items[order] == item))
            for depth in DEPTHS:
                head = order[: len(order) if depth == "all" else int(depth)]
                start = time.perf_counter()
                scores = k_reciprocal_scores(query, gallery[head], **settings)
                took.setdefault(str(depth), []).append(1000 * (time.perf_counter() - start))
                again = np.concatenate([head[np.argsort(-scores, kind="stable")], order[len(head) :]])
                found.setdefault(str(depth), []).append(precision(items[again] == item))
    return {
        "map": {label: round(fmean(values), 4) for label, values in found.items()},
        "milliseconds": {label: round(fmean(values), 2) for label, values in took.items()},
        "gallery": ITEMS * PHOTOS,
        "queries": len(found["plain"]),
    }


def draw(noise: float, seed: int) -> tuple[Floats, np.ndarray, Floats, np.ndarray]:
    """Gallery (N, D) with its items (N,), queries (Q, D) with theirs (Q,); unit vectors."""
    random = np.random.default_rng(seed)
    directions = unit_rows(random.normal(size=(ITEMS, NUMBERS)))
    items, asked = np.repeat(np.arange(ITEMS), PHOTOS), np.arange(0, ITEMS, ASKING)
    photos, queries = (
        unit_rows(directions[of] + random.normal(scale=noise, size=(len(of), NUMBERS))) for of in (items, asked)
    )
    return photos, items, queries, asked


def precision(right: np.ndarray) -> float:
    counts = np.array([right.sum()])
    return float(average_precision(right[None], counts)[0])


def price_table(report: Mapping[str, Values], _: Study) -> str:
    """mAP@all by depth, and how long a query takes."""
    head = ["set", "plain", *(f"depth {depth}" for depth in DEPTHS)]
    rows = []
    for name, cell in report["cells"].items():
        rows.append([name, *(f"{cell['map'][label]:.3f}" for label in ("plain", *map(str, DEPTHS)))])
    slow = next(iter(report["cells"].values()))["milliseconds"]
    rows.append(["ms per query", "", *(f"{slow[str(depth)]:.1f}" for depth in DEPTHS)])
    return table(head, rows)


if __name__ == "__main__":
    main()
