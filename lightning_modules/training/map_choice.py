"""The map behind a trained or fixed encoder: fitted on train, kept where val scores higher with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from croquis.arrays import Vectors
from croquis.files import read_json, write_array, write_json
from croquis.nets.encoder import Encoder, LinesDescription, describe_encoder, load_encoder
from croquis.nets.linear_map import LinearMap
from croquis.params.training_blocks import Map
from lightning_modules.data.photo_rows import Images
from lightning_modules.data.retrieval_data import EVAL_BATCH, RetrievalData, to_float
from lightning_modules.training.closed_form import LabelledVectors, PrincipalComponents, candidates
from lightning_modules.training.val_scores import decisive_score, retrieval_scores

FILE = "map.npy"


def add_map(folder: Path, data: RetrievalData, block: Map, threads: int) -> dict[str, float]:
    """Fits the maps that `block` allows, and writes the one that is best on val beside the encoder of `folder`.

    An encoder whose vectors become codes keeps none, nor does one of lines, which the photos of val would choose.

    Returns:
        `val_without`, `val_with`: the score by which epochs are picked too, without a map and with the best; and `kept`,
        1 or 0. Nothing where no map was fitted.
    """
    described = describe_encoder(folder)
    if block.kind == "none" or described.head != "dense" or isinstance(described, LinesDescription):
        return {}
    encoder = load_encoder(folder, threads)
    train, val = (encoded(encoder, images) for images in (data.train.images, data.val.images))
    plain = score(val, data)
    fitted = best_map(LabelledVectors(train, data.train.items, data.train.domains == "shop"), val, data, block)
    mapped = score(fitted.apply(val), data)
    if mapped > plain:
        write_array(folder / FILE, fitted.matrix)
        stated = read_json(folder / "encoder.json")
        write_json(folder / "encoder.json", stated | {"map": FILE, "dim": fitted.dim, "metric": "cosine"})
    return {"val_without": plain, "val_with": mapped, "kept": float(mapped > plain)}


def best_map(train: LabelledVectors, val: Vectors, data: RetrievalData, block: Map) -> LinearMap:
    """Of the maps that `block` and the labels allow, the first of the best on val; `pca` where no item has two images."""
    components = PrincipalComponents(train.vectors)
    allowed = list(candidates(train, block.dims, block.shrinkages))
    wanted = [settings for settings in allowed if block.kind in ("best", settings.kind)]
    maps = [components.fit(train, settings) for settings in wanted or allowed]
    return max(maps, key=lambda fitted: score(fitted.apply(val), data))


def encoded(encoder: Encoder, images: Images) -> Vectors:
    """float32 (N, dim), a batch at a time."""
    vectors = np.empty((len(images), encoder.dim), dtype=np.float32)
    for start in range(0, len(images), EVAL_BATCH):
        batch = to_float(images[slice(start, start + EVAL_BATCH)]).numpy()
        vectors[start : start + len(batch)] = encoder.encode(batch)
    return vectors


def score(vectors: Vectors, data: RetrievalData) -> float:
    """Of val, by which epochs are picked too."""
    return retrieval_scores(vectors, vectors, data)[decisive_score(data)]
