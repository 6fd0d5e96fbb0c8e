"""The study `rerank`: weights, depth, overlap and gallery attributes of the re-ranking, on val, without any training.

Only the ratio of alpha and beta matters, so `share` = beta / (alpha + beta) is searched: 0 is no re-ranking, 0.5 trades one
rank for one shared attribute, 1 sorts by attributes alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from params import Params
from params.loader import LARGEST_REPORTED_K
from params.retrieval import Rerank
from retrieval.catalog import Catalog
from retrieval.protocol import PROTOCOLS
from retrieval.rerank import OVERLAPS
from retrieval.retriever import Retriever
from tracking.evaluations import Measure, rank, read_evaluations
from tuning.shortlist import SOURCES, Shortlists, collect
from tuning.task import Point, Space, Tried, TuneError, differing, folder_hash, significant, study_name

SPLIT = "val"


class RerankTask:
    """Searches the block `rerank` of params.yaml for one bundle.

    Args:
        method: whose bundle; None for the best on val by reports/evaluation.
        metric: `PAIR/METRIC`, or a metric of the pair in `register.select_by`; None for all of the latter.

    Raises:
        TuneError: without catalogue or bundle, or when there is nothing to re-rank by.
    """

    def __init__(self, params: Params, root: Path, method: str | None = None, metric: str | None = None) -> None:
        self.measured = parse_metric(params, metric)
        self.method = method or best_method(params, root, self.measured)
        self._params, self._root = params, root
        self._retriever = open_bundle(root / "models/bundles" / self.method, params.base.threads)
        self.metric = f"{SPLIT}/{self.method}/{self.measured}"
        self.seed = params.base.seed
        self.pruner: optuna.pruners.BasePruner | None = None
        self._lists = self._collect()
        self.space: Space = search_space(params, self._lists.rows.shape[1])
        present = point_of(params.rerank)
        self.anchors: Sequence[Point] = [present, {**present, "share": 0.0}]
        self.anchor_names: Sequence[str] = ["params.yaml", "no re-ranking"]
        self.name = study_name(f"rerank-{self.method}", self._decides(), self.space)

    def measure(self, trial: optuna.trial.BaseTrial) -> Tried:
        return Tried(self.value(trial.params), self.settings(trial.params), {})

    def value(self, point: Mapping[str, Any]) -> float:
        alpha, beta = weights(point["share"])
        return self._lists.score(
            self.measured.metric,
            alpha=alpha,
            beta=beta,
            depth=point["depth"],
            overlap=point["overlap"],
            source=point["gallery_attributes"],
        )

    def settings(self, point: Mapping[str, Any]) -> dict[str, Any]:
        """The block `rerank`; where not re-ranking is best, it is switched off and its weights stay as they are."""
        alpha, beta = weights(point["share"])
        if beta == 0:
            return {"rerank.enabled": False}
        if point == self.anchors[0]:  # as spelt: 2 and 3 are not to become 1 and 1.5
            alpha, beta = self._params.rerank.alpha, self._params.rerank.beta
        return {
            "rerank.enabled": True,
            "rerank.depth": point["depth"],
            "rerank.alpha": alpha,
            "rerank.beta": beta,
            "rerank.overlap": point["overlap"],
            "rerank.gallery_attributes": point["gallery_attributes"],
        }

    def changes(self, point: Mapping[str, Any]) -> dict[str, Any]:
        return differing(self._params, self.settings(point))

    def _collect(self) -> Shortlists:
        catalogue, drawn = self._root / "data/catalog", self._root / "data/sketches"
        if not catalogue.is_dir():
            raise TuneError(f"{catalogue} does not exist: run `make repro` first")
        sketches = Catalog.open(drawn) if drawn.exists() else None
        asked = self._params.evaluate
        return collect(
            self._retriever,
            Catalog.open(catalogue),
            sketches,
            self.measured.pair,
            SPLIT,
            asked.depth,
            asked.chunk,
            PROTOCOLS[self._params.base.protocol],
        )

    def _decides(self) -> dict[str, Any]:
        """The bundle's files count, its manifest does not: that holds the very weights that are searched."""
        files = self._retriever.bundle.manifest.files
        asked = ["data/sketches"] if self.measured.pair.startswith("sketch") else []
        folders = {name: folder_hash(self._root / name) for name in ["data/catalog", *asked]}
        hashes = {name: entry.sha256 for name, entry in files.items()}
        rules = {"depth": self._params.evaluate.depth, "protocol": self._params.base.protocol}
        return {"files": hashes, "metric": self.metric, **rules, **folders}


def search_space(params: Params, longest: int) -> dict[str, BaseDistribution]:
    """`longest` is the length of the lists: a greater depth would change nothing."""
    least = LARGEST_REPORTED_K + 1
    deepest = max(least, min(longest, params.evaluate.depth), params.rerank.depth)
    return {
        "share": FloatDistribution(0.0, 1.0),
        "depth": IntDistribution(least, deepest, log=True),
        "overlap": CategoricalDistribution(OVERLAPS),
        "gallery_attributes": CategoricalDistribution(SOURCES),
    }


def weights(share: float) -> tuple[float, float]:
    """(alpha, beta) of a share, rounded as they will stand in params.yaml; the larger ratios have beta = 1.

    >>> weights(0.5), weights(0.75), weights(0.0), weights(1.0)
    ((1.0, 1.0), (1.0, 3.0), (1.0, 0.0), (0.0, 1.0))
    """
    if share > 0.9:
        return significant((1 - share) / share), 1.0
    return 1.0, significant(share / (1 - share))


def point_of(block: Rerank) -> Point:
    """Where in the search space a block `rerank` lies; weights of 0 and 0 do nothing, as a share of 0."""
    both = block.alpha + block.beta
    return {
        "share": block.beta / both if both else 0.0,
        "depth": block.depth,
        "overlap": block.overlap,
        "gallery_attributes": block.gallery_attributes,
    }


def parse_metric(params: Params, asked: str | None) -> Measure:
    """`hit@5` or `sketch->shop/mrr`; checked by the schema's own rule for `register.select_by`."""
    chosen = Measure.parse(params.register_.select_by)
    if asked is None:
        return chosen
    text = asked if "/" in asked else f"{chosen.pair}/{asked}"
    try:
        type(params.register_).model_validate({**params.register_.model_dump(), "select_by": text})
    except ValueError:
        raise TuneError(
            f"--metric {asked!r} is not known; e.g. hit@1, map@r, mrr, or with a pair: consumer->shop/map@r"
        ) from None
    return Measure.parse(text)


def best_method(params: Params, root: Path, measure: Measure) -> str:
    """The best retriever on val before re-ranking."""
    folder = root / "reports/evaluation"
    if not all((folder / f"{method}.json").is_file() for method in params.retrievers):
        raise TuneError(f"{folder} lacks reports on {', '.join(params.retrievers)}: run `make repro` first")
    return rank(read_evaluations(folder, params.retrievers), SPLIT, measure, reranked=False)[0].method


def open_bundle(folder: Path, threads: int) -> Retriever:
    if not (folder / "manifest.json").is_file():
        raise TuneError(f"{folder} holds no bundle: run `make repro` first")
    return Retriever.load(folder, threads=threads)
