"""Models from the MLflow registry: an alias is resolved to a version, its bundle pulled and verified."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from croquis.credentials import without_credentials
from croquis.registry.bundle_options import ModelSourceError
from croquis.registry.named_version import NamedVersion
from croquis.serving.models.loaded_model import LoadedModel, load_model


@dataclass(frozen=True)
class RegistrySource(NamedVersion):
    """The version that a URI names, as a server loads it."""

    def current(self) -> str:
        """The version's number."""
        return str(self.version().number)

    def load(self) -> tuple[str, LoadedModel]:
        version = self.version()
        try:
            folder = self.registry.bundle_folder(version.number)
            metrics = self.registry.metrics(version.number)
            model = load_model(
                folder,
                name=self.registry.model,
                version=str(version.number),
                metrics=own_metrics(metrics, version.method),
                paints=painting_finds_more(own_metrics(metrics, version.method, "val")),
            )
        except Exception as error:  # MLflow, SQLAlchemy and requests share no base class
            raise ModelSourceError(
                f"{version} of {self.registry.model} cannot be loaded: {without_credentials(error)}"
            ) from error
        return str(version.number), model


def own_metrics(metrics: Mapping[str, float], method: str, split: str = "test") -> dict[str, float]:
    """Of a pipeline run's metrics those of the version on a split, by what follows `SPLIT/`.

    A run of an earlier release has those of all methods, by names that begin with `METHOD/SPLIT/`.
    """
    earlier = f"{method}/{split}/"
    prefix = earlier if any(name.startswith(earlier) for name in metrics) else f"{split}/"
    return {name.removeprefix(prefix): value for name, value in sorted(metrics.items()) if name.startswith(prefix)}


def painting_finds_more(metrics: Mapping[str, float]) -> bool:
    """Whether a drawing's hit@1 by way of the generator is above that of the drawing itself; not where one is missing."""
    painted, straight = (metrics.get(f"sketch_to_shop.{path}/hit_at_1") for path in ("gan", "direct"))
    return painted is not None and straight is not None and painted > straight
