"""Brings MLflow up to what DVC knows.

A stage that DVC restored from its cache, a fresh clone after `dvc pull`, a deleted mlruns/: in each case the files are
there and their runs are not. This makes the missing runs from dvc.lock and reports/runs/, then the pipeline run and the
registry entry from reports/ and models/bundles/. What is there already is kept, so a second call does nothing.

The registry comes back as far as this workspace knows it: the version that reports/registration.json names, as champion
if there is none and it was one, else as challenger. Earlier versions belong to earlier commits. Files of that version
that the artifact store has lost are put back; of other versions with an alias they are named.
"""

from __future__ import annotations

from pathlib import Path

import click

from croquis.bundle import Bundle
from croquis.bundle.manifest import BundleError
from croquis.cli.command_line import Invocation, command
from croquis.files import read_json
from croquis.params import load_params
from croquis.registry.evaluation_reports import EvaluationError
from croquis.registry.gating.verdict import PROMOTE
from croquis.registry.lineage import LAST_STAGE, stage_runs
from croquis.registry.promotion import challenge, first_champion
from croquis.registry.registering import Entry, choose, enter, publish
from croquis.registry.registration import AGAIN, CHALLENGER, FIRST, REPORT, Registration
from croquis.registry.registry import CHAMPION, RegisteredVersion, Registry, RegistryError
from croquis.serving.mlflow_model.packaging import log_retriever
from croquis.tracking.restore import RESTORED_TAG, restore_stages
from croquis.tracking.stage_key import read_lock, stage_key_from_lock
from croquis.tracking.tracking_store import Store, open_store


def restore_registration(store: Store, root: Path) -> list[str]:
    """Makes the pipeline run, the model version and its alias again where they are missing; says what it did."""
    if not (root / REPORT).is_file():
        return [f"no {REPORT} here, so the registry is not changed: dvc pull, or croquis repro"]
    params, registration = load_params(root / "params.yaml"), Registration.from_json(read_json(root / REPORT))
    choice = choose(params, root)
    if choice.bundle.hash != registration.bundle:
        raise EvaluationError(
            f"{REPORT} is about bundle {registration.bundle[:12]}, not {choice.bundle.hash[:12]}: croquis repro"
        )
    entry = enter(store, choice, params, root, log_retriever)
    registry, version = entry.registry, entry.version
    is_known = PROMOTE in version.tags
    if not is_known:
        registry.tag(version.number, registration.verdict.tags())
    if entry.run.is_new or not is_known:
        publish(entry, registration, params, root, {RESTORED_TAG: "true"})
    entry.run.nest(_runs_of_result(entry, root))
    return [
        f"{version} of {registry.model} {'is registered' if is_known else 'registered from models/bundles'}",
        *_put_back_files(entry, root),
        *(["pipeline run restored from reports/"] if entry.run.is_new else []),
        *_restore_alias(entry, registration.outcome),
        *_lost_files_of_others(entry),
    ]


def _runs_of_result(entry: Entry, root: Path) -> list[str]:
    """Of all stages in dvc.lock, `register` included."""
    last = read_lock(root).get("stages", {}).get(LAST_STAGE)
    own = stage_runs(entry.registry.store, {LAST_STAGE: stage_key_from_lock(last)}) if last else {}
    return [*entry.stage_runs.values(), *own.values()]


def lost_files(registry: Registry, version: RegisteredVersion) -> str:
    """What the artifact store lacks of a version; empty when it holds the bundle that was registered."""
    try:
        Bundle.load(registry.bundle_folder(version.number))
    except (RegistryError, BundleError) as error:
        return str(error)
    return ""


def _put_back_files(entry: Entry, root: Path) -> list[str]:
    registry, version = entry.registry, entry.version
    if not lost_files(registry, version):
        return []
    registry.put_back(version.number, lambda: log_retriever(entry.choice.bundle, entry.run.run_id, root))
    return [f"files of {version} were not in the artifact store: put back from models/bundles"]


def _lost_files_of_others(entry: Entry) -> list[str]:
    """A line for each other version with an alias that cannot be served."""
    held = [entry.registry.version(number) for number in sorted(set(entry.registry.aliases().values()))]
    found = [lost_files(entry.registry, version) for version in held if version.number != entry.version.number]
    return [line for line in found if line]


def _restore_alias(entry: Entry, outcome: str) -> list[str]:
    registry, version = entry.registry, entry.version
    if version.number in registry.aliases().values():
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
    root = invocation.project
    store = open_store(root)
    lines = [str(outcome) for outcome in restore_stages(store, root, read_lock(root))]
    print("\n".join(lines or ["dvc.lock names no stage that keeps a record: run `croquis repro` first"]))
    print("\n".join(restore_registration(store, root)))
    return 0
