"""MLflow runs made again from what DVC keeps: dvc.lock and the records of the stages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from croquis.tracking.environment import PIPELINE_FILE
from croquis.tracking.git import commit_of
from croquis.tracking.mlflow_mirror import FINISHED, KEY_TAG, STAGE_TAG, RunMirror, runs_with_key
from croquis.tracking.record import ARTIFACTS_FOLDER, RECORD_FILE, RUNS, RunRecord, folder_name
from croquis.tracking.stage_key import signature_from_lock
from croquis.tracking.tracking_store import STAGE_EXPERIMENT, Store, TrackingError

RESTORED_TAG = "croquis.restored"
PRESENT, RESTORED, MISSING, DIFFERENT = "present", "restored", "no record", "differs"


@dataclass(frozen=True)
class StageOutcome:
    """What `restore_stages` found or did about one stage of dvc.lock."""

    name: str
    outcome: str

    def __str__(self) -> str:
        return f"{self.name:<28} {EXPLAINED[self.outcome]}"


EXPLAINED = {
    PRESENT: "has its run",
    RESTORED: "run restored from its record",
    MISSING: "has no record here: dvc pull, or dvc repro",
    DIFFERENT: "has a record that is not the one in dvc.lock: dvc checkout, or dvc repro",
}


def restore_stages(store: Store, root: Path, lock: Mapping[str, Any]) -> list[StageOutcome]:
    """Makes the missing run of every stage in dvc.lock that keeps a record; returns the outcome of each."""
    entries = {name: entry for name, entry in (lock.get("stages") or {}).items() if keeps_record(name, entry)}
    changed = changed_records(root, list(entries))
    return [StageOutcome(name, _restore(store, root, name, entry, name in changed)) for name, entry in entries.items()]


def keeps_record(name: str, entry: Mapping[str, Any]) -> bool:
    """Whether a stage of dvc.lock has the folder of its record among its outputs."""
    folder = (RUNS / folder_name(name)).as_posix()
    return any(out["path"].rstrip("/") == folder for out in entry.get("outs") or [])


def changed_records(root: Path, names: list[str]) -> set[str]:
    """Stages whose record folder exists but is not what dvc.lock says, by DVC's own hash; none outside a DVC project."""
    if not (root / ".dvc").is_dir() or not (root / PIPELINE_FILE).is_file():
        return set()
    from dvc.repo import Repo
    from dvc.stage.exceptions import StageNotFound

    changed = set()
    with Repo(str(root)) as repo:
        for name in names:
            folder = root / RUNS / folder_name(name)
            try:
                stage = repo.stage.load_one(path=str(root / PIPELINE_FILE), name=name)
            except StageNotFound:
                continue
            own = [out for out in stage.outs if Path(out.fs_path) == folder]
            if folder.is_dir() and any(out.changed_checksum() for out in own):
                changed.add(name)
    return changed


def _restore(store: Store, root: Path, name: str, entry: Mapping[str, Any], is_changed: bool) -> str:
    signature = signature_from_lock(entry)
    runs = runs_with_key(store, store.experiment(STAGE_EXPERIMENT), signature.key)
    if any(run.info.status == FINISHED for run in runs):
        return PRESENT
    folder = root / RUNS / folder_name(name)
    if not (folder / RECORD_FILE).is_file():
        return MISSING
    if is_changed:
        return DIFFERENT
    record, commit = RunRecord.read(folder), commit_of(root, "dvc.lock")
    tags = {STAGE_TAG: name, RESTORED_TAG: "true", "git.commit": commit or "", "data.hash": signature.data_hash or ""}
    projection = RunMirror(store)
    projection.start(name, {tag: value for tag, value in tags.items() if value}, record.params, is_live=False)
    projection.mirror(record, folder / ARTIFACTS_FOLDER)
    # The key comes last: a kill before this leaves no run that counts as restored.
    projection.tags({KEY_TAG: signature.key})
    projection.finish(FINISHED)
    if projection.store is None:
        raise TrackingError(f"the tracking store {store.shown} failed while {name} was restored; run this again")
    return RESTORED
