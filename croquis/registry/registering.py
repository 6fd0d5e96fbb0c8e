"""What becomes of the evaluated retrievers: the choice by val, its pipeline run, its registered version."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

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
from croquis.registry.gating.gate import shown_above_baseline
from croquis.registry.gating.judging import SELECTED_ON, make_policy
from croquis.registry.gating.verdict import Scores, Verdict
from croquis.registry.leaderboard import REPORTED
from croquis.registry.lineage import DATA_HASH, LAST_STAGE, stage_keys, stage_runs, version_tags
from croquis.registry.model_card import model_note, publish_card
from croquis.registry.pipeline_run import PipelineRun, describe, result_key
from croquis.registry.promotion import challenge, first_champion
from croquis.registry.registration import AGAIN, CHALLENGER, FIRST, REFUSED, Registration
from croquis.registry.registry import RegisteredVersion, Registry
from croquis.tracking.mlflow_view import NOTE_TAG
from croquis.tracking.stage_code import method_facts
from croquis.tracking.stage_key import data_hash_from_lock, read_lock
from croquis.tracking.tracking_store import STAGE_EXPERIMENT, Store

LogModel = Callable[[Bundle, str, Path], str]
logger = logging.getLogger(__name__)

BASELINE = "histogram"  # what the leaderboard holds the others against


@dataclass(frozen=True)
class Choice:
    """The method that is proposed, and its bundle.

    Attributes:
        ranking: best on val first.
        chosen: the first of them that the gate's rule `baseline` lets through; the baseline itself where no better one is
            shown to be above it.
    """

    ranking: list[EvaluationReport]
    chosen: EvaluationReport
    measure: Measure
    bundle: Bundle
    reranked: bool

    def scores(self) -> Scores:
        """Its results on val, query by query, as `evaluate` stored them, with the level of chance, the baseline's, and
        those of a better one that was passed over."""
        return _scores(self.chosen, self.ranking, self.measure, self.reranked)

    @property
    def baseline(self) -> EvaluationReport | None:
        """None where it is not among `retrievers`."""
        return _baseline(self.ranking)

    @cached_property
    def above_floor(self) -> dict[str, Interval]:
        """How far each method is above the baseline on test; empty where it is not among `retrievers`."""
        floor = self.baseline
        if floor is None:
            return {}
        return gains(floor, (each for each in self.ranking if each is not floor), REPORTED, self.measure)

    def facts(self) -> dict[str, Any]:
        """What the report says of it, gains rounded to six places."""
        return {
            "method": self.chosen.method,
            "selected_by": f"{SELECTED_ON} {self.measure}",
            "values": {each.method: each.value(SELECTED_ON, self.measure, self.reranked) for each in self.ranking},
            "above_floor": {
                method: {name: round(value, 6) for name, value in asdict(gain).items()}
                for method, gain in self.above_floor.items()
            },
        }


def _baseline(ranking: Sequence[EvaluationReport]) -> EvaluationReport | None:
    return next((each for each in ranking if each.method == BASELINE), None)


def _scores(report: EvaluationReport, ranking: Sequence[EvaluationReport], measure: Measure, reranked: bool) -> Scores:
    asked = (SELECTED_ON, measure, reranked)
    own, baseline = replace(report.scores(*asked), chance=report.chance(*asked)), _baseline(ranking)
    if report is baseline:
        return own if report is ranking[0] else replace(own, rival=ranking[0].scores(*asked))
    return own if baseline is None else replace(own, baseline=baseline.scores(*asked))


def choose(params: Params, root: Path) -> Choice:
    """The best evaluated method on val of those that are shown to be above the baseline; the baseline where none is.

    Raises:
        EvaluationError: when a report is missing, or is not about the bundle that stands in models/bundles.
    """
    measure, reranked = Measure.parse(params.register_.select_by), params.rerank.enabled
    evaluations = read_evaluations(root / "reports/evaluation", params.retrievers)
    ranking = rank(evaluations, SELECTED_ON, measure, reranked)
    policy, best = make_policy(params), ranking[0]
    shown = (each for each in ranking if shown_above_baseline(_scores(each, ranking, measure, reranked), policy))
    chosen = next(shown, best)
    bundle = Bundle.load(root / "models/bundles" / chosen.method, threads=params.base.threads)
    if bundle.hash != chosen.bundle:
        raise EvaluationError(
            f"{chosen.path} is about bundle {chosen.bundle[:12]}, {bundle.folder} is {bundle.hash[:12]}; "
            f"run `dvc repro evaluate@{chosen.method}`"
        )
    if chosen is not best:
        logger.warning(
            "%s is best on val, and is not shown to be above %s with %.0f %% confidence, so %s is proposed",
            *(best.method, BASELINE, 100 * policy.confidence, chosen.method),
        )
    elif not (facts := method_facts(root))[best.method]["learns"] and any(
        facts[each.method]["learns"] for each in ranking
    ):
        logger.warning("the best method on val is %s, which learns nothing: look at the trainings", best.method)
    return Choice(ranking, chosen, measure, bundle, reranked)


@dataclass(frozen=True)
class Entry:
    """The chosen retriever in the store: the run of the pipeline's result and the version, both made or found again.

    Attributes:
        stage_runs: DVC's stage name -> id of the run, of every stage that the result was made by.
    """

    registry: Registry
    choice: Choice
    run: PipelineRun
    version: RegisteredVersion
    stage_runs: Mapping[str, str]


def enter(store: Store, choice: Choice, params: Params, root: Path, log: LogModel) -> Entry:
    """Begins the run and registers the chosen bundle with its lineage, unless they exist.

    Args:
        log: makes an MLflow model of the bundle, `croquis.serving.mlflow_model.packaging.log_retriever`.
    """
    registry, bundle = Registry(store, params.register_.model_name), choice.bundle
    lock, method, values = read_lock(root), bundle.manifest.method, params.model_dump(by_alias=True)
    runs = stage_runs(store, stage_keys(lock))
    lineage, data = version_tags(root, method, runs), {DATA_HASH: data_hash_from_lock(lock) or ""}
    run = PipelineRun(store, result_key(root, choice.ranking, values), {**lineage, **data}, values)
    version = registry.register(bundle.hash, method, lineage, lambda: log(bundle, run.run_id, root))
    return Entry(registry, choice, run, version, runs)


def settle(entry: Entry, verdict: Verdict) -> str:
    """Writes the verdict on the version, and gives it the alias that follows; returns the outcome."""
    registry, version = entry.registry, entry.version
    if verdict.against == version.bundle_hash:
        return AGAIN
    registry.tag(version.number, verdict.tags())
    if not verdict.promote:
        return REFUSED
    if verdict.against is None and first_champion(registry, version.number):
        return FIRST
    challenge(registry, version.number)
    return CHALLENGER


def publish(
    entry: Entry,
    registration: Registration,
    params: Params,
    root: Path,
    tags: Mapping[str, str] | None = None,
    own_run: str | None = None,
) -> None:
    """Writes the version's card, and completes the run: verdict, description, figures, files, nested runs, and `tags`.

    Args:
        own_run: id of the run of the stage `register`, where it is the one that publishes.
    """
    choice, version, registry, measure = entry.choice, entry.version, entry.registry, entry.choice.measure
    publish_card(registry, version.number, choice.bundle, choice.chosen, params, root)
    registry.describe_model(model_note(registry.model, measure))
    runs = {**entry.stage_runs, **({LAST_STAGE: own_run} if own_run else {})}
    page = f"#/experiments/{registry.store.experiment(STAGE_EXPERIMENT)}/runs"
    link = f"[{registry.model} {version.number}](#/models/{registry.model}/versions/{version.number})"
    own = {
        "outcome": registration.outcome,
        "method": choice.chosen.method,
        "bundle_hash": choice.bundle.hash,
        "model_version": str(version.number),
        NOTE_TAG: describe(choice.ranking, choice.chosen, measure, link, runs, page),
    }
    shown = {**registration.verdict.tags(), **own, **(tags or {})}
    entry.run.close(root, choice.ranking, choice.chosen, shown, registry.model_id(version.number))
    entry.run.nest(runs.values())
    columns = (f"{REPORTED}/{measure}", f"{SELECTED_ON}/{measure}", f"{REPORTED}/{measure.pair}/map@r", "val/score")
    registry.store.show(columns)
