"""The map behind a trained or fixed encoder: fitted on train, kept where val scores higher with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from croquis.arrays import Rows, Vectors
from croquis.evaluation import metrics
from croquis.files import read_json, write_array, write_json
from croquis.nets.encoder import Encoder, LinesDescription, describe_encoder, load_encoder
from croquis.nets.linear_map import LinearMap
from croquis.params import load_params
from croquis.params.training_blocks import Map
from lightning_modules.data.photo_rows import Images
from lightning_modules.data.retrieval_data import RetrievalData, eval_batch, to_float
from lightning_modules.maps.closed_form import (
    LabelledVectors,
    Labels,
    MapSettings,
    PrincipalComponents,
    candidates,
    scaled,
)
from lightning_modules.training.val_scores import decisive_score, rank_gallery, retrieval_scores

FILE = "map.npy"
SMALL_VAL = 30  # queries, or items that they ask for; below, one more right answer or item decides on little
FOLDS = 5
MOST_TRIED = 3000  # photos that a map is chosen on where there is no val


@dataclass(frozen=True)
class ChosenMap:
    """The best map, and the score without and with it.

    Attributes:
        linear: fitted on all train photos.
        settings: of it.
        scale: (D,), on the numbers of a vector, likewise.
        by: what it was chosen on: `val`, or `train` where items of train were left out; see `trials_of`.
    """

    linear: LinearMap
    settings: MapSettings
    scale: Vectors
    by: str
    without: float
    score: float


@dataclass(frozen=True)
class Trial:
    """Vectors that a map is fitted on, and its score on other ones; `None` scores the vectors as they are."""

    train: LabelledVectors
    score: Callable[[LinearMap | None], float]


def add_map(folder: Path, data: RetrievalData, block: Map, threads: int, colours: int = 0) -> dict[str, float]:
    """Fits the maps that `block` allows, and writes the one that is best on val beside the encoder of `folder`.

    An encoder whose vectors become codes keeps none, nor does one of lines, which the photos of val would choose.

    Args:
        colours: how many of the last numbers of the encoder's vectors are a colour histogram.

    Returns:
        `val_without`, `val_with`: the score by which epochs are picked too, without a map and with the best; `train_...`
        where val is so small that items of train were left out; and `kept`, 1 or 0. Nothing where no map was fitted.
    """
    described = describe_encoder(folder)
    if block.kind == "none" or described.head != "dense" or isinstance(described, LinesDescription):
        return {}
    encoder = load_encoder(folder, threads)
    train, val = (encoded(encoder, images) for images in (data.train.images, data.val.images))
    found = best_map(train, val, data, block, colours)
    kept = found.score > found.without
    if kept:
        linear = found.linear if block.fit_on == "train" else with_val(train, val, data, found)
        write_array(folder / FILE, linear.matrix)
        stated = read_json(folder / "encoder.json")
        write_json(folder / "encoder.json", stated | {"map": FILE, "dim": linear.dim, "metric": "cosine"})
    return {f"{found.by}_without": found.without, f"{found.by}_with": found.score, "kept": float(kept)}


def best_map(
    train: Vectors, val: Vectors, data: RetrievalData, block: Map, colours: int = 0, labels: bool = True
) -> ChosenMap:
    """Of the maps that `block` and the labels allow, the first of the best; `pca` where no item has two images.

    Chosen as `trials_of` says.

    Args:
        train: (N, D), vectors of `data.train`.
        val: (V, D), those of `data.val`.
        colours: how many of the last numbers are a colour histogram, whose weight is chosen too.
        labels: whether the kind `labels` is among the maps, where the protocol asks for categories.
    """
    own = LabelledVectors(train, data.train.items, data.train.domains == "shop")
    by, trials = trials_of(own, val, data)
    if by == "val" and labels and data.protocol.relevance == "category":
        own = replace(own, labels=labels_of(data.train.categories, data.train.attributes))
        trials = [replace(trial, train=own) for trial in trials]
    allowed = list(candidates(own, block.dims, block.shrinkages))
    wanted = [settings for settings in allowed if block.kind in ("best", settings.kind)] or allowed
    scales = [np.r_[np.ones(train.shape[1] - colours), np.full(colours, factor)] for factor in factors(block, colours)]
    scores = [figure for scale in scales for figure in mean_scores(trials, wanted, scale)]
    best = int(np.argmax(scores))
    scale, settings = scales[best // len(wanted)], wanted[best % len(wanted)]
    linear = fitted(own, [settings], scale)[0]
    without = float(np.mean([trial.score(None) for trial in trials]))
    return ChosenMap(linear, settings, scale, by, without, scores[best])


def trials_of(own: LabelledVectors, val: Vectors, data: RetrievalData) -> tuple[str, list[Trial]]:
    """What maps are compared on, and `val` or `train` for it.

    Val, where it has `SMALL_VAL` queries, and these, where items count, ask for `SMALL_VAL` items. With fewer items, those
    of train, a part at a time left out of the fit, count beside val; with fewer queries they count alone.

    Args:
        own: vectors of `data.train`.
        val: (V, D), those of `data.val`.
    """
    whole = Trial(own, lambda linear: score(val if linear is None else linear.apply(val), data))
    asked = data.val.items[data.val_is_query]
    few = data.protocol.relevance == "item" and len(np.unique(asked)) < SMALL_VAL
    left_out = left_out_trials(own) if few or len(asked) < SMALL_VAL else []
    if not left_out:
        return "val", [whole]
    return "train", left_out + [whole] * (len(asked) >= SMALL_VAL)


def with_val(train: Vectors, val: Vectors, data: RetrievalData, found: ChosenMap) -> LinearMap:
    """The map that was found, fitted on the photos of val, too.

    Args:
        train: (N, D), vectors of `data.train`.
        val: (V, D), those of `data.val`.
    """
    new = ~np.isin(data.val.image_ids.astype(str), data.train.image_ids.astype(str))
    items = data.val.items[new]
    if data.protocol.relevance == "item":  # counted over each split
        items = items + 1 + data.train.items.max(initial=-1)
    labels: dict[str, Labels] = {}
    if found.settings.kind == "labels":
        categories = np.concatenate([data.train.categories, data.val.categories[new]])
        labels = labels_of(categories, np.concatenate([data.train.attributes, data.val.attributes[new]]))
    both = LabelledVectors(
        np.concatenate([train, val[new]]),
        np.concatenate([data.train.items, items]),
        np.concatenate([data.train.domains, data.val.domains[new]]) == "shop",
        labels,
    )
    return fitted(both, [found.settings], found.scale)[0]


def labels_of(categories: Rows, attributes: npt.NDArray[np.object_]) -> dict[str, Labels]:
    """Labels of images for `LabelledVectors`: `category`, and `attributes` where there are any.

    Args:
        categories: (N,) number of each image's category.
        attributes: (N,) the names that each image has; one that is not among them counts as absent.
    """
    found = {"category": categories[:, None] == np.unique(categories)}
    names = sorted({name for each in attributes for name in each})
    if names:
        place = {name: number for number, name in enumerate(names)}
        found["attributes"] = np.zeros((len(categories), len(names)), dtype=np.bool_)
        for row, each in enumerate(attributes):
            found["attributes"][row, [place[name] for name in each]] = True
    return found


def factors(block: Map, colours: int) -> list[float]:
    """On the histogram, where the vectors end with one."""
    return sorted(set(block.histogram_factors)) if colours else [1.0]


def fitted(train: LabelledVectors, wanted: Sequence[MapSettings], scale: Vectors) -> list[LinearMap]:
    """Of vectors whose numbers are weighted by `scale`, (D,); each map takes them as they are."""
    weighted = replace(train, vectors=train.vectors * scale.astype(np.float32))
    found = PrincipalComponents(weighted.vectors).fit(weighted, wanted)
    return [scaled(linear.matrix, scale) for linear in found]


def mean_scores(trials: Sequence[Trial], wanted: Sequence[MapSettings], scale: Vectors) -> list[float]:
    """Of each of the settings, over the trials."""
    scores = [[trial.score(linear) for linear in fitted(trial.train, wanted, scale)] for trial in trials]
    return [float(mean) for mean in np.mean(scores, axis=0)]


def left_out_trials(train: LabelledVectors) -> list[Trial]:
    """`FOLDS` parts of the items, each asked by a map of the others; empty where too few items can be asked for."""
    askable = _askable(train)
    items = np.unique(train.items[askable])
    if len(items) < 2 * FOLDS:
        return []
    return [
        _left_out(train, np.flatnonzero(askable & np.isin(train.items, items[part::FOLDS]))) for part in range(FOLDS)
    ]


def _askable(train: LabelledVectors) -> np.ndarray:
    """Photos with an answer, another shop photo of their item. Where some are not from the shop, these ask alone."""
    answers = np.bincount(train.items[train.shop], minlength=int(train.items.max(initial=-1)) + 1)[train.items]
    asking = np.ones(len(train.items), dtype=np.bool_) if train.shop.all() else ~train.shop
    return asking & (answers - train.shop > 0)


def _left_out(train: LabelledVectors, asking: np.ndarray) -> Trial:
    others = ~np.isin(train.items, train.items[asking])
    gallery = np.flatnonzero(train.shop)
    part = LabelledVectors(train.vectors[others], train.items[others], train.shop[others])

    def average_precision(linear: LinearMap | None) -> float:
        """mAP@R of the query photos."""
        mapped = train.vectors if linear is None else linear.apply(train.vectors)
        order = gallery[rank_gallery(mapped[asking], mapped[gallery], len(gallery))]
        order = order[order != asking[:, None]].reshape(len(asking), -1) if train.shop.all() else order
        relevance = train.items[order] == train.items[asking][:, None]
        average = metrics.named_average_precision("map@r", relevance, relevance.sum(axis=1))
        return float(average.mean())

    return Trial(part, average_precision)


def map_without_split(vectors: Vectors, items: Rows, block: Map) -> LinearMap | None:
    """Of photos that are all in the gallery: the best of the maps on items that it was not fitted on, or None where the
    vectors as they are do better; `pca` of the longest of `block.dims` where too few items have several photos to ask by.

    Args:
        vectors: (N, D).
        items: (N,) number of each photo's item.
    """
    own = LabelledVectors(vectors, items, np.ones(len(items), dtype=np.bool_))
    scale = np.ones(vectors.shape[1], dtype=np.float32)
    trials = left_out_trials(_first_of_several(own))
    if not trials:
        return fitted(own, [MapSettings("pca", max(block.dims))], scale)[0]
    wanted = list(candidates(own, block.dims, block.shrinkages))
    scores = mean_scores(trials, wanted, scale)
    best = int(np.argmax(scores))
    without = float(np.mean([trial.score(None) for trial in trials]))
    return fitted(own, [wanted[best]], scale)[0] if scores[best] > without else None


def _first_of_several(own: LabelledVectors) -> LabelledVectors:
    """At most `MOST_TRIED` photos, whole items of several ones first: all of a large gallery would take hours to rank."""
    if len(own.items) <= MOST_TRIED:
        return own
    counts = np.bincount(own.items)[own.items]
    order = np.lexsort((own.items, counts == 1))[:MOST_TRIED]
    return LabelledVectors(own.vectors[order], own.items[order], own.shop[order])


def fit_map_in(root: Path) -> None:
    """Writes map.npy, if a map helps, from vectors.npy and items.npy of `root` and the block `map` of its params.yaml."""
    vectors, items = (np.load(root / name, allow_pickle=False) for name in ("vectors.npy", "items.npy"))
    found = map_without_split(vectors, items, load_params(root / "params.yaml").train_embedder.map)
    if found is not None:
        write_array(root / FILE, found.matrix)


def encoded(encoder: Encoder, images: Images) -> Vectors:
    """float32 (N, dim), a batch at a time."""
    vectors = np.empty((len(images), encoder.dim), dtype=np.float32)
    step = eval_batch(images.shape[-1])
    for start in range(0, len(images), step):
        batch = to_float(images[slice(start, start + step)]).numpy()
        vectors[start : start + len(batch)] = encoder.encode(batch)
    return vectors


def score(vectors: Vectors, data: RetrievalData) -> float:
    """Of val, by which epochs are picked too."""
    return retrieval_scores(vectors, vectors, data)[decisive_score(data)]
