"""A version of the registry by its URI: `models:/NAME@ALIAS`, which may move, or `models:/NAME/NUMBER`, which does not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from croquis.credentials import without_credentials
from croquis.registry.bundle_options import ModelSourceError
from croquis.registry.registry import NAMED, RegisteredVersion, Registry, RegistryError
from croquis.tracking.environment import quiet
from croquis.tracking.tracking_store import TrackingError, open_store


@dataclass(frozen=True)
class NamedVersion:
    """What a URI names; `registry` holds the versions of NAME."""

    registry: Registry
    uri: str

    @classmethod
    def open(cls, uri: str, root: Path | None = None, *, prompt: bool = False) -> Self:
        """Reads the URI and opens the tracking store of the project in `root` (of the current folder by default).

        Args:
            prompt: whether this process is a server, see `croquis.tracking.environment.quiet`.

        Raises:
            ModelSourceError: when the URI has another form or the store cannot be reached.
        """
        parts = NAMED.fullmatch(uri)
        if parts is None or not uri.startswith("models:/"):
            raise ModelSourceError(f"{uri!r} is no model: write models:/NAME@ALIAS or models:/NAME/NUMBER")
        quiet(prompt=prompt)
        try:
            return cls(Registry(open_store(root), parts["model"]), uri)
        except TrackingError as error:
            raise ModelSourceError(str(error)) from error

    def version(self) -> RegisteredVersion:
        """The version that is meant now.

        Raises:
            ModelSourceError: when there is none or the registry cannot be reached.
        """
        try:
            return self.registry.named(self.uri)
        except RegistryError as error:
            raise ModelSourceError(str(error)) from error
        except Exception as error:  # MLflow, SQLAlchemy and requests share no base class
            raise ModelSourceError(
                f"{self.registry.model} cannot be looked up: {without_credentials(error)}"
            ) from error

    def bundle_folder(self) -> Path:
        """A local folder with the bundle of the version that is meant now."""
        version = self.version()
        try:
            return self.registry.bundle_folder(version.number)
        except RegistryError as error:
            raise ModelSourceError(str(error)) from error
        except Exception as error:  # MLflow, SQLAlchemy and requests share no base class
            raise ModelSourceError(
                f"{version} of {self.registry.model} cannot be pulled: {without_credentials(error)}"
            ) from error
