"""Stage `register`: the best retriever on val becomes a version in the registry, and is judged against the champion.

Without a champion the first candidate that passes becomes one. Otherwise a candidate that passes becomes `challenger`,
and `croquis registry promote` is a person's decision. Unlike the other stages this one fails without a tracking
store: a registration that nobody can find is none.

Writes reports/registration.json: the choice, the verdict, and the bundles compared; nothing that differs from run to run.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from croquis.files import write_json
from croquis.params import load_params
from croquis.registry.gating.judging import AGAIN, FIRST, REPORT, SELECTED_ON, Judgement, judge
from croquis.registry.leaderboard import closing_words
from croquis.registry.model_card import publish_card
from croquis.registry.pipeline_run import PipelineRun, describe
from croquis.registry.promotion import challenge, first_champion
from croquis.registry.registering import CHALLENGER, REFUSED, Choice, begin_result, choose, register_version
from croquis.registry.registry import RegisteredVersion, Registry
from croquis.serving.mlflow_model.packaging import log_retriever
from croquis.tracking.environment import quiet
from croquis.tracking.stage_run import stage_run
from croquis.tracking.tracking_store import open_store
from stages import run_stage


def main(root: Path = Path()) -> None:
    quiet()
    root = root.resolve()  # MLflow's calls are made in the store's folder
    params = load_params(root / "params.yaml")
    store = open_store(root)
    choice = choose(params, root)
    registry = Registry(store, params.register_.model_name)
    with stage_run("register", params=params.register_.model_dump(), root=root) as run:
        result = begin_result(store, choice, params, root)
        version = register_version(registry, choice, result.run_id, root, log_retriever)
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
    sys.exit(run_stage(main, __doc__))
