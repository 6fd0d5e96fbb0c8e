"""The map behind a method's encoder, fitted once more on the labels of all splits, with the settings that val chose."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from croquis.arrays import Vectors
from croquis.catalog.table import Catalog
from croquis.evaluation.protocol import PROTOCOLS
from croquis.files import write_array
from croquis.nets.encoder import load_encoder
from croquis.nets.linear_map import LinearMap
from croquis.params import Params, load_params
from croquis.plugins import METHODS
from croquis.refusals import RefusedError
from lightning_modules.data.retrieval_data import (
    RetrievalData,
    labelled_rows,
    labels_that_count,
    load_images,
)
from lightning_modules.maps.closed_form import LabelledVectors
from lightning_modules.training.map_choice import FILE, best_map, encoded, fitted, labels_of, with_val

HELD = "held.npy"
CLOSE = 1e-3  # of the largest number of a map; other settings or photos differ by more


def refit_map_in(root: Path, name: str, folder: Path) -> None:
    """Writes map.npy: the map of held.npy's settings, fitted on the photos of train, val and test.

    The settings stand in no file: they are chosen again as in the training, and the map that they give on its photos must be
    that of held.npy.

    Args:
        root: of the project, with params.yaml and data/catalog.
        name: of the method, one that trains no net.
        folder: with encoder.json, which names no map, what belongs to it, and held.npy.

    Raises:
        RefusedError: when params.yaml or the catalogue give another map.
    """
    params, catalog = load_params(root / "params.yaml", methods=[name]), Catalog.open(root / "data/catalog")
    encoder, held = load_encoder(folder, params.base.threads), LinearMap.open(folder / HELD)
    shared, base, how = params.train_embedder, params.base, params.preparation
    protocol = PROTOCOLS[base.protocol]
    domains: list[str] = list(shared.domains)
    data = RetrievalData.from_catalog(catalog, domains, encoder.size, shared.labels, base.seed, protocol, how)
    train, val = (encoded(encoder, each.images) for each in (data.train, data.val))
    found = best_map(
        train, val, data, shared.map.model_copy(update={"kind": _kind(params, name)}), _colours(params, name)
    )
    before = found.linear if shared.map.fit_on == "train" else with_val(train, val, data, found)
    if not _alike(before.matrix, held.matrix):
        raise RefusedError(
            f"the map of {name} is not the one that params.yaml and data/catalog give now: run `croquis repro` first"
        )
    rows = labelled_rows(
        catalog, catalog.select(split="train", domain=domains), shared.labels.labelled_share, base.seed
    )
    rows = np.union1d(rows, catalog.select(split=["val", "test"], domain=domains))
    whole = labels_that_count(load_images(catalog, rows, encoder.size, how), protocol)
    there = dict(zip(data.train.image_ids, train, strict=True)) | dict(zip(data.val.image_ids, val, strict=True))
    new = rows[[name not in there for name in whole.image_ids]]
    if len(new):
        rest = load_images(catalog, new, encoder.size, how)
        there |= dict(zip(rest.image_ids, encoded(encoder, rest.images), strict=True))
    vectors = np.stack([there[name] for name in whole.image_ids])
    labels = labels_of(whole.categories, whole.attributes) if found.settings.kind == "labels" else {}
    every = LabelledVectors(vectors, whole.items, whole.domains == "shop", labels)
    write_array(folder / FILE, fitted(every, [found.settings], found.scale)[0].matrix)


def _kind(params: Params, name: str) -> str:
    """As `stages.train_embedder` has it: that of the method's own block, where it names one."""
    own = getattr(params.method(name), "map", None)
    return params.train_embedder.map.kind if own is None else str(own)


def _colours(params: Params, name: str) -> int:
    """How many of the last numbers of the encoder's vectors are a colour histogram."""
    net = METHODS.entry(name).fixed_net
    return 0 if net is None else int(net(params).colours)


def _alike(first: Vectors, second: Vectors) -> bool:
    return first.shape == second.shape and bool(np.abs(first - second).max() <= CLOSE * np.abs(second).max())
