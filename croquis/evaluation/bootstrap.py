"""Cluster bootstrap: how far a mean over queries could move if other *items* had been photographed.

Queries of one item resemble each other, so drawing queries independently gives intervals that are too narrow. Items are
drawn with replacement and all queries of a drawn item come together; the statistic is the mean over the drawn queries
(Field and Welsh 2007, "Bootstrapping clustered data"; percentile intervals).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]
Items = npt.NDArray[np.generic]

# Weights that are held at a time: 4 million doubles are 32 MB, whatever the number of items.
WEIGHTS_HELD = 4_000_000


@dataclass(frozen=True)
class Interval:
    """A mean with its percentile interval."""

    value: float
    low: float
    high: float

    def contains(self, value: float) -> bool:
        """Whether a value lies in it, ends included."""
        return self.low <= value <= self.high


@dataclass(frozen=True)
class Gain:
    """How much better `second` is than `first` on the same queries; `probability` = share of resamples with a gain."""

    interval: Interval
    probability: float


def bootstrap_interval(
    values: Values, items: Items, resamples: int = 1000, seed: int = 0, confidence: float = 0.95
) -> Interval:
    """Mean of `values` (queries,) and its percentile interval over resampled `items` (queries,)."""
    return bootstrap_intervals(values[:, None], items, resamples, seed, confidence)[0]


def bootstrap_intervals(
    values: Values, items: Items, resamples: int = 1000, seed: int = 0, confidence: float = 0.95
) -> list[Interval]:
    """One interval per column of `values` (queries, metrics); every column sees the same resamples.

    The result depends on neither the order of the queries nor the machine: items are sorted before they are drawn.

    Raises:
        ValueError: no queries, arrays that disagree, or a confidence outside (0, 1).
    """
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence is {confidence}, must lie between 0 and 1")
    means = resampled_means(values, items, resamples, seed)
    tail = (1.0 - confidence) / 2
    low, high = np.quantile(means, [tail, 1.0 - tail], axis=0)
    centre = values.mean(axis=0)
    return [Interval(float(c), float(a), float(b)) for c, a, b in zip(centre, low, high, strict=True)]


def paired_gain(
    first: Values, second: Values, items: Items, resamples: int = 1000, seed: int = 0, confidence: float = 0.95
) -> Gain:
    """Interval of mean(second - first) over the same queries, and the share of resamples where it is above 0.

    Both arrays are (queries,) in the same order; pairing removes the difficulty of the queries from the noise. Resamples
    with no difference count half, so that two equal retrievers have probability 0.5.
    """
    if first.shape != second.shape:
        raise ValueError(f"paired values have shapes {first.shape} and {second.shape}; score both on the same queries")
    difference = second - first
    means = resampled_means(difference[:, None], items, resamples, seed)[:, 0]
    probability = float((means > 0).mean() + 0.5 * (means == 0).mean())
    return Gain(bootstrap_interval(difference, items, resamples, seed, confidence), probability)


def resampled_means(values: Values, items: Items, resamples: int, seed: int) -> Values:
    """Means of the resamples, shape (resamples, metrics)."""
    if len(values) == 0 or values.shape[0] != len(items):
        raise ValueError(f"{values.shape[0]} values for {len(items)} items; one item per query, at least one query")
    names, codes = np.unique(items, return_inverse=True)
    queries = np.bincount(codes, minlength=len(names)).astype(np.float64)
    # shape: (items, metrics)
    sums = np.stack([np.bincount(codes, column, len(names)) for column in values.T], axis=1)
    batches = [(weights @ sums) / (weights @ queries)[:, None] for weights in _weights(len(names), resamples, seed)]
    return np.concatenate(batches)


def _weights(n_items: int, resamples: int, seed: int) -> Iterator[Values]:
    """Multinomial weights, how often each item was drawn, (batch, items); the stream does not depend on the batch."""
    generator = np.random.default_rng(seed)
    batch = max(1, WEIGHTS_HELD // n_items)
    for start in range(0, resamples, batch):
        count = min(batch, resamples - start)
        drawn = generator.integers(0, n_items, size=(count, n_items))
        cells = drawn + np.arange(count)[:, None] * n_items
        yield np.bincount(cells.ravel(), minlength=count * n_items).reshape(count, n_items).astype(np.float64)
