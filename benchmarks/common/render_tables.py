"""Writes the tables of docs/methods.md, scale.md and sketch.md from the reports that are there, and from nothing else.

A table stands between `<!-- table: NAME -->` and `<!-- /table -->`; what is between them is replaced.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from benchmarks.codes import hashing
from benchmarks.codes.code_tables import codes_table, comparisons_table, components_table, shared_features_table
from benchmarks.common import variants
from benchmarks.common.benchmark_command import BenchmarkError, Options, Values
from benchmarks.leaderboards import ablation, method_leaderboard, negatives
from benchmarks.reranking import rerank_gains
from benchmarks.scale import scale_tables
from benchmarks.sketches import sketch_paths, sketch_search
from croquis.files import read_json, write_bytes

MARKER = re.compile(r"(<!-- table: (?P<name>[\w-]+) -->\n)(?P<old>.*?)(<!-- /table -->)", re.DOTALL)

Table = Callable[[Mapping[str, Values]], str]
# Name of a table -> report, how it is made of it, and the command that makes the report.
TABLES: dict[str, tuple[str, Table, str]] = {
    **{
        f"leaderboard-{name}": (
            f"leaderboard-{name}",
            method_leaderboard.leaderboard,
            f"leaderboards.method_leaderboard --set {name}",
        )
        for name in method_leaderboard.SETS
    },
    **{
        f"{kind}-{name}": (
            hashing.report_name("trained", name),
            made,
            f"codes.hashing --nets trained --protocols {name}",
        )
        for name in hashing.PROTOCOLS
        for kind, made in (
            ("hashing", codes_table),
            ("comparisons", comparisons_table),
            ("components", components_table),
        )
    },
    "hashing-imagenet": (
        hashing.report_name("imagenet", "cifar10_c"),
        shared_features_table,
        "codes.hashing --nets imagenet",
    ),
    "negatives": ("negatives", partial(variants.comparison, variants=negatives.VARIANTS), "leaderboards.negatives"),
    **{
        f"rerank-{name}": (f"rerank-{name}", rerank_gains.rerank_table, f"reranking.rerank_gains --set {name}")
        for name in rerank_gains.SETS
    },
    **{
        f"sketch-{name}": (f"sketch-{name}", sketch_search.sketch_table, f"sketches.sketch_search --set {name}")
        for name in sketch_search.TASKS
    },
    "sketch-rendered": ("sketch-rendered", sketch_paths.paths_table, "sketches.sketch_paths"),
    "sketch-losses": ("sketch-rendered", sketch_paths.losses_table, "sketches.sketch_paths"),
    "scale-indexes": ("scale", scale_tables.index_table, "scale.scale"),
    "scale-rates": ("scale", scale_tables.rate_table, "scale.scale"),
    "scale-limits": ("scale", scale_tables.limit_table, "scale.scale"),
    "scale-capacity": ("scale", scale_tables.capacity_table, "scale.scale"),
    "ablation": ("ablation", partial(variants.comparison, variants=ablation.variants()), "leaderboards.ablation"),
}


def render(options: Options) -> None:
    for path in options.docs:
        page = path.read_text(encoding="utf-8")
        names = [found["name"] for found in MARKER.finditer(page)]
        text = MARKER.sub(lambda found: f"{found[1]}\n{section(found['name'], options.reports)}\n\n{found[4]}", page)
        write_bytes(path, text.encode())
        print(f"wrote {len(names)} tables into {path}")


def section(name: str, reports: Path) -> str:
    """The text between two markers.

    Raises:
        BenchmarkError: on a name that no benchmark makes.
    """
    if name not in TABLES:
        raise BenchmarkError(f"there is no table {name!r}; known: {', '.join(TABLES)}")
    report, make, command = TABLES[name]
    path = reports / f"{report}.json"
    if not path.is_file():
        return f"Not measured yet: `python -m benchmarks.{command}`."
    return make(read_json(path))
