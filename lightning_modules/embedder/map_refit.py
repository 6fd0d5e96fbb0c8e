"""The map behind a method's encoder, fitted once more on the labels of all splits, with the settings that val chose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from croquis.arrays import Vectors
from croquis.files import write_array
from croquis.nets.encoder import Encoder
from croquis.nets.linear_map import LinearMap
from croquis.params import Params
from croquis.refusals import RefusedError
from lightning_modules.data.retrieval_data import ImageSet, RetrievalData, eval_batch, to_float
from lightning_modules.embedder.assembly import map_block
from lightning_modules.maps.closed_form import LabelledVectors, MapSettings
from lightning_modules.training.map_choice import FILE, best_map, encoded, fitted, labels_of, with_val

CLOSE = 1e-3  # of the largest number of a map; other settings or photos differ by more


@dataclass(frozen=True)
class KnownMap:
    """How the map of a trained bundle was made.

    Attributes:
        settings: as val chose them.
        scale: (D,), on the numbers of a vector, likewise.
        seen: image_id -> vector (D,) before the map, of the photos of train and val.
    """

    settings: MapSettings
    scale: Vectors
    seen: Mapping[str, Vectors]


def known_map(
    held: LinearMap, encoder: Encoder, data: RetrievalData, params: Params, name: str, colours: int
) -> KnownMap:
    """The settings of a map.

    They stand in no file: they are chosen again as in the training, and the map that they give on its photos must be `held`.

    Args:
        held: the map.
        encoder: of the map, which is not behind it here.
        data: that the training had.
        name: of the method.
        colours: how many of the last numbers of the encoder's vectors are a colour histogram.

    Raises:
        RefusedError: when params.yaml or the catalogue give another map.
    """
    block = map_block(params, name)
    train, val = (encoded(encoder, each.images) for each in (data.train, data.val))
    found = best_map(train, val, data, block, colours)
    before = found.linear if block.fit_on == "train" else with_val(train, val, data, found)
    if not _alike(before.matrix, held.matrix):
        raise RefusedError(
            f"the map of {name} is not the one that params.yaml and data/catalog give now: run `croquis repro` first"
        )
    ids = (*data.train.image_ids, *data.val.image_ids)
    return KnownMap(found.settings, found.scale, dict(zip(ids, [*train, *val], strict=True)))


def write_map(folder: Path, encoder: Encoder, photos: ImageSet, known: KnownMap, seen: Mapping[str, Vectors]) -> None:
    """Writes map.npy: of the known settings, fitted on `photos`.

    Args:
        folder: of the encoder.
        encoder: behind which no map stands yet.
        seen: image_id -> vector (D,) of that encoder, where it is known; the other photos are encoded.
    """
    there, step = dict(seen), eval_batch(photos.image_size)
    new = np.array([row for row, name in enumerate(photos.image_ids) if name not in there], dtype=np.int64)
    for start in range(0, len(new), step):
        rows = new[start : start + step]
        vectors = encoder.encode(to_float(photos.images[rows]).numpy())
        there |= dict(zip(photos.image_ids[rows], vectors, strict=True))
    whole = np.stack([there[name] for name in photos.image_ids])
    labels = labels_of(photos.categories, photos.attributes) if known.settings.kind == "labels" else {}
    every = LabelledVectors(whole, photos.items, photos.domains == "shop", labels)
    write_array(folder / FILE, fitted(every, [known.settings], known.scale)[0].matrix)


def _alike(first: Vectors, second: Vectors) -> bool:
    return first.shape == second.shape and bool(np.abs(first - second).max() <= CLOSE * np.abs(second).max())
