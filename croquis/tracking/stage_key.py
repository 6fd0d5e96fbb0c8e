"""The identity of one execution of a DVC stage: a hash of its command, its dependencies' content and its parameters.

DVC writes the same facts into dvc.lock once the stage has finished, so a tracker run that was started *inside* the stage
can be found again later from dvc.lock alone. Both ways go through one function here.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from croquis.tracking.environment import PIPELINE_FILE, project_root

logger = logging.getLogger(__name__)
DATA_PATHS = ("data/catalog", "data/raw")


@dataclass(frozen=True)
class StageSignature:
    """`key`: hex SHA-256; `data_hash`: DVC's hash of the catalogue that the stage depends on, if it does."""

    key: str
    data_hash: str | None


def stage_key(stage_name: str, root: Path | None = None) -> str | None:
    """The key of `stage_name` (DVC's name, e.g. `train_embedder@siamese`) for the files as they are now.

    Returns None outside a DVC project, for a name that dvc.yaml lacks, and when a dependency is missing.
    """
    signature = stage_signature(stage_name, root)
    return signature.key if signature else None


def stage_signature(stage_name: str, root: Path | None = None) -> StageSignature | None:
    """Key and data hash of a stage, computed with DVC's own objects; None as in `stage_key`."""
    entry = _current_entry(stage_name, root or project_root())
    return None if entry is None else signature_from_lock(entry)


def stage_key_from_lock(entry: Mapping[str, Any]) -> str:
    """The key of one entry below `stages:` in dvc.lock."""
    return signature_from_lock(entry).key


def signature_from_lock(entry: Mapping[str, Any]) -> StageSignature:
    """Key and data hash of one entry below `stages:` in dvc.lock; its `outs` play no part."""
    dependencies = {str(dep["path"]): _content_hash(dep) for dep in entry.get("deps") or []}
    signature = {
        "cmd": entry["cmd"],
        "deps": sorted(dependencies.items()),
        "params": _plain(entry.get("params") or {}),
    }
    text = json.dumps(signature, sort_keys=True, ensure_ascii=False, default=str)
    data = next((dependencies[path] for path in DATA_PATHS if path in dependencies), None)
    return StageSignature(hashlib.sha256(text.encode()).hexdigest(), data)


def data_hash_from_lock(lock: Mapping[str, Any]) -> str | None:
    """DVC's hash of the catalogue that the stages in dvc.lock wrote."""
    outs = {
        str(out["path"]): _content_hash(out) for entry in _entries(lock).values() for out in entry.get("outs") or []
    }
    return next((outs[path] for path in DATA_PATHS if path in outs), None)


def read_lock(root: Path) -> dict[str, Any]:
    """dvc.lock as a mapping; empty when the pipeline has never run."""
    path = root / "dvc.lock"
    if not path.is_file():
        return {}
    from ruamel.yaml import YAML

    return dict(YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8")) or {})


def _entries(lock: Mapping[str, Any]) -> Mapping[str, Any]:
    return lock.get("stages") or {}


def _content_hash(item: Mapping[str, Any]) -> str:
    """The hash of a dependency or output, whatever DVC calls it (md5 here, etag or checksum for remote files)."""
    return str(
        next((item[name] for name in (item.get("hash"), "md5", "etag", "checksum") if name and name in item), "")
    )


def _plain(value: Any) -> Any:
    """Numbers that compare equal get one spelling: YAML may hand back 1 where DVC had 1.0."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _current_entry(stage_name: str, root: Path) -> dict[str, Any] | None:
    if not (root / PIPELINE_FILE).is_file() or not (root / ".dvc").is_dir():
        return None
    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    from dvc.stage.exceptions import StageNotFound
    from dvc.stage.serialize import to_single_stage_lockfile

    try:
        with Repo(str(root)) as repo:
            stage = repo.stage.load_one(path=str(root / PIPELINE_FILE), name=stage_name)
            stage.save_deps()
            return dict(to_single_stage_lockfile(stage))
    except StageNotFound:
        return None
    except DvcException as error:
        logger.warning("no stage key for %s: %s", stage_name, error)
        return None
