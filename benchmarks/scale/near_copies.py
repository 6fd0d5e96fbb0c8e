"""How the search for near copies grows: `python -m benchmarks.scale.near_copies`.

Measured is CPU time, one size after the other, of `croquis.validation.near_duplicates.neighbours` over the hashes of that
many photos and of their mirror images, at the radius that params.yaml ships with. Hashes are drawn: `unlike` ones,
`skewed` ones, whose bits are set with chances from 0.15 to 0.85, `clustered` ones, 20 around each centre, and `equal`
ones, a quarter of which are one hash, as of photos that are all white. Each figure is kept as soon as it is there in
reports/benchmarks/near-copies.json; `python -m benchmarks --render` writes the table of docs/benchmarks/capacity.md.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.common.recorded_results import Results
from benchmarks.common.studies import PROJECT, Study, Values, listed
from benchmarks.common.tables import table
from benchmarks.scale.scale import machine
from benchmarks.scale.scale_indexes import apart
from croquis.validation.near_duplicates import BITS, Codes, neighbours

RADIUS = 4
TOGETHER, FLIPPED = 20, 3  # hashes around one centre, and bits in which each differs from it
KEY = "1"  # of the way of measuring


def unlike(count: int, random: np.random.Generator) -> Codes:
    return random.integers(0, 2**64, count, dtype=np.uint64)


def skewed(count: int, random: np.random.Generator) -> Codes:
    chances = np.random.default_rng(5).uniform(0.15, 0.85, len(BITS))
    made = np.zeros(count, dtype=np.uint64)
    for bit, chance in zip(BITS, chances, strict=True):
        made |= (random.random(count) < chance).astype(np.uint64) << bit
    return made


def clustered(count: int, random: np.random.Generator) -> Codes:
    made = np.resize(unlike(-(-count // TOGETHER), random), count)
    for _ in range(FLIPPED):
        made ^= np.uint64(1) << random.choice(BITS, count)
    return made


def equal(count: int, random: np.random.Generator) -> Codes:
    made = unlike(count, random)
    made[: count // 4] = made[0]
    return made


DRAWN: dict[str, Callable[[int, np.random.Generator], Codes]] = {
    "unlike": unlike,
    "skewed": skewed,
    "clustered": clustered,
    "equal": equal,
}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale.near_copies", description=__doc__)
    parser.add_argument("--photos", default="50000,200000,400000,1000000", help="sizes (default %(default)s)")
    parser.add_argument("--repeats", type=int, default=5, metavar="N", help="of each (default %(default)s)")
    parser.add_argument("--reports", type=Path, default=PROJECT / "reports/benchmarks", help="where figures are kept")
    parser.add_argument("--scratch", type=Path, default=PROJECT / ".scratch/benchmarks", help="where lock files are")
    parser.add_argument("--fresh", action="store_true", help="measure again what has been measured")
    given = parser.parse_args(arguments)
    results = Results(given.reports / "near-copies.json", machine(), given.scratch)
    for photos in map(int, listed(given.photos)):
        for name in DRAWN:
            label = f"{name} @ {photos}"
            if given.fresh or not results.has(label, KEY):
                results.add(label, {"key": KEY, **apart(measure, name, photos, given.repeats)})
                print(label, results.cells[label], flush=True)


def measure(name: str, photos: int, repeats: int) -> Values:
    """`seconds` of each run, `pairs` of different hashes that are near, `peak_bytes` per photo beyond the hashes."""
    random = np.random.default_rng(photos)
    both = np.unique(np.concatenate([DRAWN[name](photos, random), DRAWN[name](photos, random)]))
    neighbours(both[:1000], RADIUS)
    before, seconds, pairs = peak(), [], 0
    for _ in range(repeats):
        start = time.process_time()
        found = neighbours(both, RADIUS)
        seconds.append(round(time.process_time() - start, 3))
        pairs = (len(found.codes) - len(both)) // 2
    return {"seconds": seconds, "pairs": pairs, "peak_bytes": round((peak() - before) / photos)}


def peak() -> int:
    """Most bytes that this process has held."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def growth_table(report: Mapping[str, Values], _: Study) -> str:
    """CPU seconds by size, medians with the least and the greatest run."""
    sizes = sorted({int(label.rpartition(" @ ")[2]) for label in report["cells"]})
    rows = []
    for name in DRAWN:
        found = [report["cells"].get(f"{name} @ {size}") for size in sizes]
        rows.append([name, *(_spread(cell) for cell in found)])
    return table(["hashes", *(f"{size:,} photos" for size in sizes)], rows)


def _spread(cell: Values | None) -> str:
    if cell is None:
        return ""
    seconds = cell["seconds"]
    return f"{median(seconds):.2f} s ({min(seconds):.2f} to {max(seconds):.2f}), {cell['peak_bytes']} B a photo"


if __name__ == "__main__":
    main()
