"""Brings MLflow up to what DVC knows.

A stage that DVC restored from its cache, a fresh clone after `dvc pull`, a deleted mlruns/: in each case the files are
there and their runs are not. This makes the missing runs from dvc.lock and reports/runs/, then the pipeline run and the
registry entry from reports/ and models/bundles/. What is there already is left alone, so a second call does nothing.

The registry comes back as far as this workspace knows it: the version that reports/registration.json names, as champion
if there is none and it was one, else as challenger. Earlier versions belong to earlier commits. Files of that version
that the artifact store has lost are put back; of other versions with an alias they are named.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from croquis.bundle import Bundle
from croquis.bundle.manifest import BundleError
from croquis.cli.command_line import Invocation, command
from croquis.files import read_json
from croquis.params import Params, load_params
from croquis.registry.evaluation_reports import EvaluationError
from croquis.registry.gating.judging import AGAIN, FIRST, REPORT, verdict_tags
from croquis.registry.gating.verdict import Reason, Verdict
from croquis.registry.model_card import publish_card
from croquis.registry.pipeline_run import describe
from croquis.registry.promotion import challenge, first_champion
from croquis.registry.registering import CHALLENGER, REFUSED, Choice, begin_result, choose, register_version
from croquis.registry.registry import CHAMPION, RegisteredVersion, Registry, RegistryError
from croquis.serving.mlflow_model.packaging import log_retriever
from croquis.tracking.restore import restore_stages
from croquis.tracking.stage_key import read_lock
from croquis.tracking.tracking_store import Store, open_store


def sync(root: Path) -> int:
    """Makes the runs, the pipeline run and the registry entry that are missing, and prints each.

    Raises:
        TrackingError, RegistryError: when the tracking store cannot be used.
        ParamsError, EvaluationError, BundleError: when files are missing, or are not about the same bundle.
    """
    store = open_store(root)
    lines = [str(outcome) for outcome in restore_stages(store, root, read_lock(root))]
    print("\n".join(lines or ["dvc.lock names no stage that keeps a record: run `croquis repro` first"]))
    print("\n".join(restore_registration(store, root)))
    return 0


def restore_registration(store: Store, root: Path) -> list[str]:
    """Makes the pipeline run, the model version and its alias again where they are missing; says what it did."""
    if not (root / REPORT).is_file():
        return [f"no {REPORT} here, so the registry is left alone: dvc pull, or croquis repro"]
    params, report = load_params(root / "params.yaml"), read_json(root / REPORT)
    choice = choose(params, root)
    if choice.bundle.hash != report["bundle"]:
        raise EvaluationError(
            f"{REPORT} is about bundle {report['bundle'][:12]}, not {choice.bundle.hash[:12]}: croquis repro"
        )
    return [
        *_restore_version(store, choice, params, report, root),
        *_restore_alias(store, choice, report["outcome"], params),
        *_lost_files(Registry(store, params.register_.model_name), choice.bundle.hash),
    ]


def _restore_version(store: Store, choice: Choice, params: Params, report: Mapping[str, Any], root: Path) -> list[str]:
    registry = Registry(store, params.register_.model_name)
    result, known = begin_result(store, choice, params, root), registry.with_bundle(choice.bundle.hash)
    version = known or register_version(registry, choice, result.run_id, root, log_retriever)
    if known is None:
        registry.tag(version.number, verdict_from_report(report))
        publish_card(registry, version.number, choice.bundle, choice.best, params, root)
    lines = [f"{version} of {registry.model} {'is registered' if known else 'registered from models/bundles'}"]
    if known and lost_files(registry, known):
        registry.put_back(known.number, lambda: log_retriever(choice.bundle, result.run_id, root))
        lines.append(f"files of {known} were not in the artifact store: put back from models/bundles")
    if result.is_new:
        note = {"mlflow.note.content": describe(store, choice.ranking, choice.measure, root)}
        own = {"method": choice.best.method, "bundle_hash": choice.bundle.hash, "model_version": str(version.number)}
        result.close(root, choice.ranking, {**own, **note, "croquis.restored": "true"})
        lines.append("pipeline run restored from reports/")
    return lines


def lost_files(registry: Registry, version: RegisteredVersion) -> str:
    """What the artifact store lacks of a version; empty when it holds the bundle that was registered."""
    try:
        Bundle.load(registry.bundle_folder(version.number))
    except (RegistryError, BundleError) as error:
        return str(error)
    return ""


def _lost_files(registry: Registry, restored: str) -> list[str]:
    """A line for each version with an alias that cannot be served, but for the one with the bundle `restored`."""
    held = [registry.version(number) for number in sorted(set(registry.aliases().values()))]
    found = [lost_files(registry, version) for version in held if version.bundle_hash != restored]
    return [line for line in found if line]


def verdict_from_report(report: Mapping[str, Any]) -> dict[str, str]:
    """The gate's verdict as reports/registration.json tells it, which is all but the latency."""
    if report["outcome"] == AGAIN:  # the verdict that made it champion stands in an earlier report
        return {}
    reasons = [Reason(each["rule"], each["passed"], each["text"], each["figures"]) for each in report["reasons"]]
    verdict = Verdict(report["outcome"] != REFUSED, tuple(reasons))
    return verdict_tags(verdict, report["champion"])


def _restore_alias(store: Store, choice: Choice, outcome: str, params: Params) -> list[str]:
    registry = Registry(store, params.register_.model_name)
    version = registry.with_bundle(choice.bundle.hash)
    if version is None or version.number in registry.aliases().values():
        return []
    if outcome in (FIRST, AGAIN) and first_champion(registry, version.number):
        return [f"{version} is champion again"]
    if outcome == CHALLENGER:
        challenge(registry, version.number)
        missing = "" if registry.holder(CHAMPION) else "; the champion it was judged against is not in this workspace"
        return [f"{version} is challenger again{missing}"]
    return []


@command(__doc__)
@click.pass_obj
def sync_command(invocation: Invocation) -> int:
    invocation.set_up_logging()
    return sync(invocation.project)
