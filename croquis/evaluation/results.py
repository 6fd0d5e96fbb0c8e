"""What an evaluation found: per query, and summed up with intervals and chance levels as JSON and as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from croquis.evaluation.bootstrap import Interval, bootstrap_intervals, paired_gain
from croquis.evaluation.metrics import Counts, PerQuery, chance_table
from croquis.evaluation.protocol import INSTANCE, JudgedGallery, Protocol, Queries

DIGITS = 6
NO_RERANK = "none"
# What a user gets: a photo goes through the encoder; a sketch through the generator where there is one.
SERVED_PATHS = ("encoder", "gan", "direct")


@dataclass(frozen=True)
class RunResult:
    """One way of answering one set of queries.

    Attributes:
        pair: e.g. `consumer->shop`.
        path: how queries became vectors: `encoder` (`encoder-symmetric`, `encoder-asymmetric` for the comparison of codes
            that the bundle does not use), or for sketches `gan`, `direct`, `edges`.
        rerank: `none`, or what reordered the shortlist, e.g. `attributes`.
        queries: those with at least one right answer in the gallery.
        unmatched: how many queries were left out because they have none.
        n_relevant, gallery_sizes, ranks: (queries,) right answers, candidates (itself not counted), and the rank of the
            first right one, 0 when it is beyond the depth.
        metrics: name -> (queries,).
        top: (queries, n) rows of the gallery, best first, for the pictures; -1 past the end.
        before: (queries, n) where those stood before the re-ranking, from 0; None without one.
        reasons: (queries) lists of n: the attributes that moved each of them up.
    """

    pair: str
    path: str
    rerank: str
    queries: Queries
    unmatched: int
    n_relevant: Counts
    gallery_sizes: Counts
    ranks: Counts
    metrics: Mapping[str, PerQuery]
    top: npt.NDArray[np.int64]
    before: npt.NDArray[np.int64] | None = None
    reasons: Sequence[Sequence[tuple[str, ...]]] = ()

    @property
    def name(self) -> str:
        """`pair path`, with `+ rerank` when there is one."""
        return f"{self.pair} {self.path}" + ("" if self.rerank == NO_RERANK else f" + {self.rerank}")

    def summary(self, depth: int, resamples: int, seed: int, protocol: Protocol = INSTANCE) -> dict[str, Any]:
        """Means with intervals over items, chance levels, and the same per category; JSON-able, rounded."""
        chance = chance_table(self.gallery_sizes, self.n_relevant, depth, protocol.metrics)
        overall = self._estimates(np.arange(len(self.queries)), resamples, seed)
        for name, estimate in overall.items():
            estimate["chance"] = round(chance[name], DIGITS)
        return {
            "pair": self.pair,
            "path": self.path,
            "rerank": self.rerank,
            "queries": len(self.queries),
            "items": len(set(self.queries.item_ids)),
            "unmatched_queries": self.unmatched,
            "metrics": overall,
            "categories": self._categories(resamples, seed),
        }

    def _categories(self, resamples: int, seed: int) -> dict[str, Any]:
        found = {}
        for category in sorted(set(self.queries.categories)):
            chosen = np.flatnonzero(self.queries.categories == category)
            items = len(set(self.queries.item_ids[chosen]))
            estimates = self._estimates(chosen, resamples, seed)
            found[category] = {"queries": len(chosen), "items": items, "metrics": estimates}
        return found

    def _estimates(self, chosen: npt.NDArray[np.int64], resamples: int, seed: int) -> dict[str, dict[str, float]]:
        values = np.stack([column[chosen] for column in self.metrics.values()], axis=1)
        items = self.queries.item_ids[chosen].astype(str)
        intervals = bootstrap_intervals(values, items, resamples, seed)
        return {name: rounded(interval) for name, interval in zip(self.metrics, intervals, strict=True)}

    def table(self, split: str) -> pa.Table:
        """One row per query, for paired comparisons: ids, category, rank of the first hit (0 for none), each metric."""
        count = len(self.queries)
        columns: dict[str, Any] = {
            "split": [split] * count,
            "pair": [self.pair] * count,
            "path": [self.path] * count,
            "rerank": [self.rerank] * count,
            "query_id": self.queries.image_ids.tolist(),
            "item_id": self.queries.item_ids.tolist(),
            "category": self.queries.categories.tolist(),
            "rank": pa.array(self.ranks, pa.int64()),
        }
        return pa.table(columns | {name: np.round(values, DIGITS) for name, values in self.metrics.items()})


@dataclass(frozen=True)
class SplitResult:
    """Everything that was measured on one split.

    Attributes:
        split, gallery, runs: whose queries were asked, who answered, and what was found.
        depth: that was asked for.
        resamples, seed: of the bootstrap.
        index: its `kind`, and the share of an exhaustive search's first results that it gives.
    """

    split: str
    gallery: JudgedGallery
    runs: Sequence[RunResult]
    depth: int
    resamples: int
    seed: int
    index: Mapping[str, str | float]

    def run(self, pair: str, path: str, rerank: str = NO_RERANK) -> RunResult | None:
        """The run of that name, or None when the split has no such queries or the bundle no such path."""
        found = [run for run in self.runs if (run.pair, run.path, run.rerank) == (pair, path, rerank)]
        return found[0] if found else None

    def summary(self) -> dict[str, Any]:
        """JSON-able: who was searched and how deep, and every run's summary; a re-ranked run also has its `gain` over the
        plain one."""
        protocol = self.gallery.protocol
        depth = protocol.list_depth(self.depth, len(self.gallery))
        gallery = {
            "of": self.split if protocol.gallery == "split" else "train",
            "images": len(self.gallery),
            "items": len(set(self.gallery.item_ids)),
            "depth": min(depth, len(self.gallery)),
        }
        runs = []
        for run in self.runs:
            summary = run.summary(depth, self.resamples, self.seed, protocol)
            before = self.run(run.pair, run.path)
            if run.rerank != NO_RERANK and before is not None:
                summary["gain"] = self._gain(before, run)
            runs.append(summary)
        index = {
            name: round(value, DIGITS) if isinstance(value, float) else value for name, value in self.index.items()
        }
        return {"gallery": gallery, "index": index, "runs": runs}

    def _gain(self, before: RunResult, after: RunResult) -> dict[str, dict[str, float]]:
        """Paired on the same queries; `probability` is the share of resamples in which `after` is better."""
        items = after.queries.item_ids.astype(str)
        gains = {}
        for name, values in after.metrics.items():
            gain = paired_gain(before.metrics[name], values, items, self.resamples, self.seed)
            gains[name] = rounded(gain.interval) | {"probability": round(gain.probability, DIGITS)}
        return gains

    def table(self) -> pa.Table:
        """`RunResult.table` of every run, one below the other."""
        return pa.concat_tables([run.table(self.split) for run in self.runs])


def rounded(interval: Interval) -> dict[str, float]:
    """An interval for JSON: `value`, `low` and `high`, rounded to `DIGITS` digits."""
    return {name: round(getattr(interval, name), DIGITS) for name in ("value", "low", "high")}


def headline(summary: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """The values of a split without their intervals: run name -> metric -> value.

    A photo pair goes by its own name (`consumer->shop`), a sketch pair by its path (`sketch->shop.gan`), and a re-ranked
    run adds `+attributes`.
    """
    named: dict[str, dict[str, float]] = {}
    for run in summary["runs"]:
        suffix = "" if run["path"] == "encoder" else f".{run['path']}"
        rerank = "" if run["rerank"] == NO_RERANK else f"+{run['rerank']}"
        named[run["pair"] + suffix + rerank] = {name: found["value"] for name, found in run["metrics"].items()}
    return named
