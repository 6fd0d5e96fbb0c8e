"""The model registry: one version per bundle, found by the bundle's hash; aliases say which version does what."""

from __future__ import annotations

import contextlib
import random
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from croquis.credentials import without_credentials
from croquis.registry.model_files import MODEL_TAG, bundle_in, model_hash, pull_model
from croquis.tracking.tracking_store import Store

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous"
BUNDLE_TAG = "bundle_hash"
METHOD_TAG = "method"
LOCK = "registry"
LONGEST_TAG = 5000
TRIES = 5  # of a change that meets another's
NAMED = re.compile(r"(models:/)?(?P<model>[^/@]+)(?:@(?P<alias>[^/@]+)|/(?P<number>[1-9][0-9]*))")


class RegistryError(RuntimeError):
    """The registry cannot do what was asked; the message names the fix."""


@dataclass(frozen=True)
class RegisteredVersion:
    """A registered retriever; `run_id`: the pipeline run that made it."""

    number: int
    bundle_hash: str
    method: str
    tags: Mapping[str, str]
    run_id: str = ""

    def __str__(self) -> str:
        return f"version {self.number} ({self.method}, bundle {self.bundle_hash[:12]})"


@dataclass(frozen=True)
class Registry:
    """The versions of one registered model."""

    store: Store
    model: str

    def lock(self) -> FileLock:
        """Keeps other processes from changing this registry: of a store on disk all, of a server this workspace's."""
        return self.store.lock(LOCK)

    def exists(self) -> bool:
        """Whether the model has been registered."""
        return bool(self.store.client.search_registered_models(f"name = '{self.model}'"))

    def versions(self) -> list[RegisteredVersion]:
        """All versions, oldest first."""
        found = self.store.client.search_model_versions(f"name = '{self.model}'")
        return sorted((_version(version) for version in found), key=lambda version: version.number)

    def version(self, number: int) -> RegisteredVersion:
        """One version.

        Raises:
            RegistryError: when there is none of that number; the message names those there are.
        """
        found = [version for version in self.versions() if version.number == number]
        if not found:
            known = ", ".join(str(version.number) for version in self.versions()) or "none"
            raise RegistryError(f"{self.model} has no version {number}; it has: {known}")
        return found[0]

    def with_bundle(self, bundle_hash: str) -> RegisteredVersion | None:
        """The version that holds this bundle; of two, of which one is about to be deleted, the first."""
        return next((version for version in self.versions() if version.bundle_hash == bundle_hash), None)

    def aliases(self) -> dict[str, int]:
        """Alias name -> version number."""
        if not self.exists():
            return {}
        aliases = self.store.client.get_registered_model(self.model).aliases
        return {str(alias): int(number) for alias, number in aliases.items()}

    def named(self, text: str) -> RegisteredVersion:
        """The version that `MODEL@ALIAS` or `MODEL/NUMBER` means, also behind `models:/`.

        Raises:
            RegistryError: for another model, and when there is no such alias or number.
        """
        parts = NAMED.fullmatch(text)
        if parts is None or parts["model"] != self.model:
            raise RegistryError(f"{text!r} is not {self.model}@ALIAS or {self.model}/NUMBER (register.model_name)")
        return self.version(int(parts["number"])) if parts["number"] else self.called(parts["alias"])

    def called(self, alias: str) -> RegisteredVersion:
        """The version that an alias points to.

        Raises:
            RegistryError: when there is no such alias.
        """
        found = self.holder(alias)
        if found is None:
            held = ", ".join(f"{name} (version {number})" for name, number in sorted(self.aliases().items()))
            remedy = f"it has {held}" if held else f"it has none yet: run `dvc repro`, or name {self.model}/NUMBER"
            raise RegistryError(f"{self.model} has no alias {alias}; {remedy}")
        return found

    def holder(self, alias: str) -> RegisteredVersion | None:
        """The version that an alias points to, if there is one."""
        number = self.aliases().get(alias)
        return None if number is None else self.version(number)

    def register(
        self, bundle_hash: str, method: str, tags: Mapping[str, str], log: Callable[[], str]
    ) -> RegisteredVersion:
        """The version with this bundle, which is made from `log()`, a model URI, unless it exists.

        The tags are set in the same call that makes the version, so that a kill leaves no version without its hashes. Where
        another workspace of a server registers the same bundle at once, the version with the higher number is deleted again.
        A version of an earlier release, without a hash of its model's files, is given one as they are.
        """
        with self.lock():
            found = self.with_bundle(bundle_hash)
            if found is not None:
                return found if MODEL_TAG in found.tags else self._with_model_hash(found)
            from mlflow import register_model

            with self.store.here():
                uri = log()
                hashes = {BUNDLE_TAG: bundle_hash, MODEL_TAG: self._hash_of(uri)}
                made = register_model(uri, self.model, tags=_short({**tags, **hashes, METHOD_TAG: method}))
            first = self.with_bundle(bundle_hash) or self.version(int(made.version))
            if first.number != int(made.version):
                self.store.client.delete_model_version(self.model, str(made.version))
            return first

    def tag(self, number: int, tags: Mapping[str, str]) -> None:
        """Sets tags of a version; values that MLflow would refuse as too long are cut."""
        for name, value in _short(tags).items():
            self.store.client.set_model_version_tag(self.model, str(number), name, value)

    def describe(self, number: int, text: str) -> None:
        """The Markdown on the version's page."""
        self.store.client.update_model_version(self.model, str(number), text)

    def describe_model(self, text: str) -> None:
        """The Markdown on the registered model's own page."""
        again(lambda: self.store.client.update_registered_model(self.model, text))

    def model_id(self, number: int) -> str | None:
        """The logged model that a version was made from; None where MLflow does not know it any more."""
        from mlflow.exceptions import MlflowException

        logged = self._logged_model(number)
        try:
            return str(self.store.client.get_logged_model(logged).model_id)
        except MlflowException:
            return None

    def _logged_model(self, number: int) -> str:
        """`m-ID`, from the version's source `models:/m-ID`; MLflow's database keeps it nowhere else."""
        return str(self.store.client.get_model_version(self.model, str(number)).source).rpartition("/")[2]

    def set_alias(self, alias: str, number: int) -> None:
        """Moves an alias to a version."""
        again(lambda: self.store.client.set_registered_model_alias(self.model, alias, str(number)))

    def drop_alias(self, alias: str) -> None:
        """Takes an alias off its version; nothing happens where no version has it."""

        def drop() -> None:
            if alias in self.aliases():
                self.store.client.delete_registered_model_alias(self.model, alias)

        again(drop)

    def model_tag(self, name: str) -> str | None:
        """A tag of the registered model itself."""
        tags: dict[str, str] = self.store.client.get_registered_model(self.model).tags
        return tags.get(name)

    def set_model_tag(self, name: str, value: str | None) -> None:
        """Writes a tag of the registered model itself; None takes it away."""

        def write() -> None:
            if value is not None:
                self.store.client.set_registered_model_tag(self.model, name, value)
            elif self.model_tag(name) is not None:
                self.store.client.delete_registered_model_tag(self.model, name)

        again(write)

    def metrics(self, number: int) -> dict[str, float]:
        """What the run behind a version measured; empty when the run is gone."""
        from mlflow.exceptions import MlflowException

        found = self.store.client.get_model_version(self.model, str(number))
        try:
            run = self.store.client.get_run(str(found.run_id))
        except MlflowException:
            return {}
        return {str(name): float(value) for name, value in run.data.metrics.items()}

    def run_file(self, version: RegisteredVersion, name: str, folder: Path) -> Path:
        """Brings a file that the pipeline run behind a version keeps into a local folder.

        Raises:
            RegistryError: when the run does not hold it.
        """
        from mlflow.artifacts import download_artifacts

        with self.store.here():
            try:
                return Path(download_artifacts(run_id=version.run_id, artifact_path=name, dst_path=str(folder)))
            except Exception as error:  # MLflow's stores share no base class
                run = version.run_id or "unknown"
                raise RegistryError(f"run {run} of {version} holds no {name}: {error}") from error

    def bundle_folder(self, number: int) -> Path:
        """A local folder with the bundle of a version; downloaded when the store is a server.

        Raises:
            RegistryError: when the artifact store does not hold it, or holds other files than those that were registered.
        """
        version = self.version(number)
        return self._bundle(version, self._pulled(version))

    def copied_model(self, version: RegisteredVersion, folder: Path) -> tuple[Path, Path]:
        """A copy of a version's model, all of it covered by the version's hashes, and the folder of the bundle in it.

        The files of the bundle are covered by its manifest: load it before the model is run.

        Raises:
            RegistryError: as `bundle_folder`, and when the version has no hash of its model's files.
        """
        if MODEL_TAG not in version.tags:
            raise RegistryError(
                f"{version} of {self.model} has no hash of the files that it runs (tag {MODEL_TAG}): `croquis sync` records "
                "it for the bundle in models/bundles; of another bundle, register it again"
            )
        model = self._pulled(version, folder)
        return model, self._bundle(version, model)

    def _pulled(self, version: RegisteredVersion, to: Path | None = None) -> Path:
        from mlflow.exceptions import MlflowException

        try:
            uri = self.store.client.get_model_version_download_uri(self.model, str(version.number))
            return pull_model(self.store, str(uri), to)
        except (MlflowException, OSError) as error:
            raise self._lost(version.number, str(error).strip()) from error

    def _bundle(self, version: RegisteredVersion, model: Path) -> Path:
        """The bundle in a pulled model whose hashes are the version's."""
        try:
            folder, found = bundle_in(model)
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise self._lost(version.number, str(error).strip()) from error
        if found != version.bundle_hash:
            raise self._lost(version.number, f"it holds another bundle, {found[:12]}", "has other")
        expected = version.tags.get(MODEL_TAG)
        if expected is not None and model_hash(model) != expected:
            raise self._lost(version.number, "what stands around the bundle has been changed since", "has other")
        return folder

    def _hash_of(self, uri: str) -> str:
        """Of the files of a logged model."""
        with TemporaryDirectory() as folder:
            return model_hash(pull_model(self.store, uri, Path(folder)))

    def _with_model_hash(self, version: RegisteredVersion) -> RegisteredVersion:
        with contextlib.suppress(RegistryError):  # missing files are reported where they are needed
            model = self._pulled(version)
            self._bundle(version, model)
            self.tag(version.number, {MODEL_TAG: model_hash(model)})
        return self.version(version.number)

    def put_back(self, number: int, log: Callable[[], str]) -> None:
        """Fills the artifact store with the files of a version again.

        Args:
            log: makes a model with the same bundle and returns its URI; that model is deleted again.

        Raises:
            RegistryError: when MLflow does not know the version's model any more.
        """
        from mlflow.artifacts import download_artifacts
        from mlflow.exceptions import MlflowException

        client = self.store.client
        lost = self._logged_model(number)
        with self.store.here(), TemporaryDirectory() as temporary:
            made = log()
            folder = Path(download_artifacts(made, dst_path=temporary))
            made_id = made.rpartition("/")[2]
            description = folder / "MLmodel"
            description.write_text(description.read_text(encoding="utf-8").replace(made_id, lost), encoding="utf-8")
            try:
                client.log_model_artifacts(lost, str(folder))
                self.tag(number, {MODEL_TAG: model_hash(folder)})
            except MlflowException as error:
                raise self._lost(number, str(error).strip()) from error
            finally:
                client.delete_logged_model(made_id)

    def _lost(self, number: int, reason: str, has: str = "lacks") -> RegistryError:
        told = without_credentials(reason).partition("\n")[0][:200]
        return RegistryError(
            f"the artifact store {has} files of version {number} of {self.model} ({told}): "
            "`croquis sync` puts them back from models/bundles if that holds this bundle; else put a copy of the store "
            "back, or delete the version in MLflow and run `dvc repro --force --single-item register`"
        )


def _version(found: ModelVersion) -> RegisteredVersion:
    tags: dict[str, Any] = found.tags or {}
    return RegisteredVersion(
        int(found.version), tags.get(BUNDLE_TAG, ""), tags.get(METHOD_TAG, "unknown"), tags, found.run_id or ""
    )


def _short(tags: Mapping[str, str]) -> dict[str, str]:
    return {name: str(value)[:LONGEST_TAG] for name, value in tags.items()}


def again(change: Callable[[], None]) -> None:
    """Makes a change; once more, five times at most, where a server's database refuses it.

    It does so when another process changes the same row at the same moment.
    """
    from mlflow.exceptions import MlflowException

    for left in reversed(range(TRIES)):
        try:
            change()
            return
        except MlflowException:
            if not left:
                raise
            time.sleep(random.uniform(0.05, 0.3))
