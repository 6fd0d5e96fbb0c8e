"""From a registered version back to what made it: commit, dvc.lock, data, stage runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tracking.environment import experiment_name
from tracking.git import git_state
from tracking.projection import runs_with_key
from tracking.stage_key import data_hash_from_lock, read_lock, stage_key_from_lock
from tracking.store import STAGE_EXPERIMENT, Store

# Its entry comes into dvc.lock only after it has run, so it cannot be part of what it writes down.
LAST_STAGE = "register"


def lock_hash(lock: Mapping[str, Any]) -> str:
    """SHA-256 of what dvc.lock says about every stage but `register`."""
    stages = {name: entry for name, entry in (lock.get("stages") or {}).items() if name != LAST_STAGE}
    return hashlib.sha256(json.dumps(stages, sort_keys=True, default=str).encode()).hexdigest()


def stage_keys(lock: Mapping[str, Any]) -> dict[str, str]:
    """DVC's stage name -> stage key, for every stage in dvc.lock but `register`."""
    entries = (lock.get("stages") or {}).items()
    return {name: stage_key_from_lock(entry) for name, entry in sorted(entries) if name != LAST_STAGE}


def stage_runs(store: Store, keys: Mapping[str, str]) -> dict[str, str]:
    """DVC's stage name -> id of the newest run with its key; stages without a run are left out."""
    experiment = store.experiment(STAGE_EXPERIMENT)
    found = {name: runs_with_key(store, experiment, key) for name, key in keys.items()}
    return {name: str(runs[0].info.run_id) for name, runs in found.items() if runs}


def version_tags(store: Store, root: Path) -> dict[str, str]:
    """Lineage of whatever the pipeline in `root` has just made."""
    lock, state, experiment = read_lock(root), git_state(root), experiment_name()
    keys = stage_keys(lock)
    tags = {
        "dvc.lock_hash": lock_hash(lock),
        "data.hash": data_hash_from_lock(lock) or "",
        "dvc.stage_keys": _compact(keys),
        "stage_runs": _compact(stage_runs(store, keys)),
        "dvc.experiment": experiment or "",
        **(state.tags() if state else {}),
    }
    return {name: value for name, value in tags.items() if value}


def files_hash(root: Path, paths: Iterable[Path]) -> str:
    """SHA-256 over the names and contents of files, in name order."""
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(
            f"{path.relative_to(root).as_posix()}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode()
        )
    return digest.hexdigest()


def _compact(value: Mapping[str, str]) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
