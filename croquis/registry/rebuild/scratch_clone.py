"""A throw-away clone of this repository at the commit of a version, with the dvc.lock and params.yaml of that version."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from croquis.tracking.stage_key import read_lock

# The clone keeps its runs to itself, and does not take itself for an experiment of the main repository.
NOT_PASSED_ON = ("MLFLOW_", "DVC_", "GIT_DIR", "GIT_INDEX", "GIT_WORK")
STDERR = 2
SOURCE = "data/source"  # where sources look for a person's files, of which neither git nor DVC knows


class CloneError(RuntimeError):
    """The clone cannot be made or a command in it failed; the message names what and how to go on."""


@dataclass(frozen=True)
class ScratchClone:
    """A clone at `folder`."""

    folder: Path

    def lock(self) -> dict[str, Any]:
        return read_lock(self.folder)

    def dvc(self, *arguments: str) -> None:
        """Runs a DVC command in the clone; what its stages print goes to stderr.

        Raises:
            CloneError: when it fails.
        """
        if self._dvc(arguments, stdout=STDERR):
            raise CloneError(f"`dvc {' '.join(arguments)}` failed in {self.folder}, see above")

    def try_dvc(self, *arguments: str) -> bool:
        """As `dvc`, in silence; whether it did."""
        return self._dvc(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 0

    def _dvc(self, arguments: tuple[str, ...], **where: int) -> int:
        command = [sys.executable, "-m", "dvc", *arguments]
        return subprocess.run(command, cwd=self.folder, env=_environment(), check=False, **where).returncode  # type: ignore[call-overload, no-any-return]


@contextmanager
def scratch_clone(root: Path, commit: str, files: Path, keep: Path | None = None) -> Iterator[ScratchClone]:
    """Clones `root` at `commit`; DVC in the clone reads the cache and the remotes of `root`, and its sources data/source.

    Args:
        files: folder with the version's dvc.lock and params.yaml.
        keep: where to make it, and leave it; by default a temporary folder, removed when the block ends.

    Raises:
        CloneError: when git does not know the commit, or `keep` is in use.
    """
    with TemporaryDirectory(prefix="croquis-rebuild-") as temporary:
        folder = Path(temporary) / "clone" if keep is None else keep.resolve()
        if folder.exists() and any(folder.iterdir()):
            raise CloneError(f"{folder} is not empty: name another folder, or remove it")
        _git("clone", "--quiet", "--no-checkout", "--shared", str(root), str(folder))
        if _git("cat-file", "-e", f"{commit}^{{commit}}", at=folder, check=False):
            raise CloneError(
                f"commit {commit[:12]} is not in {root}: fetch the branch it was made on (git fetch --all), or the "
                "repository that made this version"
            )
        _git("checkout", "--quiet", "--detach", commit, at=folder)
        for path in files.iterdir():
            shutil.copyfile(path, folder / path.name)
        _share_cache(root, folder)
        if (root / SOURCE).is_dir() and not (folder / SOURCE).exists():
            (folder / SOURCE).parent.mkdir(exist_ok=True)
            (folder / SOURCE).symlink_to(root / SOURCE, target_is_directory=True)
        yield ScratchClone(folder)


def has_remote(root: Path) -> bool:
    from dvc.repo import Repo

    with Repo(str(root)) as repo:
        return bool(repo.config["core"].get("remote"))


def _share_cache(root: Path, folder: Path) -> None:
    """Cache and remotes by absolute paths: relative ones in .dvc/config start at another place in the clone."""
    from dvc.repo import Repo

    with Repo(str(root)) as main, Repo(str(folder)) as clone, clone.config.edit("local") as local:
        local["cache"] = {"dir": main.cache.local_cache_dir}
        if main.config["core"].get("remote"):
            local["core"] = {"remote": main.config["core"]["remote"]}
        local["remote"] = {name: dict(settings) for name, settings in main.config["remote"].items()}


def _git(*arguments: str, at: Path | None = None, check: bool = True) -> int:
    where = [] if at is None else ["-C", str(at)]
    done = subprocess.run(["git", *where, *arguments], capture_output=True, text=True, check=False, env=_environment())
    if done.returncode and check:
        raise CloneError(f"`git {' '.join(arguments[:1])}` failed: {done.stderr.strip()}")
    return done.returncode


def _environment() -> dict[str, str]:
    """This process's, so that `python` in dvc.yaml is the one that runs here."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(NOT_PASSED_ON)}
    return kept | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', '')}", "DVC_NO_ANALYTICS": "1"}
