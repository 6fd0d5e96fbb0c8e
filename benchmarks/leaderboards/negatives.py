"""Siamese's five negative strategies for equally many steps on the rendered catalogue.

    python -m benchmarks.leaderboards.negatives

A step is one batch of items_per_batch x images_per_item images; `nearest` and `adjacent` pass as many negatives again
through the net. Writes reports/benchmarks/negatives.json; with --render, the tables of docs/methods.md.
"""

from __future__ import annotations

from benchmarks.common.variants import run

METHOD = "siamese"
VARIANTS = {name: {"negatives": name} for name in ("random", "adjacent", "nearest", "batch_hard", "semi_hard")}


def main(arguments: list[str] | None = None) -> None:
    run("negatives", __doc__, METHOD, VARIANTS, arguments)


if __name__ == "__main__":
    main()
