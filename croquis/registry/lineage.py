"""From a registered version back to what made it: commit, dvc.lock, data, stage runs, environment; and forth again."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path
from typing import TYPE_CHECKING, Any

from croquis.files import sha256_file
from croquis.tracking.environment import experiment_name
from croquis.tracking.git import git_state
from croquis.tracking.mlflow_mirror import runs_with_key
from croquis.tracking.stage_key import data_hash_from_lock, read_lock, stage_key_from_lock
from croquis.tracking.tracking_store import STAGE_EXPERIMENT, Store

if TYPE_CHECKING:
    from croquis.registry.registry import RegisteredVersion

# Its entry comes into dvc.lock only after it has run, so it cannot be part of what it writes down.
LAST_STAGE = "register"
PACKAGES = "locks/pipeline.txt"
COMMIT, DIRTY, LOCK_HASH, DATA_HASH = "git.commit", "git.dirty", "dvc.lock_hash", "data.hash"
STAGE_KEYS, STAGE_RUNS, ENVIRONMENT = "dvc.stage_keys", "stage_runs", "environment.lock_hash"
HASHES = "lineage"  # the tag of a version that holds the others than COMMIT and DIRTY, as JSON
COMPLETE = (COMMIT, LOCK_HASH, DATA_HASH, STAGE_KEYS, STAGE_RUNS, ENVIRONMENT)


@dataclass(frozen=True)
class Lineage:
    """What the tags of a version say about where it comes from.

    Attributes:
        commit: git commit that HEAD was at.
        dirty: whether files differed from it, other than what the pipeline writes.
        lock_hash, data_hash: of dvc.lock without `register`, and of the catalogue in it.
        stage_keys, stage_runs: by DVC's stage name, of the stages that led to the version; other methods' are left out.
        environment: SHA-256 of locks/pipeline.txt.
        missing: tags that the version lacks.
    """

    commit: str
    dirty: bool
    lock_hash: str
    data_hash: str
    stage_keys: Mapping[str, str]
    stage_runs: Mapping[str, str]
    environment: str
    missing: tuple[str, ...]

    @classmethod
    def of(cls, tags: Mapping[str, str]) -> Lineage:
        """Reads the tags of a version; what an older release did not record is empty."""
        method = tags.get("method", "")
        tags = {**tags, **json.loads(tags.get(HASHES, "{}"))}  # a version of an earlier release has a tag for each

        def led_here(facts: str) -> dict[str, str]:
            return led_to(method, json.loads(facts))

        return cls(
            commit=tags.get(COMMIT, ""),
            dirty=tags.get(DIRTY) == "true",
            lock_hash=tags.get(LOCK_HASH, ""),
            data_hash=tags.get(DATA_HASH, ""),
            stage_keys=led_here(tags.get(STAGE_KEYS, "{}")),
            stage_runs=led_here(tags.get(STAGE_RUNS, "{}")),
            environment=tags.get(ENVIRONMENT, ""),
            missing=tuple(name for name in COMPLETE if tags.get(name, "") in ("", "{}")),
        )

    def names(self) -> list[str]:
        """Every id and hash that leads here."""
        hashes = [self.commit, self.lock_hash, self.data_hash, self.environment]
        return [*hashes, *self.stage_keys.values(), *self.stage_runs.values()]


def led_to(method: str, facts: Mapping[str, str]) -> dict[str, str]:
    """Of facts by DVC's stage name those of stages that lead to a method's bundle."""
    return {name: fact for name, fact in facts.items() if "@" not in name or name.endswith(f"@{method}")}


def made_from(versions: Iterable[RegisteredVersion], found: str) -> list[RegisteredVersion]:
    """The versions that a commit, a hash, a stage key or the id of a stage run led to; a beginning of 7 characters will do.

    Raises:
        ValueError: when `found` is shorter.
    """
    if len(found) < 7:
        raise ValueError(f"{found!r} is too short to mean one commit, hash or run: give at least 7 characters")
    return [
        version
        for version in versions
        if any(name.startswith(found) for name in (version.bundle_hash, *Lineage.of(version.tags).names()))
    ]


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


def version_tags(root: Path, method: str, runs: Mapping[str, str]) -> dict[str, str]:
    """Lineage of the retriever of a method that the pipeline in `root` has just made: commit and experiment, and every hash
    and id in one tag.

    Args:
        runs: of `stage_runs`.
    """
    lock, state, experiment = read_lock(root), git_state(root), experiment_name()
    hashes = {
        LOCK_HASH: lock_hash(lock),
        DATA_HASH: data_hash_from_lock(lock) or "",
        STAGE_KEYS: _compact(led_to(method, stage_keys(lock))),
        STAGE_RUNS: _compact(led_to(method, runs)),
        ENVIRONMENT: sha256_file(root / PACKAGES) if (root / PACKAGES).is_file() else "",
    }
    held = {name: value for name, value in hashes.items() if value}
    tags = {HASHES: _compact(held), "dvc.experiment": experiment or "", **(state.tags() if state else {})}
    return {name: value for name, value in tags.items() if value}


def installed() -> dict[str, str]:
    """What computes here: the version of Python, the kind of machine, and each installed distribution's version."""
    read = (each.metadata for each in distributions())  # each time that it is asked for, the file is parsed again
    found = {metadata["Name"].lower(): metadata["Version"] for metadata in read if metadata["Name"]}
    machine = f"{platform.system()} {platform.machine()}"
    return {"(machine)": machine, "(python)": platform.python_version(), **dict(sorted(found.items()))}


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
