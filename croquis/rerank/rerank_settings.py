"""How a bundle re-ranks: the block `rerank` of its manifest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

BY_ATTRIBUTES = ("attributes", "probability")
BY_VECTORS = ("k_reciprocal", "alpha_qe")
STEPS = (*BY_ATTRIBUTES, *BY_VECTORS)


@dataclass(frozen=True)
class KReciprocal:
    """See `croquis.rerank.neighbours.k_reciprocal_order`."""

    neighbours: int = 20
    expansion: int = 6
    distance_weight: float = 0.3


@dataclass(frozen=True)
class AlphaQe:
    """See `croquis.rerank.neighbours.alpha_qe_order`."""

    neighbours: int = 3
    power: float = 3.0


@dataclass(frozen=True)
class RerankBlock:
    """How, and whether by default; what came after the first bundles were written has a default.

    Attributes:
        enabled: whether a query is re-ranked that does not say.
        depth: length of the shortlist.
        alpha, beta, overlap: of the steps `attributes` and `probability`, see `croquis.rerank.attributes.Weighing` and
            `croquis.rerank.overlap.Overlap`.
        gallery_attributes: `predicted` or `catalogue`: what is known of the gallery.
        standing: what `alpha` weighs, `rank` or `score`.
        steps: of `STEPS`, in the order in which they are applied.
        compare: further steps that an evaluation measures on their own.
    """

    enabled: bool
    depth: int
    alpha: float
    beta: float
    overlap: str
    gallery_attributes: str
    standing: str = "rank"
    steps: tuple[str, ...] = ("attributes",)
    compare: tuple[str, ...] = ()
    k_reciprocal: KReciprocal = field(default_factory=KReciprocal)
    alpha_qe: AlphaQe = field(default_factory=AlphaQe)

    def chains(self) -> dict[str, tuple[str, ...]]:
        """What an evaluation measures, the served chain first: name, e.g. `alpha_qe+probability` -> steps."""
        return {chain_name(self.steps): self.steps, **{step: (step,) for step in self.compare}}


def chain_name(steps: Sequence[str]) -> str:
    """As in reports: `attributes`, `alpha_qe+probability`."""
    return "+".join(steps)


def needs_classifier(steps: Sequence[str]) -> bool:
    return any(step in BY_ATTRIBUTES for step in steps)
