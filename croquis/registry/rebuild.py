"""Makes the bundle of a registered version again, in a git worktree at its commit, and compares the hash.

The worktree has the dvc.lock and params.yaml that the version was made by, and reads your own files from this working tree's
data/source, as they are now. Nothing of this working tree or of the registry changes; DVC's cache gains only what is pulled.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from croquis.bundle import Bundle
from croquis.files import read_json
from croquis.registry.lineage import Lineage, installed, lock_hash
from croquis.registry.pipeline_run import ENVIRONMENT, LOCK, PARAMS
from croquis.registry.registry import RegisteredVersion, Registry, RegistryError
from croquis.tracking.record import flatten
from croquis.tracking.stage_key import read_lock, stage_key_from_lock

ALL, MODELS = "all", "models"
LEARNING = ("train_classifier", "train_gan")  # in this order: the second depends on the first
# What is computed stays out of the cache, which is that of the main repository.
REPRO = ("repro", "--no-run-cache", "--no-commit")
# The worktree keeps its runs to itself, and does not take itself for an experiment of the main repository.
NOT_PASSED_ON = ("MLFLOW_", "DVC_", "GIT_DIR", "GIT_INDEX", "GIT_WORK")
SOURCE = "data/source"  # where sources look for a person's files, of which neither git nor DVC knows
STDERR = 2


class RebuildError(RuntimeError):
    """The worktree cannot be made or a command in it failed; the message names what and how to go on."""


@dataclass(frozen=True)
class Rebuilt:
    """What came of it.

    Attributes:
        found: the hash of the bundle that was made.
        how: where it comes from, in words.
        differences: of bundle, stages and environment, one line each; empty when the bundle is byte-identical.
    """

    version: RegisteredVersion
    found: str
    how: str
    differences: list[str]

    def __str__(self) -> str:
        head = f"{self.version}: {self.how}"
        if not self.differences:
            return f"{head}\nbyte-identical: bundle hash {self.found}"
        lines = [head, f"DIFFERS: bundle hash {self.version.bundle_hash} -> {self.found}"]
        return "\n".join([*lines, *(f"  {line}" for line in self.differences)])


def rebuild_version(
    registry: Registry, version: RegisteredVersion, root: Path, compute: str | None = None, keep: Path | None = None
) -> Rebuilt:
    """Makes the version's bundle again and compares.

    Args:
        compute: `all` or `models`; None to restore what DVC has, and compute only where it lacks the bundle.
        keep: folder for the worktree, which then stays.

    Raises:
        RegistryError: when the version's lineage is not complete.
        RebuildError: when the worktree cannot be made, or a stage fails in it.
    """
    lineage = Lineage.of(version.tags)
    if not lineage.commit or not version.run_id:
        lacking = ", ".join(lineage.missing) or "its pipeline run"
        raise RegistryError(f"{version} cannot be rebuilt, it lacks {lacking}: register it from a git repository")
    with TemporaryDirectory(prefix="croquis-rebuild-") as temporary:
        made_by, folder = Path(temporary, "made-by"), keep.resolve() if keep else Path(temporary, "worktree")
        _download(registry, version, lineage, made_by)
        _add_worktree(root, folder, lineage.commit)
        try:
            for name in (LOCK, PARAMS):
                shutil.copyfile(made_by / name, folder / name)
            _share(root, folder)
            how = make_bundle(folder, version.method, compute)
            found = Bundle.load(folder / "models/bundles" / version.method)
            differences: list[str] = []
            if found.hash != version.bundle_hash:
                expected = Bundle.load(registry.bundle_folder(version.number))
                differences = [
                    *changes("bundle", flatten(expected.manifest.to_json()), flatten(found.manifest.to_json())),
                    *changes("dvc.lock", lock_facts(read_lock(made_by)), lock_facts(read_lock(folder))),
                    *changes("installed", read_json(made_by / ENVIRONMENT), installed()),
                    *(["files differed from the commit when it was made (git.dirty)"] if lineage.dirty else []),
                ]
        finally:
            if keep is None:
                _git(root, "worktree", "remove", "--force", str(folder))
    return Rebuilt(version, found.hash, how, differences)


def make_bundle(folder: Path, method: str, compute: str | None) -> str:
    """Leaves models/bundles/METHOD in the worktree; returns how, in words."""
    last = f"index@{method}"
    if compute == ALL:
        run_dvc(folder, *REPRO, "--force", last)
        return "computed again from the source"
    if compute == MODELS:
        run_dvc(folder, *REPRO, "--pull", "prepare", "learned_from")  # the last of the stages that make data
        run_dvc(folder, *REPRO, "--force", "--single-item", *LEARNING, f"train_embedder@{method}", last)
        return "trained and packed again on the restored data"
    try:
        run_dvc(folder, "pull", "--quiet", f"models/bundles/{method}")
        return "restored from DVC's cache or remote"
    except RebuildError:
        print("DVC has not kept the bundle, so it is computed", file=sys.stderr)
        run_dvc(folder, *REPRO, "--pull", last)
        return "computed again where DVC has not kept what it needs"


def changes(kind: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    """`KIND: NAME BEFORE -> AFTER` for each value that differs, by name; long values are cut."""
    for name in sorted({*before, *after}):
        old, new = before.get(name, "absent"), after.get(name, "absent")
        if old != new:
            yield f"{kind}: {name} {old!s:.60} -> {new!s:.60}"


def lock_facts(lock: Mapping[str, Any]) -> dict[str, str]:
    """The key of each stage's inputs, and DVC's hash of each of its outputs.

    A stage whose outputs differ although its inputs do not is where equal work gave different bytes.
    """
    facts = {}
    for name, entry in (lock.get("stages") or {}).items():
        facts[f"{name} inputs"] = stage_key_from_lock(entry)[:12]
        facts |= {f"{name} {out['path']}": str(out.get("md5", "")) for out in entry.get("outs") or []}
    return facts


def run_dvc(folder: Path, *arguments: str) -> None:
    """Runs a DVC command in the worktree; what its stages print goes to stderr.

    Raises:
        RebuildError: when it fails.
    """
    command = [sys.executable, "-m", "dvc", *arguments]
    if subprocess.run(command, cwd=folder, env=_environment(), check=False, stdout=STDERR).returncode:
        raise RebuildError(f"`dvc {' '.join(arguments)}` failed in {folder}, see above")


def _download(registry: Registry, version: RegisteredVersion, lineage: Lineage, folder: Path) -> None:
    """dvc.lock, params.yaml and the environment, as the version's pipeline run keeps them."""
    for name in (LOCK, PARAMS, ENVIRONMENT):
        registry.run_file(version, name, folder)
    if lock_hash(read_lock(folder)) != lineage.lock_hash:
        raise RegistryError(f"{LOCK} of run {version.run_id} is not the one that {version} was made by (dvc.lock_hash)")


def _add_worktree(root: Path, folder: Path, commit: str) -> None:
    if folder.exists() and any(folder.iterdir()):
        raise RebuildError(f"{folder} is not empty: name another folder, or remove it")
    said = _git(root, "worktree", "add", "--quiet", "--detach", str(folder), commit)
    if said:
        raise RebuildError(
            f"git cannot check out commit {commit[:12]} of {root}: {said}; fetch the branch it was made on "
            "(git fetch --all), or the repository that made this version"
        )


def _share(root: Path, folder: Path) -> None:
    """Cache and remotes of `root` by absolute paths, and its data/source. Where there is no remote the cache is its own, as
    `--pull` asks for one."""
    from dvc.repo import Repo

    with Repo(str(root)) as main, Repo(str(folder)) as worktree, worktree.config.edit("local") as local:
        cache = main.cache.local_cache_dir
        local["cache"] = {"dir": cache}
        local["core"] = {"remote": main.config["core"].get("remote") or "cache"}
        local["remote"] = {"cache": {"url": cache}} | {
            name: dict(settings) for name, settings in main.config["remote"].items()
        }
    if (root / SOURCE).is_dir() and not (folder / SOURCE).exists():
        (folder / SOURCE).parent.mkdir(exist_ok=True)
        (folder / SOURCE).symlink_to(root / SOURCE, target_is_directory=True)


def _git(root: Path, *arguments: str) -> str:
    """What git says against it; empty when it did it."""
    command = ["git", "-C", str(root), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=_environment())
    return (done.stderr.strip() or f"exit code {done.returncode}") if done.returncode else ""


def _environment() -> dict[str, str]:
    """This process's, so that `python` in dvc.yaml is the one that runs here."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(NOT_PASSED_ON)}
    return kept | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', '')}", "DVC_NO_ANALYTICS": "1"}
