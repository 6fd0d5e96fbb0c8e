"""Scores candidate and champion alike on the present queries and gallery; a champion may be built on another catalogue."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow.compute as pc

from croquis.bundle import Bundle
from croquis.catalog.table import Catalog
from croquis.evaluation.evaluate_bundle import EvaluationSettings, evaluate_split
from croquis.evaluation.protocol import PROTOCOLS
from croquis.params import Params
from croquis.registry.evaluation_reports import Measure, mode_scores, query_scores
from croquis.registry.gating.verdict import Scores, Size
from croquis.search.local_retriever import LocalRetriever


def evaluation_settings(params: Params) -> EvaluationSettings:
    """What params.yaml says about evaluations, as the stage `evaluate` uses it."""
    return EvaluationSettings(
        depth=params.evaluate.depth,
        resamples=params.evaluate.bootstrap,
        chunk=params.evaluate.chunk,
        seed=params.base.seed,
        edges=params.sketch.edges,
        edge_size=params.sketch.size,
        protocol=PROTOCOLS[params.base.protocol],
    )


def score_bundle(bundle: Bundle, split: str, measure: Measure, params: Params, root: Path) -> Scores:
    """Results of `bundle` query by query; its encoder encodes the gallery afresh, which is
    searched by an index of the bundle's own kind.

    Args:
        bundle: the candidate's or the champion's.
        split: whose queries and gallery are used.
        measure: the pair and metric that count.
    """
    catalog = Catalog.open(root / "data/catalog")
    sketches = Catalog.open_if_any(root / "data/sketches") if measure.pair.startswith("sketch") else None
    settings = evaluation_settings(params)
    table = evaluate_split(LocalRetriever.of(bundle), catalog, sketches, split, settings, reencode_gallery=True).table()
    reranked = bundle.manifest.rerank.enabled
    chosen = query_scores(table, split, measure, reranked, f"bundle {bundle.hash[:12]} ({bundle.manifest.method})")
    return replace(chosen, modes=mode_scores(table, split, measure.metric, reranked), size=serving_size(bundle))


def trained_on(bundle: Bundle) -> set[str]:
    """The items of the split `train` that the bundle's gallery shows."""
    table = bundle.items.table
    return set(table.filter(pc.equal(table["split"], "train"))["item_id"].to_pylist())


def serving_size(bundle: Bundle) -> Size:
    """Of the index per photo, and of all files but the index and the gallery, whose sizes go by the catalogue's."""
    manifest = bundle.manifest
    by_catalogue = (manifest.index.file, manifest.items.file)
    nets = sum(entry.bytes for name, entry in manifest.files.items() if name not in by_catalogue)
    return Size(manifest.index.bytes_per_vector, nets)
