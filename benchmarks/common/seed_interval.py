"""How far a mean over seeds could move with other seeds: Student's t interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t


@dataclass(frozen=True)
class Spread:
    """A mean over seeds.

    Attributes:
        half: half the width of the interval; None with a single seed, which tells nothing of others.
    """

    mean: float
    half: float | None
    seeds: int

    def __str__(self) -> str:
        return format(self)

    def __format__(self, sign: str) -> str:
        """`0.695 ± 0.031`; with `+`, a gain has its sign before it."""
        mean = f"{self.mean:{sign}.3f}"
        return mean if self.half is None else f"{mean} ± {self.half:.3f}"

    @property
    def excludes_zero(self) -> bool:
        """Whether 0 lies outside the interval; never with a single seed."""
        return self.half is not None and abs(self.mean) > self.half


def spread(values: Sequence[float], confidence: float = 0.95) -> Spread:
    """Mean and interval of one value per seed: mean ± t * s / sqrt(n), t of n - 1 degrees of freedom.

    >>> str(spread([1.0, 2.0, 3.0]))
    '2.000 ± 2.484'
    """
    count = len(values)
    if count == 0:
        raise ValueError("a spread needs at least one value")
    if count == 1:
        return Spread(float(values[0]), None, 1)
    quantile = float(t.ppf(0.5 + confidence / 2, count - 1))
    return Spread(float(np.mean(values)), quantile * float(np.std(values, ddof=1)) / math.sqrt(count), count)


def paired(first: dict[int, float], second: dict[int, float]) -> Spread | None:
    """Spread of `second - first` over the seeds that both have; None when there is none."""
    common = sorted(first.keys() & second.keys())
    return spread([second[seed] - first[seed] for seed in common]) if common else None
