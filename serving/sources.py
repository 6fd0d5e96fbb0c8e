"""Where models come from: a bundle folder, or the registry."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from retrieval.files import read_json
from retrieval.manifest import MANIFEST_FILE, Manifest
from serving.loaded import LoadedModel, load_model


class SourceError(RuntimeError):
    """A model cannot be found or is not what its source says; the message names the fix."""


class ModelSource(Protocol):
    """Something that may hold another model tomorrow than today."""

    def current(self) -> str:
        """What identifies the model that `load` would load now; cheap."""
        ...

    def load(self) -> tuple[str, LoadedModel]:
        """Its identity, as `current` gives it, and the model: verified and warmed up."""
        ...


@dataclass(frozen=True)
class BundleSource:
    """The folder of a bundle, read without MLflow."""

    folder: Path

    def current(self) -> str:
        """The bundle's hash."""
        manifest = self.folder / MANIFEST_FILE
        try:
            return Manifest.from_json(read_json(manifest)).hash
        except (OSError, ValueError) as error:
            raise SourceError(f"{manifest} cannot be read: {error}") from error

    def load(self) -> tuple[str, LoadedModel]:
        try:
            model = load_model(self.folder)
        except (ValueError, OSError) as error:
            raise SourceError(str(error)) from error
        return model.identity.bundle, model
