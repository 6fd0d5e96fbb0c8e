"""Exact evaluation against the bare search with NumPy metrics, and against two libraries for metric learning.

    python -m benchmarks.scale.exact_evaluation

Ours is what the stage `evaluate` does once its queries are encoded: lists among the gallery's vectors, every metric, and the
summary with its intervals. Bare is `IndexFlatIP.search` of all queries at once and the metrics of its lists.
pytorch-metric-learning and open-metric-learning take part where they are installed, with their own mean average precision,
on fewer queries. Everybody has one thread, and takes turns in one process; the peak of the memory is that of a process of
their own, less what it held before. The command fails when our figures are not those of the bare way.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from croquis.arrays import Uint8Image, Vectors
from croquis.evaluation.metrics import metric_table
from croquis.evaluation.protocol import INSTANCE, JudgedGallery, Queries
from croquis.evaluation.ranked_answers import QueryPath, answer
from croquis.evaluation.results import SplitResult
from croquis.files import write_json
from croquis.index.dense import FlatIndex
from croquis.index.exact import normalise
from croquis.index.ranking import RankedLists, label_blind_keys
from croquis.search.composition import Composition, same_pictures
from croquis.search.gallery import Listed

REPORT = Path("reports/benchmarks/exact-evaluation.json")
CHUNK = 64  # pictures at a time, as in params.yaml
RESAMPLES = 1000
NOISE = 0.7  # of a photo beside its item's vector, so that about one in twenty is not found at once
SAME = 1e-12

Values = Mapping[str, float]


@dataclass(frozen=True)
class Photos:
    """Unit vectors (n, dim) of photos, and the number of each one's item (n,)."""

    vectors: Vectors
    items: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Asked:
    """Queries, gallery, and the length of lists."""

    queries: Photos
    gallery: Photos
    depth: int

    def cut(self, count: int) -> Asked:
        """The first `count` queries."""
        return Asked(Photos(self.queries.vectors[:count], self.queries.items[:count]), self.gallery, self.depth)


def draw(queries: int, gallery: int, dim: int, depth: int) -> Asked:
    """As many items as a third of the gallery; every one that asks has an answer."""
    random = np.random.default_rng(0)
    centres = random.normal(size=(gallery // 3, dim))

    def photos(items: npt.NDArray[np.int64]) -> Photos:
        vectors = centres[items] + NOISE * random.normal(size=(len(items), dim))
        return Photos(normalise(vectors.astype(np.float32)), items)

    shown = random.permutation(np.arange(gallery) % len(centres))
    return Asked(photos(random.integers(0, len(centres), queries)), photos(shown), depth)


class StoredQueries(Queries):
    """Queries whose pictures are the rows of stored vectors."""

    def images(self, chosen: Any = None) -> Iterator[Any]:  # noqa: ARG002
        yield from self.catalog[self.rows]  # type: ignore[index]

    def take(self, chosen: npt.NDArray[np.int64]) -> Queries:
        columns = (column[chosen] for column in (self.image_ids, self.item_ids, self.categories, self.bboxes))
        return StoredQueries(self.catalog, self.rows[chosen], *columns)


def ours(asked: Asked) -> Values:
    ids = [f"g{number}" for number in range(len(asked.gallery.items))]
    catalog: Any = asked.queries.vectors
    no_evidence: Any = None  # only a re-ranking would read it
    rows, names, items, categories, boxes = _columns(ids, asked.gallery.items)
    gallery = JudgedGallery(catalog, rows, names, items, categories, boxes, label_blind_keys(ids), INSTANCE)
    queries = StoredQueries(catalog, *_columns([f"q{n}" for n in range(len(asked.queries.items))], asked.queries.items))
    index = FlatIndex.of_stored(asked.gallery.vectors, "cosine")

    def find(vectors: Vectors, k: int) -> Listed:
        scores, rows = index.search(vectors, k, tiebreak=gallery.keys)
        return Listed(RankedLists(rows, scores), no_evidence)

    def encode(pictures: Sequence[Uint8Image]) -> Vectors:
        return np.stack(pictures).astype(np.float32)

    path = QueryPath("encoder", Composition(same_pictures, encode, find))
    runs = answer("consumer->shop", path, queries, gallery, depth=asked.depth, chunk=CHUNK, reranks={})
    SplitResult("test", gallery, runs, asked.depth, RESAMPLES, 0, {}).summary()
    return {name: float(values.mean()) for name, values in runs[0].metrics.items()}


def _columns(ids: Sequence[str], items: npt.NDArray[np.int64]) -> tuple[Any, ...]:
    """Rows, ids, items, categories and boxes of pictures."""
    named = items.astype(str).astype(object)
    return np.arange(len(ids)), np.array(ids, dtype=object), named, np.full(len(ids), "dress", dtype=object), named


def bare(asked: Asked) -> Values:
    index = faiss.IndexFlatIP(asked.gallery.vectors.shape[1])
    index.add(asked.gallery.vectors)
    _, rows = index.search(asked.queries.vectors, asked.depth)
    relevance = asked.gallery.items[rows] == asked.queries.items[:, None]
    found = metric_table(relevance, np.bincount(asked.gallery.items)[asked.queries.items])
    return {name: float(values.mean()) for name, values in found.items()}


def pml(asked: Asked, k: int | None) -> Values:
    """pytorch-metric-learning; its default is a `k` of None, the whole gallery."""
    from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator

    names = ("mean_average_precision_at_r", "precision_at_1", "mean_reciprocal_rank")
    tensors = _tensors(asked)
    return dict(AccuracyCalculator(include=names, k=k).get_accuracy(*tensors, ref_includes_query=False))


def oml(asked: Asked) -> Values:
    """open-metric-learning."""
    from oml.functional.knn import batched_knn_qg  # type: ignore[import-not-found]
    from oml.functional.metrics import calc_retrieval_metrics  # type: ignore[import-not-found]

    queries, query_labels, gallery, labels = _tensors(asked)
    _, found, right = batched_knn_qg(queries, gallery, asked.depth, query_labels, labels)
    calc_retrieval_metrics(found, right, cmc_top_k=(1, 5, 10, 20, 50), precision_top_k=(5,), map_top_k=(50,))
    return {}


def _tensors(asked: Asked) -> tuple[Any, ...]:
    import torch

    torch.set_num_threads(1)
    return tuple(
        torch.from_numpy(each) for part in (asked.queries, asked.gallery) for each in (part.vectors, part.items)
    )


Way = Callable[[Asked], Values]
WAYS: dict[str, Way] = {"ours": ours, "bare": bare}
OTHERS: dict[str, tuple[str, Way]] = {
    "pytorch-metric-learning, k = depth": ("pytorch_metric_learning", lambda asked: pml(asked, asked.depth)),
    "pytorch-metric-learning, k = None": ("pytorch_metric_learning", lambda asked: pml(asked, None)),
    "open-metric-learning": ("oml", oml),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Raises:
    SystemExit: 1 when ours and the bare way disagree.
    """
    options = parser().parse_args(arguments)
    asked = draw(options.queries, options.gallery, options.dim, options.depth)
    faiss.omp_set_num_threads(1)
    with threadpool_limits(1):
        if options.memory_of:
            print(json.dumps({"mb": extra_memory(options.memory_of, asked)}))
            return
        values = {name: way(asked.cut(200)) for name, way in WAYS.items()}
        others = {name: way for name, (module, way) in OTHERS.items() if find_spec(module)}
        fewer = asked.cut(options.other_queries)
        report = {
            "sizes": {name: getattr(options, name) for name in ("queries", "gallery", "dim", "depth", "other_queries")},
            "ours / bare": compared(asked, options.repeats, ours, bare),
            **{f"{name} / ours": compared(fewer, options.repeats, way, ours) for name, way in others.items()},
            "peak extra MB": {
                str(queries): {name: memory(name, options, queries) for name in names}
                for queries, names in ((options.queries, WAYS), (options.other_queries, [*others, "ours"]))
            },
        }
    write_json(options.report, report)
    print(json.dumps(report, indent=2))
    if any(abs(values["ours"][name] - value) > SAME for name, value in values["bare"].items()):
        sys.exit(f"error: the figures differ: {values}")


def compared(asked: Asked, repeats: int, first: Way, second: Way) -> dict[str, dict[str, float]]:
    """Ratios first / second of neighbours in time, by wall and by CPU."""
    turns = [(timed(first, asked), timed(second, asked)) for _ in range(repeats)]
    found = {}
    for place, name in enumerate(("wall", "cpu")):
        ratios = [one[place] / other[place] for one, other in turns]
        found[name] = {"median": median(ratios), "min": min(ratios), "max": max(ratios)}
        found[f"{name} seconds"] = {
            "first": median(t[0][place] for t in turns),
            "second": median(t[1][place] for t in turns),
        }
    return {name: {key: round(value, 3) for key, value in each.items()} for name, each in found.items()}


def timed(way: Way, asked: Asked) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    way(asked)
    return time.perf_counter() - wall, time.process_time() - cpu


def memory(name: str, options: argparse.Namespace, queries: int) -> float:
    """Peak of a process of its own."""
    sizes = [f"--{size}={getattr(options, size)}" for size in ("gallery", "dim", "depth")]
    command = [
        sys.executable,
        "-m",
        "benchmarks.scale.exact_evaluation",
        f"--memory-of={name}",
        f"--queries={queries}",
        *sizes,
    ]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return float(json.loads(said.splitlines()[-1])["mb"])


def extra_memory(name: str, asked: Asked) -> float:
    """Megabytes at the peak beside what the process held when it had the vectors and the libraries."""
    way = WAYS.get(name) or OTHERS[name][1]
    way(asked.cut(50))
    before = _status("VmRSS")
    way(asked)
    return round((_status("VmHWM") - before) / 1024, 1)  # not getrusage's: a process begins with the peak of its parent


def _status(name: str) -> int:
    """A number of kilobytes that Linux tells of this process."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[name].split()[0])


def parser() -> argparse.ArgumentParser:
    asked = argparse.ArgumentParser(
        prog="python -m benchmarks.scale.exact_evaluation",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = asked.add_argument
    add("--queries", type=int, default=14218, metavar="N", help="as in DeepFashion In-shop (default %(default)s)")
    add("--gallery", type=int, default=12612, metavar="N", help="as there (default %(default)s)")
    add("--dim", type=int, default=384, metavar="N", help="numbers of a vector (default %(default)s)")
    add("--depth", type=int, default=1000, metavar="N", help="results per query (default %(default)s)")
    add("--other-queries", type=int, default=3000, metavar="N", help="for the libraries (default %(default)s)")
    add("--repeats", type=int, default=5, metavar="N", help="turns (default %(default)s)")
    add("--memory-of", metavar="NAME", help="only this one's peak of memory")
    add("--report", type=Path, default=REPORT, metavar="FILE")
    return asked


if __name__ == "__main__":
    main()
