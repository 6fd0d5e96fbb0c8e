"""Baselines on the features of a trained net: the pooled map of its backbone, which is what code layers stand on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.codes.baselines import fit_baseline
from croquis.arrays import Rows, Vectors
from croquis.catalog.table import Catalog
from croquis.evaluation.metrics import ap_depth, named_average_precision
from croquis.evaluation.protocol import PAIRS, JudgedGallery, Protocol, Queries, open_gallery, open_queries
from croquis.evaluation.ranked_answers import RelevanceJudge, queries_at_a_time
from croquis.index.build import build_index
from croquis.index.exact import normalise
from croquis.index.ranking import RankedLists, drop_rows, relevance_of
from croquis.index.vector_index import VectorIndex
from croquis.params import Params
from lightning_modules.data.retrieval_data import EVAL_BATCH, load_images, to_float
from lightning_modules.nets.backbones import Backbone, build_backbone

DIGITS = 6
CHUNK = 64
SHOP = next(pair for pair in PAIRS if pair.query_domain == "shop")


@dataclass(frozen=True)
class Features:
    """Pooled features of the images that a baseline sees.

    Attributes:
        gallery, queries: of the test split, whose features are `database` and `asked`.
        learnt_from: (n, C), every image but the queries that training may see: the train split and the gallery.
        labelled: (m, C), those of the train split.
        names: the average precisions to report.
    """

    gallery: JudgedGallery
    queries: Queries
    database: Vectors
    asked: Vectors
    learnt_from: Vectors
    labelled: Vectors
    names: Sequence[str]

    @classmethod
    def of(cls, catalog: Catalog, protocol: Protocol, names: Sequence[str], backbone: Backbone, size: int) -> Features:
        gallery, queries = open_gallery(catalog, "test", protocol), open_queries(catalog, "test", SHOP)
        train = catalog.select(split="train")
        database, asked = (pooled(backbone, catalog, rows, size) for rows in (gallery.rows, queries.rows))
        if np.isin(train, gallery.rows).all():
            return cls(gallery, queries, database, asked, database, database[np.isin(gallery.rows, train)], names)
        labelled = pooled(backbone, catalog, train, size)
        apart = ~np.isin(train, gallery.rows)
        learnt_from = np.concatenate([database, labelled[apart]])
        return cls(gallery, queries, database, asked, learnt_from, labelled, names)


def pooled(backbone: Backbone, catalog: Catalog, rows: Rows, size: int) -> Vectors:
    """The mean over the backbone's feature map of each image; (len(rows), channels)."""
    order = np.argsort(rows, kind="stable")  # shards are read once when rows ascend
    images = load_images(catalog, rows[order], size).images
    with torch.inference_mode():
        parts = [
            backbone(to_float(images[start : start + EVAL_BATCH])).mean(dim=(2, 3)).numpy()
            for start in range(0, len(images), EVAL_BATCH)
        ]
    features = np.empty((len(rows), backbone.channels), dtype=np.float32)
    features[order] = np.concatenate(parts)
    return features


def load_backbone(params: Params, path: Path) -> Backbone:
    """The backbone whose weights `torch.save` wrote to `path`, ready to be asked."""
    backbone = build_backbone(
        params.train_embedder.backbone.model_copy(update={"weights": "none"}), params.base.image_size
    )
    backbone.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return backbone.eval()


def baseline_figures(
    features: Features, name: str, bits: int, seed: int, labelled_only: bool = False
) -> dict[str, float]:
    """The average precisions of a baseline, searched in the way that is its own.

    Args:
        labelled_only: it learns from the images with labels, as supervised codes do, and not also from the database.
    """
    learnt_from = features.labelled if labelled_only else features.learnt_from
    baseline = fit_baseline(name, learnt_from, bits, seed)
    index = baseline.build(features.database)
    return list_figures(index, baseline.queries(features.asked), features)


def component_figures(features: Features) -> dict[str, dict[str, float]]:
    """The average precisions of the features themselves, as floats, by how many principal components are left of them.

    They are centred and compared by cosine: as many components as separate classes linearly, one fewer than there are
    classes, and `all`. Where the first do as well as all, longer codes have nothing more to keep.
    """
    offset = features.learnt_from.mean(axis=0, dtype=np.float64)
    centred = features.learnt_from - offset
    directions = np.linalg.eigh(centred.T @ centred)[1][:, ::-1]
    telling = len(np.unique(features.gallery.categories)) - 1
    found = {}
    for name, count in ((str(telling), telling), ("all", len(offset))):
        database, asked = (
            normalise((vectors - offset) @ directions[:, :count]) for vectors in (features.database, features.asked)
        )
        index = build_index(database, metric="cosine")
        found[name] = list_figures(index, asked, features)
    return found


def list_figures(index: VectorIndex, asked: Vectors, features: Features) -> dict[str, float]:
    """Means over the queries with an answer, for vectors that are there already; see `croquis.evaluation.ranked_answers`."""
    gallery, judge = features.gallery, RelevanceJudge.of(features.queries, features.gallery)
    matched = np.flatnonzero(judge.n_relevant > 0)
    judge, asked = judge.take(matched), asked[matched]
    depth = gallery.protocol.list_depth(max_depth(features.names, len(gallery)), len(gallery))
    step = queries_at_a_time(CHUNK, depth)
    found: dict[str, list[npt.NDArray[np.float64]]] = {name: [] for name in features.names}
    for start in range(0, len(asked), step):
        part = slice(start, start + step)
        own = judge.own[part]
        scores, rows = index.search(asked[part], min(depth, len(gallery)) + own.shape[1], tiebreak=gallery.keys)
        ranked = drop_rows(RankedLists(rows, scores), own).cut(min(depth, len(gallery)))
        relevance = relevance_of(ranked, judge.query_codes[part], judge.gallery_codes)
        for name in features.names:
            values = named_average_precision(name, relevance, judge.n_relevant[part], gallery.protocol.normaliser)
            found[name].append(values)
    return {name: round(float(np.concatenate(parts).mean()), DIGITS) for name, parts in found.items()}


def max_depth(names: Sequence[str], gallery: int) -> int:
    """The longest list that one of these average precisions looks at; `map@all` sees to itself."""
    return max((gallery if name == "map@r" else ap_depth(name) or 1 for name in names), default=1)
