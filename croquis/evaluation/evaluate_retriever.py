"""`evaluate`: how good a retriever is on a catalogue, in one call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from croquis.catalog.table import Catalog
from croquis.evaluation.bootstrap import Interval
from croquis.evaluation.evaluate_bundle import EvaluationSettings, evaluate_split
from croquis.evaluation.metrics import headline_metrics
from croquis.evaluation.protocol import PROTOCOLS, ProtocolError
from croquis.evaluation.results import NO_RERANK, SplitResult
from croquis.search.local_retriever import LocalRetriever

if TYPE_CHECKING:
    from croquis.search.interface import Searches

CHUNK = 64  # queries held at a time: bounds the memory, changes no figure
EDGE_SIZE = 128  # side of the edge maps, pixels: the size of the drawings


@dataclass(frozen=True)
class EvaluatedRun:
    """The figures of one way of answering one pair of domains.

    Attributes:
        pair: e.g. `consumer->shop`.
        path: how queries became vectors, e.g. `encoder`; for sketches `gan`, `direct` or `edges`.
        rerank: `none`, or the steps of the re-ranking, e.g. `attributes`.
        queries: how many were asked, at least 1.
        metrics: name, e.g. `hit@1` -> value in [0, 1] with its 95 % interval.
        chance: name -> value of a ranking at random.
    """

    pair: str
    path: str
    rerank: str
    queries: int
    metrics: dict[str, Interval]
    chance: dict[str, float]


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` found; `print` shows the table.

    Attributes:
        split: whose queries were asked.
        protocol: its name.
        rows: one per pair of domains, path and re-ranking, in the order of measuring.
        result: every query with its ranks (`result.table()`), for paired comparisons.
    """

    split: str
    protocol: str
    rows: Sequence[EvaluatedRun]
    result: SplitResult

    def row(self, pair: str = "consumer->shop", path: str = "encoder", rerank: str = NO_RERANK) -> EvaluatedRun:
        """The figures of one pair, path and re-ranking.

        Raises:
            KeyError: when that was not measured, naming what was.
        """
        for row in self.rows:
            if (row.pair, row.path, row.rerank) == (pair, path, rerank):
                return row
        measured = ", ".join(_name(row) for row in self.rows)
        raise KeyError(f"{pair} {path} + {rerank} was not measured; measured: {measured}")

    def __str__(self) -> str:
        names = list(headline_metrics(self.rows[0].metrics))
        lines = [f"{self.split + ', ' + self.protocol:<40}{'queries':>8}" + "".join(f"{name:>12}" for name in names)]
        for row in self.rows:
            values = "".join(f"{row.metrics[name].value:>12.3f}" for name in names)
            lines.append(f"{_name(row):<40}{row.queries:>8}{values}")
        return "\n".join(lines)


def evaluate(
    retriever: Searches | str | Path,
    catalog: Catalog | str | Path,
    split: str = "test",
    protocol: str = "instance",
    *,
    sketches: Catalog | str | Path | None = None,
    depth: int = 1000,
    resamples: int = 1000,
    seed: int = 7,
    edges: str = "canny",
    reencode_gallery: bool = False,
) -> Evaluation:
    """Measures a retriever on every pair of domains and path that it and the split allow, as the stage `evaluate` does.

        >>> from croquis import Catalog, evaluate
        >>> found = evaluate("models/bundles/siamese", Catalog.open("data/catalog"), resamples=100)
        >>> 0 <= found.row("consumer->shop").metrics["hit@1"].value <= 1
        True

    Args:
        retriever: of a bundle (`Retriever.load` of a folder or of models:/), or the bundle's folder.
        catalog: photos, or their folder: the gallery, and the queries of the photo pairs.
        split: `val` or `test` (or `train`, to see over-fitting).
        protocol: what is right, and who is searched: one of `croquis.evaluation.protocol.PROTOCOLS`.
        sketches: the queries of `sketch->shop`, or their folder; None for none.
        depth: length of the ranked lists, at least the largest reported k.
        resamples: of the bootstrap over query items, at least 1.
        seed: of the bootstrap.
        edges: how edge maps are made of photos, `canny`, `xdog` or `drawn`.
        reencode_gallery: encode the gallery afresh, for a bundle that was built on another catalogue.

    Raises:
        ProtocolError: when the protocol is unknown, the split has no gallery or no query with an answer, or the bundle lacks
            gallery photos.
        TypeError: when the retriever is that of a server.
    """
    if protocol not in PROTOCOLS:
        raise ProtocolError(f"protocol is {protocol!r}, must be one of {', '.join(PROTOCOLS)}")
    settings = EvaluationSettings(depth, resamples, CHUNK, seed, edges, EDGE_SIZE, PROTOCOLS[protocol])
    drawn = None if sketches is None else _catalog(sketches)
    opened = _local(retriever)
    result = evaluate_split(opened, _catalog(catalog), drawn, split, settings, reencode_gallery=reencode_gallery)
    return Evaluation(split, protocol, [_measured(run) for run in result.summary()["runs"]], result)


def _local(retriever: Searches | str | Path) -> LocalRetriever:
    if isinstance(retriever, str | Path):
        return LocalRetriever.load(retriever)
    if not isinstance(retriever, LocalRetriever):
        kind = type(retriever).__name__
        raise TypeError(
            f"a {kind} cannot be evaluated, the bundle is needed: Retriever.load(folder or models:/NAME@ALIAS)"
        )
    return retriever


def _catalog(catalog: Catalog | str | Path) -> Catalog:
    return catalog if isinstance(catalog, Catalog) else Catalog.open(catalog)


def _measured(run: dict[str, Any]) -> EvaluatedRun:
    found = run["metrics"]
    intervals = {name: Interval(each["value"], each["low"], each["high"]) for name, each in found.items()}
    chance = {name: each["chance"] for name, each in found.items()}
    return EvaluatedRun(run["pair"], run["path"], run["rerank"], run["queries"], intervals, chance)


def _name(row: EvaluatedRun) -> str:
    return f"{row.pair} {row.path}" + ("" if row.rerank == NO_RERANK else f" + {row.rerank}")
