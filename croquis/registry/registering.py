"""What becomes of the evaluated retrievers: the choice of the best on val, its pipeline run, its registered version."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from croquis.bundle import Bundle
from croquis.evaluation.bootstrap import Interval
from croquis.params import Params
from croquis.registry.evaluation_reports import (
    EvaluationError,
    EvaluationReport,
    Measure,
    gains,
    rank,
    read_evaluations,
)
from croquis.registry.gating.judging import SELECTED_ON
from croquis.registry.gating.verdict import Scores
from croquis.registry.leaderboard import REPORTED
from croquis.registry.lineage import version_tags
from croquis.registry.pipeline_run import PipelineRun, result_key
from croquis.registry.registry import RegisteredVersion, Registry
from croquis.tracking.stage_code import method_facts
from croquis.tracking.tracking_store import Store

LogModel = Callable[[Bundle, str, Path], str]
logger = logging.getLogger(__name__)

BASELINE = "histogram"  # what the leaderboard holds the others against
CHALLENGER, REFUSED = "challenger", "refused"  # outcomes, beside judging's FIRST and AGAIN


@dataclass(frozen=True)
class Choice:
    """The best method on val, and its bundle."""

    ranking: list[EvaluationReport]
    measure: Measure
    bundle: Bundle
    reranked: bool

    @property
    def best(self) -> EvaluationReport:
        return self.ranking[0]

    def scores(self) -> Scores:
        """Its results on val, query by query, as `evaluate` stored them, with the level of chance and the baseline's."""
        asked = (SELECTED_ON, self.measure, self.reranked)
        baseline = None if self.baseline in (None, self.best) else self.baseline.scores(*asked)
        return replace(self.best.scores(*asked), chance=self.best.chance(*asked), baseline=baseline)

    @property
    def baseline(self) -> EvaluationReport | None:
        """None where it is not among `retrievers`."""
        return next((each for each in self.ranking if each.method == BASELINE), None)

    @cached_property
    def above_floor(self) -> dict[str, Interval]:
        """How far each method is above the baseline on test; empty where it is not among `retrievers`."""
        floor = self.baseline
        if floor is None:
            return {}
        return gains(floor, (each for each in self.ranking if each is not floor), REPORTED, self.measure)


def choose(params: Params, root: Path) -> Choice:
    """The best evaluated method on val.

    Raises:
        EvaluationError: when a report is missing, or is not about the bundle that stands in models/bundles.
    """
    measure, reranked = Measure.parse(params.register_.select_by), params.rerank.enabled
    evaluations = read_evaluations(root / "reports/evaluation", params.retrievers)
    ranking = rank(evaluations, SELECTED_ON, measure, reranked)
    best = ranking[0]
    bundle = Bundle.load(root / "models/bundles" / best.method, threads=params.base.threads)
    if bundle.hash != best.bundle:
        raise EvaluationError(
            f"{best.path} is about bundle {best.bundle[:12]}, {bundle.folder} is {bundle.hash[:12]}; "
            f"run `dvc repro evaluate@{best.method}`"
        )
    if not method_facts(root)[best.method]["learns"]:
        logger.warning("the best method on val is %s, which learns nothing: look at the trainings", best.method)
    return Choice(ranking, measure, bundle, reranked)


def begin_result(store: Store, choice: Choice, params: Params, root: Path) -> PipelineRun:
    values = params.model_dump(by_alias=True)
    return PipelineRun(store, result_key(root, choice.ranking, values), version_tags(store, root), values)


def register_version(registry: Registry, choice: Choice, run_id: str, root: Path, log: LogModel) -> RegisteredVersion:
    """The version that holds the chosen bundle; made, with its lineage, unless it exists.

    Args:
        log: makes an MLflow model of the bundle, `croquis.serving.mlflow_model.packaging.log_retriever`.
    """
    tags = version_tags(registry.store, root)
    bundle = choice.bundle
    return registry.register(bundle.hash, bundle.manifest.method, tags, lambda: log(bundle, run_id, root))
