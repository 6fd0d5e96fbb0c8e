"""A version of the registry by its URI: `models:/NAME@ALIAS`, which may move, or `models:/NAME/NUMBER`, which does not."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from croquis.registry.bundle_options import ModelSourceError
from croquis.registry.registry import RegisteredVersion, Registry, RegistryError
from croquis.tracking.tracking_store import TrackingError, open_store

URI = re.compile(r"models:/(?P<name>[^/@]+)(?:@(?P<alias>[^/@]+)|/(?P<number>[1-9][0-9]*))")


@dataclass(frozen=True)
class NamedVersion:
    """What a URI names.

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
            ModelSourceError: when the URI has another form or the store cannot be reached.
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

    def version(self) -> RegisteredVersion:
        """The version that is meant now.

        Raises:
            ModelSourceError: when there is none or the registry cannot be reached.
        """
        try:
            found = self.registry.version(self.number) if self.number else self.registry.holder(str(self.alias))
        except Exception as error:  # MLflow, SQLAlchemy and requests share no base class
            raise ModelSourceError(f"{self.registry.model} cannot be looked up: {error}") from error
        if found is None:
            raise ModelSourceError(f"{self.registry.model} has no alias {self.alias}; {self._remedy()}")
        return found

    def _remedy(self) -> str:
        held = self.registry.aliases()
        if not held:
            return "it has none yet: run `dvc repro`, or name a version (models:/NAME/NUMBER)"
        return "it has " + ", ".join(f"{alias} (version {number})" for alias, number in sorted(held.items()))

    def bundle_folder(self) -> Path:
        """A local folder with the bundle of the version that is meant now."""
        version = self.version()
        try:
            return self.registry.bundle_folder(version.number)
        except RegistryError as error:
            raise ModelSourceError(str(error)) from error
        except Exception as error:  # MLflow, SQLAlchemy and requests share no base class
            raise ModelSourceError(f"{version} of {self.registry.model} cannot be pulled: {error}") from error
