"""What becomes of the evaluated retrievers: the choice of the best on val, its pipeline run and version, what is told."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from croquis.bundle import Bundle
from croquis.evaluation.bootstrap import Interval
from croquis.evaluation.metrics import headline_metrics
from croquis.files import read_json
from croquis.params import Params
from croquis.registry.evaluation_reports import Evaluation, EvaluationError, Measure, gains, rank, read_evaluations
from croquis.registry.judging import SELECTED_ON
from croquis.registry.lineage import version_tags
from croquis.registry.pipeline_run import PipelineRun, result_key
from croquis.registry.registry import CHAMPION, RegisteredVersion, Registry
from croquis.registry.verdict import Scores, Verdict
from croquis.tracking.tracking_store import Store

LogModel = Callable[[Bundle, str, Path], str]
logger = logging.getLogger(__name__)

BASELINE = "histogram"  # what the leaderboard holds the others against
REPORTED = "test"
METHODS_FACTS = Path("data/code/methods.json")
CHALLENGER, REFUSED = "challenger", "refused"  # outcomes, beside judging's FIRST and AGAIN


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


def register_version(registry: Registry, choice: Choice, run_id: str, root: Path, log: LogModel) -> RegisteredVersion:
    """The version that holds the chosen bundle; made, with its lineage, unless it exists.

    Args:
        log: makes an MLflow model of the bundle, `croquis.serving.mlflow_model.packaging.log_retriever`.
    """
    tags = version_tags(registry.store, root)
    bundle = choice.bundle
    return registry.register(bundle.hash, bundle.manifest.method, tags, lambda: log(bundle, run_id, root))


def closing_words(
    ranking: Sequence[Evaluation],
    above: Mapping[str, Interval],
    measure: Measure,
    registry: Registry,
    version: RegisteredVersion,
    verdict: Verdict,
    outcome: str,
) -> str:
    """The whole text; `ranking` is best on val first, `above` says how far methods are above the floor on test."""
    return "\n\n".join(
        [
            leaderboard(ranking, above, measure),
            "\n".join([f"{version}: {outcome}", *(f"  {line}" for line in verdict.summary().splitlines())]),
            champion_line(registry),
            next_commands(outcome),
        ]
    )


def leaderboard(ranking: Sequence[Evaluation], above: Mapping[str, Interval], measure: Measure) -> str:
    """Methods by test figures, in order of val; a star marks the chosen one.

    The last column is the gain in what methods are chosen by, with its 95 % interval over the same queries.
    """
    head = f"{REPORTED} split, {measure.pair}; chosen (*) by val {measure.metric}"
    columns = headline_metrics(ranking[0].run(REPORTED, measure.pair)["metrics"])
    names = f"  {'method':<14}" + "".join(f"{metric:>9}" for metric in columns) + "   hit@1 95 %    above histogram"
    lines = [head, names]
    for place, evaluation in enumerate(ranking):
        found = evaluation.run(REPORTED, measure.pair)["metrics"]
        values = "".join(f"{found[metric]['value']:>9.3f}" for metric in columns)
        interval = f"{found['hit@1']['low']:.3f}-{found['hit@1']['high']:.3f}"
        line = f"{'*' if place == 0 else ' '} {evaluation.method:<14}{values}   {interval}"
        gain = above.get(evaluation.method)
        lines.append(line if gain is None else f"{line}   {gain.value:+.3f} ({gain.low:+.3f} to {gain.high:+.3f})")
    return "\n".join(lines)


def champion_line(registry: Registry) -> str:
    champion = registry.holder(CHAMPION)
    if champion is None:
        return f"{registry.model} has no champion: no candidate has passed yet. See register: in params.yaml"
    return f"champion of {registry.model}: {champion}"


def next_commands(outcome: str) -> str:
    """Three commands; where a challenger waits, how to promote it comes first."""
    commands = [
        ("make ui", "see every run, picture and model version"),
        ("make serve", "search with the champion"),
        ("croquis registry status", "see what a promotion would change"),
    ]
    if outcome == "challenger":
        commands.insert(0, ("croquis registry promote", "make the challenger champion"))
    return "\n".join(["next:", *(f"  {command:<36} {purpose}" for command, purpose in commands)])
