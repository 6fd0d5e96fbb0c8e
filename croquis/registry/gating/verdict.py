"""What the gate is given and what it says: results, limits, reasons, verdicts."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

PROMOTE, AGAINST, REASONS = "gate.promote", "gate.against", "gate.reasons"  # tags of a version
Values = npt.NDArray[np.float64]
Labels = npt.NDArray[np.str_]


class GateError(ValueError):
    """The two retrievers cannot be compared."""


@dataclass(frozen=True)
class Size:
    """Bytes that serving needs: per gallery image in the index, and for the nets."""

    bytes_per_image: int
    model_bytes: int


@dataclass(frozen=True)
class Scores:
    """Results of one retriever on N queries of one split and domain pair.

    Attributes:
        queries: (N,) ids of the queries.
        items: (N,) the item of each query, the unit that is resampled.
        categories: (N,) the category of each query.
        values: (N,) the selecting metric of each query, in [0, 1].
        latency_ms: median time of one query, or None when it was not measured.
        modes: results in every way of asking that is served, by `PAIR PATH`, e.g. `sketch->shop gan`.
        size: what the retriever takes to serve, or None when it was not looked at.
        chance: mean of the metric that random orders of the gallery have on these queries, or None when it is not known.
        baseline: results of the baseline that learns nothing on the same queries; None where it was not measured, and for
            the baseline itself.
        rival: for the baseline itself, results of the method that is best on the same queries, where none was shown to be
            above the baseline; else None.
    """

    queries: Labels
    items: Labels
    categories: Labels
    values: Values
    latency_ms: float | None = None
    modes: Mapping[str, Scores] = field(default_factory=dict)
    size: Size | None = None
    chance: float | None = None
    baseline: Scores | None = None
    rival: Scores | None = None

    @property
    def mean(self) -> float:
        """Over the queries."""
        return float(self.values.mean())

    def ordered(self) -> Scores:
        """The same results in order of query id."""
        order = np.argsort(self.queries, kind="stable")
        columns = ("queries", "items", "categories", "values")
        return replace(self, **{name: getattr(self, name)[order] for name in columns})

    def without(self, items: Collection[str]) -> Scores:
        """The results of the queries that show other items; a way of asking that has no query left is left out."""
        kept = ~np.isin(self.items, sorted(items))
        columns = {name: getattr(self, name)[kept] for name in ("queries", "items", "categories", "values")}
        modes = {name: scores.without(items) for name, scores in self.modes.items()}
        return replace(self, **columns, modes={name: scores for name, scores in modes.items() if len(scores.queries)})


@dataclass(frozen=True)
class Policy:
    """The rules' limits; `metric` only names what `values` are, in the reasons."""

    metric: str
    floor: float
    min_gain: float
    confidence: float
    max_category_drop: float
    max_mode_drop: float
    max_latency_ratio: float
    max_bytes_per_image: int
    max_model_megabytes: float
    resamples: int = 10_000
    seed: int = 0


@dataclass(frozen=True)
class Reason:
    """One rule's answer. `figures` are the numbers in `text`; `volatile` ones differ from run to run."""

    rule: str
    passed: bool
    text: str
    figures: Mapping[str, float]
    volatile: bool = False

    def to_json(self) -> dict[str, Any]:
        """Plain values for a report; figures have 6 digits."""
        figures = {name: round(value, 6) for name, value in self.figures.items()}
        return {"rule": self.rule, "passed": self.passed, "text": self.text, "figures": figures}


@dataclass(frozen=True)
class Verdict:
    """`promote`: every rule passed; `against`: the hash of the champion's bundle, None where there was no champion."""

    promote: bool
    reasons: tuple[Reason, ...]
    against: str | None = None

    def summary(self) -> str:
        """One line per rule."""
        return "\n".join(
            f"{'ok  ' if reason.passed else 'FAIL'} {reason.rule}: {reason.text}" for reason in self.reasons
        )

    def tags(self) -> dict[str, str]:
        """What it leaves on the version and on the pipeline run."""
        return {PROMOTE: str(self.promote).lower(), AGAINST: self.against or "", REASONS: self.summary()}
