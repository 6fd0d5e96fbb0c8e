"""A clone of this repository with a small profile in params.yaml, and DVC and Python run in it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

ROOT = Path.cwd()
SMALL: dict[str, Any] = {
    "base": {"image_size": 32, "threads": 1},
    "ingest": {"rendered": {"items": 48, "size": 64, "consumer_photos": 2}},
    "sketch": {"size": 64, "drawings_per_photo": 2},
    "train_gan": {"size": 32, "depth": 4, "generator_channels": 8, "discriminator_channels": 8, "epochs": 4},
    "train_embedder": {"backbone": {"width": 8}},
    "image2vec": {"fit": {"epochs": 2}},
    "siamese": {"embedding_dim": 16, "fit": {"epochs": 5}},
    "joint": {"embedding_dim": 16, "fit": {"epochs": 1, "validate_every": 1}},
    "triplet_gan": {"embedding_dim": 16, "decoder_channels": 4, "discriminator_channels": 4, "fit": {"epochs": 1}},
    "sgh": {"bits": 16, "fit": {"epochs": 1}},
    "dhd": {"bits": 16, "fit": {"epochs": 1}},
    "gpq": {"subspaces": 4, "subspace_dim": 4, "fit": {"epochs": 1}},
    "spq": {"subspaces": 4, "subspace_dim": 4, "fit": {"epochs": 1}},
    "train_classifier": {"min_positives": 5, "backbone": {"width": 8}, "fit": {"epochs": 2}},
    "evaluate": {"bootstrap": 100, "gallery_queries": 1, "projection": "pca"},
    "register": {"floor": 0.0, "confidence": 0.51},
}
# Where it does not matter what a net has learned; even the bundle of the one retriever holds a generator and a classifier.
TINY: dict[str, Any] = {
    "retrievers": ["histogram"],
    "ingest": {"rendered": {"items": 30}},
    "sketch": {"drawings_per_photo": 1},
    "train_gan": {"epochs": 1},
    "train_classifier": {"min_positives": 2, "fit": {"epochs": 1}},
}


def clone(folder: Path, changes: dict[str, Any] | None = None) -> Path:
    """The working tree as git would hand it over, committed, with the small profile and `changes` in params.yaml."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in names.split("\0"):
        if name and (ROOT / name).is_file() and not name.startswith(("reports/", "dvc.lock")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    yaml = YAML()
    params = yaml.load((folder / "params.yaml").read_text())
    _merge(params, SMALL)
    _merge(params, changes or {})
    with (folder / "params.yaml").open("w") as stream:
        yaml.dump(params, stream)
    person = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    for command in (["init", "-q"], ["add", "-A"], [*person, "commit", "-qm", "small profile"]):
        git(folder, *command)
    return folder


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def commit(folder: Path, message: str) -> str:
    """Commits everything and returns the commit."""
    git(folder, "add", "-A")
    git(folder, "-c", "user.name=test", "-c", "user.email=test@localhost", "commit", "-qm", message)
    return git(folder, "rev-parse", "HEAD")


def _merge(target: Any, changes: dict[str, Any]) -> None:
    for key, value in changes.items():
        if isinstance(value, dict):
            _merge(target.setdefault(key, {}), value)
        else:
            target[key] = value


def environment(*programs: Path) -> dict[str, str]:
    """Of a process in a clone; `programs`: folders to be looked through before the environment's own."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("DVC_", "MLFLOW_"))}
    return kept | {"PATH": os.pathsep.join(map(str, (*programs, Path(sys.executable).parent, os.environ["PATH"])))}


def dvc(folder: Path, *arguments: str, programs: Path | None = None) -> str:
    return module(folder, "dvc", *arguments, programs=programs)


def module(
    folder: Path,
    name: str,
    *arguments: str,
    code: int = 0,
    programs: Path | None = None,
    variables: Mapping[str, str] | None = None,
) -> str:
    """What `python -m NAME` wrote with these environment variables more; the test fails when it ends with another code.

    Args:
        programs: a folder with a `python` that runs this and what it starts, see `croquis.cli.forked_stages`.
    """
    command = [str(programs / "python") if programs else sys.executable, "-m", name, *arguments]
    surroundings = environment(*([programs] if programs else ())) | dict(variables or {})
    done = subprocess.run(command, cwd=folder, env=surroundings, capture_output=True, text=True)
    assert done.returncode == code, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout + done.stderr
