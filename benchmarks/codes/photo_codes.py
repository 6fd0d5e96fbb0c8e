"""Learned codes of real photos against LSH, ITQ, PQ and OPQ at the same bits; a row is METHOD@BITS.

The learned methods start from the map of `pretrained` (`init: whitened`), are trained as everywhere and measured from their
bundles. The row of a retriever of floats gives the baselines on its vectors: they are made of what the codes start from.
"""

from __future__ import annotations

from contextlib import suppress

import numpy as np

from benchmarks.codes.baselines import BASELINES, TooFewError
from benchmarks.codes.feature_codes import SHOP, Features, baseline_figures, list_figures
from benchmarks.codes.hashing import average_precisions, learned
from benchmarks.common.cells import Cell, load_bundle, timed
from benchmarks.common.studies import Values
from croquis.arrays import Rows, Vectors
from croquis.evaluation.protocol import open_gallery, open_queries
from croquis.index.build import build_index
from croquis.search.local_retriever import LocalRetriever
from lightning_modules.data.retrieval_data import load_images
from stages import train_embedder


def measure(cell: Cell) -> Values:
    """The learned codes by both comparisons; or, of floats, their own figures and those of every baseline on them."""
    seconds = timed(cell, lambda: train_embedder.main(cell.method, cell.folder))
    figures = {"pair": cell.pair, "train_seconds": seconds} | learned(cell)
    return figures | {"baselines": {}} if figures["comparison"] else figures | below_codes(cell)


def below_codes(cell: Cell) -> Values:
    """Figures of the vectors as floats, and of the baselines, fitted without labels on all images but the queries, or on
    those of the train split."""
    features, (_, _, bits) = features_of(cell), cell.name.partition("@")
    seed, floats = cell.params.base.seed, build_index(features.database, metric="cosine")
    found: Values = {"components": {"all": list_figures(floats, features.asked, features)}}
    for block, labelled_only in {"baselines": False, "baselines_labelled": True}.items():
        found[block] = {}
        for name in BASELINES:
            with suppress(TooFewError):  # the table lacks that baseline
                found[block][name] = baseline_figures(features, name, int(bits), seed, labelled_only)
    return found


def features_of(cell: Cell) -> Features:
    """The vectors that a cell's bundle makes of the photos."""
    retriever, catalog, protocol = load_bundle(cell, cell.method), cell.catalog, cell.settings.protocol
    gallery, queries = open_gallery(catalog, "test", protocol), open_queries(catalog, "test", SHOP)
    train = catalog.select(split="train", domain="shop")
    database, asked, labelled = (encoded(retriever, cell, rows) for rows in (gallery.rows, queries.rows, train))
    learnt_from = np.concatenate([database, labelled[~np.isin(train, gallery.rows)]])
    return Features(gallery, queries, database, asked, learnt_from, labelled, average_precisions(cell))


def encoded(retriever: LocalRetriever, cell: Cell, rows: Rows) -> Vectors:
    """(len(rows), D) float32 of photos of the catalogue, in that order."""
    order = np.argsort(rows, kind="stable")  # shards are read once when rows ascend
    photos = load_images(cell.catalog, rows[order], retriever.nets.size, cell.params.preparation).images
    found = np.empty((len(rows), retriever.bundle.encoder.dim), dtype=np.float32)
    found[order] = retriever.encode_photos([photo.permute(1, 2, 0).numpy() for photo in photos[:]])
    return found
