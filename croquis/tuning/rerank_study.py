"""The study `rerank`: the settings of the re-ranking's steps, on val, without any training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna

from croquis.catalog.table import Catalog
from croquis.evaluation.protocol import PROTOCOLS
from croquis.params import Params
from croquis.registry.evaluation_reports import Measure, rank, read_evaluations
from croquis.search.local_retriever import LocalRetriever
from croquis.settings import SearchSpace
from croquis.tuning.rerank_space import (
    block_of,
    is_off,
    point_of,
    search_space,
    settings_of,
    switched_off,
    without_evidence,
)
from croquis.tuning.search_values import holding
from croquis.tuning.shortlist import Shortlists, collect
from croquis.tuning.task import (
    Point,
    TuneError,
    differing,
    folder_hash,
    rounded,
    said,
    study_name,
    without,
)

SPLIT = "val"


class RerankTask:
    """Searches the block `rerank` of params.yaml for one bundle.

    Args:
        method: whose bundle; None for the best on val by reports/evaluation.
        metric: `PAIR/METRIC`, or a metric of the pair in `register.select_by`; None for all of the latter.
        space: keys of the block to search instead of all of its steps', e.g. `rerank.depth`.

    Raises:
        TuneError: without catalogue or bundle, or when there is nothing to re-rank by.
    """

    def __init__(
        self,
        params: Params,
        root: Path,
        method: str | None = None,
        metric: str | None = None,
        space: SearchSpace | None = None,
    ) -> None:
        self.measured = parse_metric(params, metric)
        self.method = method or best_method(params, root, self.measured)
        self._params, self._root = params, root
        self._retriever = open_bundle(root / "models/bundles" / self.method, params.base.threads)
        self.metric = f"{SPLIT}/{self.method}/{self.measured}"
        self.seed = params.base.seed
        self.pruner: optuna.pruners.BasePruner | None = None
        self._lists = self._collect()
        self._keys = set(space or ())
        self.space: SearchSpace
        self.anchors: Sequence[Point]
        self.anchor_names: Sequence[str]
        if space is not None:
            present = said(params, space)
            self.space, self.anchors, self.anchor_names = holding(space, present), [present], ["params.yaml"]
        else:
            present = point_of(params.rerank)
            self.space = search_space(params, self._lists.ranked.rows.shape[1])
            self.anchors, self.anchor_names = [present, switched_off(present)], ["params.yaml", "no re-ranking"]
        self.name = study_name(f"rerank-{self.method}", self._decides(), self.space)

    def measure(self, trial: optuna.trial.BaseTrial) -> float:
        return self.value(trial.params)

    def value(self, point: Mapping[str, Any]) -> float:
        """The metric on val at a point, by the stored lists."""
        return self._lists.score(self.measured.metric, block_of(self._params.rerank, self.settings(point)))

    def settings(self, point: Mapping[str, Any]) -> dict[str, Any]:
        """The block `rerank`; where not re-ranking is best, it is switched off and the rest stays as it is."""
        if self._keys:
            return {"rerank.enabled": True, **rounded(point)}
        if is_off(point):
            return {"rerank.enabled": False}
        found = settings_of(point, self._params.rerank.steps)
        if point == self.anchors[0]:  # as spelt: 2 and 3 are not to become 1 and 1.5
            found |= {f"rerank.{name}": getattr(self._params.rerank, name) for name in ("alpha", "beta")}
        return found

    def changes(self, point: Mapping[str, Any]) -> dict[str, Any]:
        return differing(self._params, self.settings(point))

    def _collect(self) -> Shortlists:
        catalogue = self._root / "data/catalog"
        if not catalogue.is_dir():
            raise TuneError(f"{catalogue} does not exist: run `make repro` first")
        sketches = Catalog.open_if_any(self._root / "data/sketches")
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
            self._params.rerank.steps,
        )

    def _decides(self) -> dict[str, Any]:
        """The bundle's files count, its manifest does not: that holds the very weights that are searched. The steps do:
        other ones are another search."""
        files = self._retriever.bundle.manifest.files
        asked = ["data/sketches"] if self.measured.pair.startswith("sketch") else []
        folders = {name: folder_hash(self._root / name) for name in ["data/catalog", *asked]}
        hashes = {name: entry.sha256 for name, entry in files.items()}
        rules = {"depth": self._params.evaluate.depth, "protocol": self._params.base.protocol}
        steps = without_evidence(self._params.rerank.steps)
        rest = without(self._params, "rerank", [*self._keys, "rerank.enabled"]) if self._keys else {}
        return {"files": hashes, "metric": self.metric, "steps": steps, "rerank": rest, **rules, **folders}


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


def open_bundle(folder: Path, threads: int) -> LocalRetriever:
    """The retriever of a method's bundle.

    Raises:
        TuneError: when the folder holds none.
    """
    if not (folder / "manifest.json").is_file():
        raise TuneError(f"{folder} holds no bundle: run `make repro` first")
    return LocalRetriever.load(folder, threads=threads)
