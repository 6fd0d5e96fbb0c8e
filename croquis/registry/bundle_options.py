"""Which bundle a command works with: a folder, or a version of the registry. MLflow is imported only where one is named."""

from __future__ import annotations

from pathlib import Path


class ModelSourceError(RuntimeError):
    """A model cannot be found or is not what its source says; the message names the fix."""


def bundle_folder(bundle: Path | None, model: str | None) -> Path:
    """The folder of the bundle, pulled where a model is named.

    Raises:
        ModelSourceError: when the registry cannot be reached or has no such model.
    """
    if bundle is not None:
        return bundle
    from croquis.registry.named_version import NamedVersion  # MLflow is imported only where it is used

    return NamedVersion.open(model or "").bundle_folder()
