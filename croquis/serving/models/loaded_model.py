"""A model that answers: a verified, warmed-up bundle under the name and version that it goes by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from croquis.bundle import Bundle
from croquis.catalog.filters import QueryError
from croquis.catalog.product import COLOUR
from croquis.search.gallery import Record
from croquis.search.local_retriever import LocalRetriever
from croquis.search.query import MODES
from croquis.serving.answers.answer_models import Count, FilterValues, ModelInfo, ModelName, ProductColumn

LOCAL = "local"


@dataclass(frozen=True)
class LoadedModel:
    """What `load_model` gives; nothing in it changes, so that requests may keep it while another takes its place.

    Attributes:
        retriever: safe to use from several threads.
        name, version: in the registry; the method and `local` for a bundle from none.
        metrics: as they were evaluated; empty for a bundle from no registry.
        paints: whether drawings of val found more by way of the generator than straight.
    """

    retriever: LocalRetriever
    name: str
    version: str
    metrics: dict[str, float] = field(default_factory=dict)
    paints: bool = False

    @cached_property
    def identity(self) -> ModelName:
        """What answers say of the model."""
        return ModelName(
            name=self.name, version=self.version, bundle=self.retriever.bundle.hash, store=self.retriever.gallery.store
        )

    @property
    def modes(self) -> list[str]:
        """The modes that the bundle was made for, of those of a drawing the better one first; `sketch` needs a generator.

        Where nothing was measured, a drawing goes straight: so it found more in every table of docs/sketch.md.
        """
        if self.retriever.bundle.manifest.drawings is not None:
            return ["photo"]
        drawn = [mode for mode in MODES if mode != "photo" and (mode != "sketch" or self.retriever.nets.has_generator)]
        return ["photo", *sorted(drawn, key=lambda mode: (mode == "sketch") != self.paints)]

    def info(self, label: str) -> ModelInfo:
        """What /version says of it under a label."""
        method = self.retriever.bundle.manifest.method
        colours = self.retriever.nets.colours
        return ModelInfo(
            label=label, **self.identity.model_dump(), method=method, metrics=self.metrics, colours=colours
        )

    def filter_values(self) -> FilterValues:
        """Values with the number of gallery images that have them."""
        counts = self.retriever.gallery.counts()
        names = counts.attributes
        colours = {name.removeprefix(COLOUR): count for name, count in names.items() if name.startswith(COLOUR)}
        others = {name: count for name, count in names.items() if not name.startswith(COLOUR)}
        product = [
            ProductColumn(name=name, kind=each.kind, values=_counts(each.values), min=each.least, max=each.most)
            for name, each in counts.product.items()
        ]
        words = {"category": counts.category, "attributes": others, "colour": colours}
        return FilterValues(**{name: _counts(counted) for name, counted in words.items()}, product=product)

    def image_of(self, item_id: str, image_id: str | None) -> Record:
        """One image of a product, its first one when `image_id` is None.

        Raises:
            QueryError: when the product is unknown or has no such image.
        """
        images = self.retriever.gallery.images_of(item_id)
        if image_id is None:
            return images[0]
        found = [image for image in images if image["image_id"] == image_id]
        if not found:
            raise QueryError("image_id", image_id, f"is none of the {len(images)} images of {item_id!r}")
        return found[0]

    def prepare(self) -> None:
        """Does now what the first requests would wait for."""
        self.retriever.bundle.open_all()
        self.retriever.warm_up()
        self.filter_values()
        self.retriever.bundle.items.open_items()


def load_model(
    folder: Path,
    *,
    name: str | None = None,
    version: str = LOCAL,
    metrics: dict[str, float] | None = None,
    paints: bool = False,
) -> LoadedModel:
    """Verifies, opens and warms up the bundle in `folder`.

    Raises:
        BundleError: when a file is missing, changed or unexpected.
    """
    bundle = Bundle.load(folder.resolve())
    model = LoadedModel(LocalRetriever.of(bundle), name or bundle.manifest.method, version, metrics or {}, paints)
    model.prepare()
    return model


def _counts(counted: Mapping[str, int]) -> list[Count]:
    return [Count(name=name, count=counted[name]) for name in sorted(counted)]
