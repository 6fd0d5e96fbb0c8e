"""What a map from other shops is worth to a shop that it has not seen: `python -m benchmarks.leaderboards.other_shops`.

Each set in turn is the new shop, whose labels are not known. A map within items, or within categories where these count, is
fitted on the train labels of all other sets together, each photo less the mean of its set; none of its settings is chosen.
Beside it stand the last level of the net alone, all levels with the histogram, and these behind principal components of the
gallery that is searched. Mapped vectors are centred on the mean of that gallery, which needs no labels. Figures are of test.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.common.cells import Cell, commit, open_cell, prepare_environment
from benchmarks.common.recorded_results import Results
from benchmarks.common.studies import PROJECT, Options, Study, Values, load_studies
from benchmarks.common.tables import table
from croquis.arrays import Vectors
from croquis.evaluation.metrics import hit_at_k, precision_at_k
from croquis.evaluation.protocol import PAIRS, PROTOCOLS, open_gallery, open_queries
from croquis.evaluation.ranked_answers import RelevanceJudge
from croquis.index.build import build_index
from croquis.index.exact import normalise
from croquis.index.ranking import RankedLists, drop_rows, relevance_of
from lightning_modules.data.retrieval_data import load_images
from lightning_modules.maps.closed_form import LabelledVectors, MapSettings, PrincipalComponents
from lightning_modules.methods.pretrained import fixed_net
from lightning_modules.training.whitened_start import pooled

SETS = {  # the study that says how a set is read
    "inshop_luma": "photos-inshop_luma",
    "c2s_grocery": "photos-c2s_grocery",
    "attr_products, type and colour": "photos-attr_products-colour",
    "clothing_small": "photos-clothing_small",
}
DIM, SHRINKAGE = 256, 0.1
WAYS = ("last level alone", "levels without map", "pca of its own gallery", "map of the other sets")
KEY = "1"  # of the way of measuring
SHOWN = 5  # results that precision looks at


@dataclass(frozen=True)
class Shop:
    """The photos of a set: those with labels that others may use, and those of its test.

    Attributes:
        train: of the train split.
        gallery, queries: float32 (n, D) and (q, D) of test.
        last: which of the D numbers are of the last level.
        judge: of the queries.
        by_item: whether a right answer is the item, else the category.
    """

    train: LabelledVectors
    gallery: Vectors
    queries: Vectors
    last: slice
    judge: RelevanceJudge
    by_item: bool

    @classmethod
    def of(cls, cell: Cell) -> Shop:
        """Encodes all photos of the set."""
        protocol, domains = PROTOCOLS[cell.params.base.protocol], list(cell.params.train_embedder.domains)
        pair = next(each for each in PAIRS if each.name == cell.pair)
        gallery, queries = open_gallery(cell.catalog, "test", protocol), open_queries(cell.catalog, "test", pair)
        train = cell.catalog.select(split="train", domain=domains)
        net = fixed_net(cell.params)
        net.eval()
        rows = np.unique(np.concatenate([gallery.rows, queries.rows, train]))
        images = load_images(cell.catalog, rows, cell.params.base.image_size, cell.params.preparation).images
        vectors = pooled(net, images, torch.device("cpu"))
        of_train, of_gallery, asked = (
            vectors[np.searchsorted(rows, each)] for each in (train, gallery.rows, queries.rows)
        )
        by_item = protocol.relevance == "item"
        names = cell.catalog.column("item_id" if by_item else "category")[train].astype(str)
        shop = cell.catalog.column("domain")[train] == "shop"
        labelled = LabelledVectors(of_train, np.unique(names, return_inverse=True)[1], shop)
        channels = net.backbone.level_channels
        last = slice(sum(channels[:-1]), sum(channels))
        return cls(labelled, of_gallery, asked, last, RelevanceJudge.of(queries, gallery), by_item)

    def figure(self, gallery: Vectors, queries: Vectors) -> float:
        """hit@1 where items count, else precision@5, of vectors of these photos by cosine; queries with an answer."""
        asked = np.flatnonzero(self.judge.n_relevant > 0)
        judge = self.judge.take(asked)
        index = build_index(normalise(gallery), metric="cosine")
        scores, rows = index.search(normalise(queries[asked]), min(SHOWN + judge.own.shape[1], len(gallery)))
        ranked = drop_rows(RankedLists(rows, scores), judge.own).cut(SHOWN)
        relevance = relevance_of(ranked, judge.query_codes, judge.gallery_codes)
        found = hit_at_k(relevance, 1) if self.by_item else precision_at_k(relevance, SHOWN)
        return round(float(found.mean()), 6)


def map_of(shops: Sequence[Shop]) -> Vectors:
    """(D, d): a map within the items of several shops, without an offset."""
    vectors = np.concatenate([shop.train.vectors - shop.train.vectors.mean(axis=0) for shop in shops])
    counts = [int(shop.train.items.max()) + 1 for shop in shops]
    starts = np.cumsum([0, *counts[:-1]])
    items = np.concatenate([shop.train.items + start for shop, start in zip(shops, starts, strict=True)])
    together = LabelledVectors(vectors, items, np.concatenate([shop.train.shop for shop in shops]))
    return PrincipalComponents(vectors).fit(together, [MapSettings("within_item", DIM, SHRINKAGE)])[0].matrix[:-1]


def measure(shops: Mapping[str, Shop], name: str) -> Values:
    """The figures of a shop by each of `WAYS`."""
    new = shops[name]
    mean, others = new.gallery.mean(axis=0), map_of([shop for other, shop in shops.items() if other != name])
    every = LabelledVectors(new.gallery, np.zeros(len(new.gallery), np.int64), np.ones(len(new.gallery), np.bool_))
    own = PrincipalComponents(new.gallery).fit(every, [MapSettings("pca", DIM)])[0].matrix[:-1]
    found = [new.figure(new.gallery[:, new.last], new.queries[:, new.last]), new.figure(new.gallery, new.queries)]
    found += [new.figure((new.gallery - mean) @ matrix, (new.queries - mean) @ matrix) for matrix in (own, others)]
    return {"measure": "hit@1" if new.by_item else f"precision@{SHOWN}", "figures": dict(zip(WAYS, found, strict=True))}


def main(arguments: Sequence[str] | None = None) -> None:
    asked = argparse.ArgumentParser(
        prog="python -m benchmarks.leaderboards.other_shops",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    asked.add_argument("--shared", type=Path, default=PROJECT.parent / "shared/data", help="folder of the real sets")
    asked.add_argument("--reports", type=Path, default=PROJECT / "reports/benchmarks", help="where figures are kept")
    asked.add_argument("--scratch", type=Path, default=PROJECT / ".scratch/benchmarks", help="where workspaces are")
    given = asked.parse_args(arguments)
    options = Options(None, 1.0, {}, given.shared, None, given.reports, given.scratch.resolve())
    prepare_environment(options.scratch)
    studies, shops = load_studies(), {}
    for name, study in SETS.items():
        shops[name] = Shop.of(open_cell(studies[study], "pretrained", studies[study].seeds[0], options))
        print(f"{name}: {len(shops[name].train.items)} photos of train", flush=True)
    results = Results(given.reports / "other-shops.json", {}, options.scratch)
    for name in shops:
        results.add(name, {"key": KEY, "commit": commit(), **measure(shops, name)})
        print(name, results.cells[name], flush=True)


def shops_table(report: Mapping[str, Values], _: Study) -> str:
    """A row per set that was left out."""
    rows = [
        [name, cell["measure"], *(f"{cell['figures'][way]:.3f}" for way in WAYS)]
        for name, cell in report["cells"].items()
    ]
    return table(["set left out", "figure", *WAYS], rows)


if __name__ == "__main__":
    main()
