"""Makes the bundle of a registered version again, in a scratch clone, and compares it byte for byte.

The clone stands at the version's commit, with the dvc.lock and params.yaml that the version was made by, and reads your own
files from this working tree's data/source, as they are now. Nothing of this working tree, of the registry or of DVC's
cache changes.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from croquis.bundle import Bundle
from croquis.files import read_json, sha256_file
from croquis.registry.lineage import PACKAGES, Lineage, installed, lock_hash
from croquis.registry.pipeline_run import ENVIRONMENT, LOCK, PARAMS
from croquis.registry.rebuild.bundle_differences import bundle_differences, environment_differences, lock_differences
from croquis.registry.rebuild.scratch_clone import CloneError, ScratchClone, has_remote, scratch_clone
from croquis.registry.registry import RegisteredVersion, Registry, RegistryError
from croquis.tracking.stage_key import read_lock

ALL, MODELS = "all", "models"
DATA = ("data/catalog", "data/code", "data/learned_from", "data/sketches")  # what the trainings depend on
LEARNING = ("train_gan", "train_classifier")


@dataclass(frozen=True)
class Rebuilt:
    """What came of it.

    Attributes:
        how: where the bundle comes from, in words.
        bundle: the bundle's differences, empty when byte-identical.
        reasons: what may explain them: stages, environment, files that were not in the commit.
    """

    version: RegisteredVersion
    found: str
    how: str
    bundle: list[str]
    reasons: list[str]

    def __str__(self) -> str:
        head = [f"{self.version}: {self.how}"]
        if not self.bundle:
            return "\n".join([*head, f"byte-identical: bundle hash {self.found}", *self._listed("also", self.reasons)])
        differs = f"DIFFERS: bundle hash {self.version.bundle_hash} -> {self.found}"
        why = self.reasons or ["nothing that was recorded differs: see docs/registry.md on processors"]
        return "\n".join(
            [*head, differs, *self._listed("in the bundle", self.bundle), *self._listed("on the way", why)]
        )

    def _listed(self, title: str, lines: Sequence[str]) -> list[str]:
        return [f"{title}:", *(f"  {line}" for line in lines)] if lines else []


def rebuild_version(
    registry: Registry, version: RegisteredVersion, root: Path, compute: str | None = None, keep: Path | None = None
) -> Rebuilt:
    """Makes the version's bundle again and compares.

    Args:
        compute: `all` or `models`; None to restore what DVC has, and compute only where it lacks the bundle.
        keep: folder for the clone, which then stays.

    Raises:
        RegistryError: when the version's lineage is not complete.
        CloneError: when the clone cannot be made, or a stage fails in it.
    """
    lineage = Lineage.of(version.tags)
    if not lineage.commit or not version.run_id:
        lacking = ", ".join(lineage.missing) or "its pipeline run"
        raise RegistryError(f"{version} cannot be rebuilt, it lacks {lacking}: register it from a git repository")
    with TemporaryDirectory() as folder:
        made_by = _made_by(registry, version, lineage, Path(folder))
        environment = read_json(made_by / ENVIRONMENT)
        (made_by / ENVIRONMENT).unlink()
        with scratch_clone(root, lineage.commit, made_by, keep) as clone:
            how = make_bundle(clone, version.method, compute, has_remote(root))
            expected = Bundle.load(registry.bundle_folder(version.number))
            found = Bundle.load(clone.folder / "models/bundles" / version.method)
            differing = bundle_differences(expected, found)
            reasons = [
                *lock_differences(read_lock(made_by), clone.lock()),
                *_other_packages(lineage, clone.folder),
                *(environment_differences(environment, installed()) if differing else ()),
                *(
                    ["the version was made with files that differed from the commit (git.dirty)"]
                    if lineage.dirty
                    else []
                ),
            ]
            return Rebuilt(version, found.hash, how, differing, reasons)


def make_bundle(clone: ScratchClone, method: str, compute: str | None, remote: bool) -> str:
    """Leaves models/bundles/METHOD in the clone; returns how, in words."""
    if compute is None:
        where = _restore(clone, [f"models/bundles/{method}"], remote)
        if where is not None:
            return f"restored from DVC's {where}"
        print("DVC has not kept the bundle, so it is computed", file=sys.stderr)
    if compute != ALL and _restore(clone, DATA, remote) is not None:
        stages = [*LEARNING, f"train_embedder@{method}", f"index@{method}"]
        # Forced, or DVC would believe the lock; not committed, as the cache is that of the main repository.
        clone.dvc("repro", "--force", "--no-run-cache", "--no-commit", "--single-item", *stages)
        return "trained and packed again on the restored data"
    if compute == MODELS:
        raise CloneError(f"DVC has not kept {', '.join(DATA)} of this version: use --compute all")
    clone.dvc("repro", "--force", "--no-run-cache", "--no-commit", f"index@{method}")
    return "computed again from the source"


def _restore(clone: ScratchClone, paths: Sequence[str], remote: bool) -> str | None:
    """Where DVC found outputs, which are in their places now; None when it has not kept them."""
    if clone.try_dvc("checkout", *paths):
        return "cache"
    return "remote" if remote and clone.try_dvc("pull", *paths) else None


def _made_by(registry: Registry, version: RegisteredVersion, lineage: Lineage, folder: Path) -> Path:
    """dvc.lock, params.yaml and the environment, as the version's pipeline run keeps them."""
    from mlflow.artifacts import download_artifacts

    with registry.store.here():
        for name in (LOCK, PARAMS, ENVIRONMENT):
            try:
                download_artifacts(run_id=version.run_id, artifact_path=name, dst_path=str(folder))
            except Exception as error:  # MLflow's stores share no base class
                raise RegistryError(f"run {version.run_id} of {version} does not hold {name}: {error}") from error
    if lock_hash(read_lock(folder)) != lineage.lock_hash:
        raise RegistryError(f"{LOCK} of run {version.run_id} is not the one that {version} was made by (dvc.lock_hash)")
    return folder


def _other_packages(lineage: Lineage, clone: Path) -> list[str]:
    here = sha256_file(clone / PACKAGES) if (clone / PACKAGES).is_file() else "absent"
    return [] if here == lineage.environment else [f"{PACKAGES} {lineage.environment[:12] or 'absent'} -> {here[:12]}"]
