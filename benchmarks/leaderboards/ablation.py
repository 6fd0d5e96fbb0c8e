"""Which term of triplet_gan earns its place, on the rendered catalogue: `python -m benchmarks.leaderboards.ablation`.

Terms are added one by one to the triplet loss, with the weights of params.yaml. Writes reports/benchmarks/ablation.json;
with --render, the tables of docs/methods.md.
"""

from __future__ import annotations

from benchmarks.common.benchmark_command import PROJECT, Values
from benchmarks.common.variants import run
from croquis.params.loader import read_yaml

METHOD = "triplet_gan"
TERMS = ("reconstruction", "perceptual", "adversarial")
VARIANTS = {
    "triplet": (),
    "+ reconstruction": ("reconstruction",),
    "+ perceptual": ("perceptual",),
    "+ adversarial": ("adversarial",),
    "+ perceptual + adversarial": ("perceptual", "adversarial"),
    "all four": TERMS,
}


def variants() -> dict[str, Values]:
    """Name -> weights of the terms: those of params.yaml, or 0 for the ones that are left out."""
    shipped = read_yaml(PROJECT / "params.yaml")[METHOD]
    return {
        name: {f"{term}_weight": shipped[f"{term}_weight"] if term in kept else 0.0 for term in TERMS}
        for name, kept in VARIANTS.items()
    }


def main(arguments: list[str] | None = None) -> None:
    run("ablation", __doc__, METHOD, variants(), arguments)


if __name__ == "__main__":
    main()
