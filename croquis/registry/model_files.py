"""The files of a registered model: where the artifact store keeps them, how they are pulled, and the hash that covers them.

A bundle's hash covers its own files. What stands around it, `model.py`, the code beside it, MLflow's description, is run or
read when MLflow loads the model, and is covered by the tag `model_hash` of the version.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from pathlib import Path

from croquis.bundle.manifest import MANIFEST_FILE, Manifest
from croquis.files import read_json, sha256_file
from croquis.tracking.tracking_store import Store, registry_uri

MODEL_TAG = "model_hash"
BUNDLES = "artifacts"  # folder of a model, with the bundle's folder in it
BYTECODE = "__pycache__"
WRITTEN_BY_MLFLOW = "registered_model_meta"  # when a version is downloaded


def pull_model(store: Store, uri: str, to: Path | None = None) -> Path:
    """The local folder with the files of a logged model.

    Nothing of this process is changed for it, so that a call that hangs does not hold up others.

    Args:
        uri: `models:/m-ID`, or a folder or address of the artifact store.
        to: where a copy is made, without bytecode; None for the files themselves where they are on this machine.

    Raises:
        MlflowException, OSError: when the store does not have them.
    """
    from mlflow.artifacts import download_artifacts

    if uri.startswith("models:/"):
        uri = str(store.client.get_logged_model(uri.removeprefix("models:/")).artifact_location)
    if store.is_local and ":/" not in uri:
        folder = store.root / uri
        if to is None:
            return folder.resolve(strict=True)
        return Path(shutil.copytree(folder, to / "model", ignore=shutil.ignore_patterns(BYTECODE)))
    made = Path(tempfile.mkdtemp(prefix="croquis-model-")) if to is None else to
    try:
        found = download_artifacts(
            uri, dst_path=str(made), tracking_uri=store.uri, registry_uri=registry_uri(store.uri)
        )
    except BaseException:
        if to is None:
            shutil.rmtree(made, ignore_errors=True)
        raise
    for folder in [*Path(found).rglob(BYTECODE)]:
        shutil.rmtree(folder)
    return Path(found).resolve()


def bundle_in(model: Path) -> tuple[Path, str]:
    """The folder of the one bundle in a model, and the hash that its manifest gives.

    Raises:
        ValueError, OSError: when there is none or more than one, or the manifest cannot be read.
    """
    found = _bundles(model)
    if len(found) != 1:
        raise ValueError(f"{len(found)} bundles in {model}, expected one")
    return found[0], Manifest.from_json(read_json(found[0] / MANIFEST_FILE)).hash


def model_hash(model: Path) -> str:
    """SHA-256 over names and contents of a model's files, but for its bundle, bytecode and MLflow's note of a download."""
    bundles = _bundles(model)
    files = [path for path in sorted(model.rglob("*")) if path.is_file() and not set(bundles) & set(path.parents)]
    lines = [
        f"{sha256_file(path)}  {path.relative_to(model).as_posix()}\n"
        for path in files
        if BYTECODE not in path.parts and path != model / WRITTEN_BY_MLFLOW
    ]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _bundles(model: Path) -> list[Path]:
    return sorted(path.parent for path in (model / BUNDLES).glob(f"*/{MANIFEST_FILE}"))
