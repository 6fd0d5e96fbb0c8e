"""Models from the MLflow registry: an alias is resolved to a version, its bundle pulled and verified."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from croquis.registry.registry import RegisteredVersion, Registry, RegistryError
from croquis.serving.models.bundle_sources import ModelSourceError
from croquis.serving.models.loaded_model import LoadedModel, load_model
from croquis.tracking.tracking_store import TrackingError, open_store

URI = re.compile(r"models:/(?P<name>[^/@]+)(?:@(?P<alias>[^/@]+)|/(?P<number>[1-9][0-9]*))")


@dataclass(frozen=True)
class RegistrySource:
    """`models:/NAME@ALIAS`, which may move, or `models:/NAME/NUMBER`, which does not.

    Attributes:
        registry: the versions of NAME.
        alias: None when a number is given.
        number: None when an alias is given.
    """

    registry: Registry
    alias: str | None
    number: int | None

    @classmethod
    def open(cls, uri: str, root: Path | None = None) -> Self:
        """Reads the URI and opens the tracking store of the project in `root` (of the current folder by default).

        Raises:
            SourceError: when the URI has another form or the store cannot be reached.
        """
        parts = URI.fullmatch(uri)
        if parts is None:
            raise ModelSourceError(f"{uri!r} is no model: write models:/NAME@ALIAS or models:/NAME/NUMBER")
        number = parts["number"]
        try:
            registry = Registry(open_store(root), parts["name"])
        except TrackingError as error:
            raise ModelSourceError(str(error)) from error
        return cls(registry, parts["alias"], int(number) if number else None)

    def current(self) -> str:
        """The version's number."""
        return str(self._version().number)

    def load(self) -> tuple[str, LoadedModel]:
        version = self._version()
        try:
            folder = self.registry.bundle_folder(version.number)
            model = load_model(
                folder,
                name=self.registry.model,
                version=str(version.number),
                metrics=own_metrics(self.registry.metrics(version.number), version.method),
            )
        except (RegistryError, ValueError, OSError) as error:
            raise ModelSourceError(f"{version} of {self.registry.model} cannot be loaded: {error}") from error
        if version.bundle_hash not in ("", model.identity.bundle):
            raise ModelSourceError(f"{version} of {self.registry.model} holds another bundle, {model.identity.bundle}")
        return str(version.number), model

    def bundle_folder(self) -> Path:
        """A local folder with the bundle of the version that is meant now."""
        version = self._version()
        try:
            return self.registry.bundle_folder(version.number)
        except Exception as error:  # MLflow, SQLAlchemy and requests share no base class
            raise ModelSourceError(f"{version} of {self.registry.model} cannot be pulled: {error}") from error

    def _version(self) -> RegisteredVersion:
        try:
            found = self.registry.version(self.number) if self.number else self.registry.holder(str(self.alias))
        except Exception as error:  # MLflow, SQLAlchemy and requests share no base class
            raise ModelSourceError(f"{self.registry.model} cannot be looked up: {error}") from error
        if found is None:
            raise ModelSourceError(
                f"{self.registry.model} has no {self.alias}: run `make repro`, or name a version (models:/NAME/NUMBER)"
            )
        return found


def own_metrics(metrics: Mapping[str, float], method: str) -> dict[str, float]:
    """Of a pipeline run's metrics, `METHOD/SPLIT/PAIR/PATH/METRIC`, those of one method on the test split, by the rest."""
    prefix = f"{method}/test/"
    return {name.removeprefix(prefix): value for name, value in sorted(metrics.items()) if name.startswith(prefix)}
