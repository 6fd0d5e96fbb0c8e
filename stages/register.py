"""Stage `register`: the best retriever on val becomes a version in the registry, and is judged against the champion.

Without a champion the first candidate that passes becomes one. Otherwise a candidate that passes becomes `challenger`,
and `python -m croquis.cli.promote --apply` is a person's decision. Unlike the other stages this one fails without a tracking
store: a registration that nobody can find is none.

Writes reports/registration.json: the choice, the verdict, and the bundles compared; nothing that differs from run to run.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from croquis.bundle import Bundle
from croquis.evaluation.bootstrap import Interval
from croquis.files import read_json, write_json
from croquis.params import Params, load_params
from croquis.registry.evaluation_reports import Evaluation, EvaluationError, Measure, gains, rank, read_evaluations
from croquis.registry.judging import AGAIN, FIRST, REPORT, SELECTED_ON, Judgement, judge
from croquis.registry.leaderboard import REPORTED, closing_words
from croquis.registry.lineage import version_tags
from croquis.registry.model_card import publish_card
from croquis.registry.pipeline_run import PipelineRun, describe, result_key
from croquis.registry.promotion import challenge, first_champion
from croquis.registry.registry import RegisteredVersion, Registry
from croquis.registry.verdict import Scores
from croquis.tracking.environment import quiet
from croquis.tracking.stage_run import stage_run
from croquis.tracking.tracking_store import Store, open_store

logger = logging.getLogger(__name__)

BASELINE = "histogram"  # what the leaderboard holds the others against
METHODS_FACTS = Path("data/code/methods.json")

CHALLENGER, REFUSED = "challenger", "refused"


@dataclass(frozen=True)
class Choice:
    """The best method on val, and its bundle."""

    ranking: list[Evaluation]
    measure: Measure
    bundle: Bundle
    reranked: bool

    @property
    def best(self) -> Evaluation:
        return self.ranking[0]

    def scores(self) -> Scores:
        """Its results on val, query by query, as `evaluate` stored them."""
        return self.best.scores(SELECTED_ON, self.measure, self.reranked)

    @cached_property
    def above_floor(self) -> dict[str, Interval]:
        """How far each method is above the floor on test; empty where the floor is not among `retrievers`."""
        floor = next((each for each in self.ranking if each.method == BASELINE), None)
        if floor is None:
            return {}
        return gains(floor, (each for each in self.ranking if each is not floor), REPORTED, self.measure)


def main(root: Path = Path()) -> None:
    quiet()
    root = root.resolve()  # MLflow's calls are made in the store's folder
    params = load_params(root / "params.yaml")
    store = open_store(root)
    choice = choose(params, root)
    registry = Registry(store, params.register_.model_name)
    with stage_run("register", params=params.register_.model_dump(), root=root) as run:
        result = begin_result(store, choice, params, root)
        version = register_version(registry, choice, result.run_id, root)
        judgement = judge(registry, choice.bundle, choice.scores(), version, params, root)
        outcome = act(registry, version, judgement)
        write_json(root / REPORT, report(choice, judgement, outcome))
        publish_card(registry, version.number, choice.bundle, choice.best, params, root)
        finish_result(result, registry, choice, version, judgement, outcome, root)
        run.metric(str(choice.measure), choice.best.value(SELECTED_ON, choice.measure, choice.reranked))
        run.tag("method", choice.best.method)
        run.tag("outcome", outcome)
    verdict = judgement.verdict
    print(closing_words(choice.ranking, choice.above_floor, choice.measure, registry, version, verdict, outcome))


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
    if not read_json(root / METHODS_FACTS)[best.method]["learns"]:
        logger.warning("the best method on val is %s, which learns nothing: look at the trainings", best.method)
    return Choice(ranking, measure, bundle, reranked)


def begin_result(store: Store, choice: Choice, params: Params, root: Path) -> PipelineRun:
    values = params.model_dump(by_alias=True)
    return PipelineRun(store, result_key(root, choice.ranking, values), version_tags(store, root), values)


def register_version(registry: Registry, choice: Choice, run_id: str, root: Path) -> RegisteredVersion:
    """The version that holds the chosen bundle; made, with its lineage, unless it exists."""
    from croquis.serving.mlflow_model.packaging import log_retriever

    tags = version_tags(registry.store, root)
    bundle = choice.bundle
    return registry.register(bundle.hash, bundle.manifest.method, tags, lambda: log_retriever(bundle, run_id, root))


def act(registry: Registry, version: RegisteredVersion, judgement: Judgement) -> str:
    """Sets aliases and the verdict's tags; returns what became of the candidate."""
    if judgement.champion is not None and judgement.champion.number == version.number:
        return AGAIN
    registry.tag(version.number, judgement.tags())
    if not judgement.verdict.promote:
        return REFUSED
    if judgement.champion is None and first_champion(registry, version.number):
        return FIRST
    challenge(registry, version.number)
    return CHALLENGER


def report(choice: Choice, judgement: Judgement, outcome: str) -> dict[str, Any]:
    """What goes into reports/registration.json."""
    steady = [reason for reason in judgement.verdict.reasons if not reason.volatile]
    values = {each.method: each.value(SELECTED_ON, choice.measure, choice.reranked) for each in choice.ranking}
    return {
        "method": choice.best.method,
        "bundle": choice.bundle.hash,
        "selected_by": f"{SELECTED_ON} {choice.measure}",
        "values": values,
        "above_floor": {
            method: {name: round(value, 6) for name, value in asdict(gain).items()}
            for method, gain in choice.above_floor.items()
        },
        "champion": judgement.champion.bundle_hash if judgement.champion else None,
        "outcome": outcome,
        "reasons": [reason.to_json() for reason in steady],
    }


def finish_result(
    result: PipelineRun,
    registry: Registry,
    choice: Choice,
    version: RegisteredVersion,
    judgement: Judgement,
    outcome: str,
    root: Path,
) -> None:
    """Completes the pipeline run: verdict, version, description, figures and files."""
    tags: Mapping[str, str] = {
        **judgement.tags(),
        "outcome": outcome,
        "method": choice.best.method,
        "bundle_hash": choice.bundle.hash,
        "model_version": str(version.number),
        "mlflow.note.content": describe(registry.store, choice.ranking, choice.measure, root),
    }
    result.close(root, choice.ranking, tags)


if __name__ == "__main__":
    main()
