"""Evaluation of an exported bundle on a split: what was measured is what is served.

Every pair of domains whose queries exist is measured. Photo queries go through the encoder; where the index holds codes,
they are compared in both ways, the bundle's own (`encoder`) and the other (`encoder-symmetric`, `encoder-asymmetric`).
Sketch queries take three paths, always side by side: `gan` (generator, then encoder), `direct` (straight into the encoder)
and `edges` (the drawing against edge maps of the gallery, which needs no learning at all). Each path that is served is
measured before and after the bundle's re-ranking, and after each of `rerank.compare`; the query's attributes are predicted,
never read from its label, and without a classifier what needs one is left out.

Each search is that of the library and the server (`croquis.search.composition`), over the gallery's photos alone. The
bundle's own index is searched, whatever its kind, and photos outside the gallery are left out of its answers. How much
of an exhaustive search it finds is reported beside the figures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from PIL import Image

from croquis.arrays import Uint8Image, Vectors
from croquis.bundle.gallery_file import GALLERY_SCHEMA
from croquis.bundle.gallery_table import GalleryTable
from croquis.catalog.filters import Filters
from croquis.catalog.prepared_photos import PreparedPhotos, find_photos
from croquis.catalog.table import Catalog
from croquis.evaluation.gallery_edges import edges_of, find_gallery_edges
from croquis.evaluation.metrics import REPORTED_K
from croquis.evaluation.protocol import (
    INSTANCE,
    PAIRS,
    JudgedGallery,
    Pair,
    Protocol,
    ProtocolError,
    open_gallery,
    open_queries,
)
from croquis.evaluation.ranked_answers import QueryPath, answer, in_gallery_order
from croquis.evaluation.results import SERVED_PATHS, RunResult, SplitResult
from croquis.evaluation.search_recall import RECALL, CountedGallery
from croquis.index.build import build_index
from croquis.index.code_index import CodeIndex
from croquis.index.dense import HnswIndex
from croquis.index.kinds import kinds_of
from croquis.index.vector_index import VectorIndex
from croquis.nets.edge_descriptor import EdgeDescriptor
from croquis.nets.encoder import other_comparison
from croquis.rerank.overlap import to_bytes
from croquis.rerank.rerank_settings import RerankBlock
from croquis.rerank.reranker import needs_classifier
from croquis.search.bundle_nets import Nets
from croquis.search.composition import Composition, same_pictures
from croquis.search.gallery import BundleGallery
from croquis.search.local_retriever import LocalRetriever

Describe = Callable[[Sequence[Uint8Image]], Vectors]


@dataclass(frozen=True)
class EvaluationSettings:
    """How to measure.

    Attributes:
        depth: length of the ranked lists, at least every reported k; a protocol of categories sets its own.
        resamples: bootstrap resamples of the query items.
        chunk: queries held at a time.
        seed: of the bootstrap.
        edges: method of `croquis.catalog.edge_maps.edge_map`.
        edge_size: side of the photos that edge maps are made of, pixels.
        protocol: what is right, and who is searched.
    """

    depth: int
    resamples: int
    chunk: int
    seed: int
    edges: str
    edge_size: int
    protocol: Protocol = INSTANCE

    def __post_init__(self) -> None:
        if self.depth < max(REPORTED_K):
            raise ValueError(
                f"evaluate.depth is {self.depth}, must be at least the largest reported k ({max(REPORTED_K)}): raise it"
            )


def evaluate_split(
    retriever: LocalRetriever,
    catalog: Catalog,
    sketches: Catalog | None,
    split: str,
    settings: EvaluationSettings,
    *,
    reencode_gallery: bool = False,
    pairs: Sequence[Pair] = PAIRS,
) -> SplitResult:
    """Measures a bundle on every pair and path that it and the split allow.

    Args:
        retriever: the opened bundle.
        catalog: photos: the gallery, and the queries of the photo pairs.
        sketches: the queries of `sketch->shop`; None for none.
        split: `val` or `test` (or `train`, to see over-fitting).
        settings: how to measure.
        reencode_gallery: encode the gallery's photos afresh and search them in an index of the bundle's kind, settings
            and trained parts. In this way a bundle whose index holds an older catalogue is scored on the present one;
            score both sides of a comparison so.
        pairs: which pairs to measure, all by default.

    Raises:
        ProtocolError: when the split has no gallery or no query with an answer, or the bundle lacks gallery photos.
    """
    draft = retriever.nets.draft
    gallery = open_gallery(catalog, split, settings.protocol, draft)
    searched = (_fresh if reencode_gallery else _stored)(retriever, gallery, settings.chunk)
    reranks = _reranks(retriever)
    runs: list[RunResult] = []
    for pair in pairs:
        queries = open_queries(sketches if pair.query_domain == "sketch" and sketches else catalog, split, pair, draft)
        for path in _paths(pair, retriever.nets, searched, gallery, settings) if len(queries) else ():
            # Edge maps and the comparison that is not configured have no part in the product: nothing to re-rank.
            wanted = reranks if path.name in SERVED_PATHS else {}
            chosen = {"depth": settings.depth, "chunk": settings.chunk}
            photos = None if pair.query_domain == "sketch" else _squares(retriever.nets, catalog)
            runs += answer(pair.name, path, queries, gallery, reranks=wanted, photos=photos, **chosen)
    if not runs:
        raise ProtocolError(f"split {split!r} of {catalog.folder} has no query with a right answer in its gallery")
    found: dict[str, str | float] = {"kind": retriever.bundle.index.kind, RECALL: searched.recall}
    return SplitResult(split, gallery, runs, settings.depth, settings.resamples, settings.seed, found)


def _squares(nets: Nets, catalog: Catalog) -> PreparedPhotos | None:
    """What all nets see of the catalogue's photos, where the stage `prepare` has kept it."""
    sizes = {nets.size, *([nets.classifier.size] if nets.has_classifier else [])}
    return find_photos(catalog, nets.size, nets.draft) if len(sizes) == 1 else None


def served_gallery(bundled: BundleGallery, gallery: JudgedGallery) -> BundleGallery:
    """What a bundle holds of the gallery's photos, in the gallery's order.

    Raises:
        ProtocolError: when the bundle lacks some of them.
    """
    places = {image_id: row for row, image_id in enumerate(bundled.items.image_ids)}
    missing = [image_id for image_id in gallery.image_ids if image_id not in places]
    if missing:
        raise ProtocolError(
            f"the bundle lacks {len(missing)} of {len(gallery)} gallery photos, first {missing[0]!r}: it was built on "
            f"another catalogue; rebuild it (dvc repro index) or evaluate with reencode_gallery=True"
        )
    rows = np.array([places[image_id] for image_id in gallery.image_ids], dtype=np.int64)
    return bundled.among(rows)


def _stored(retriever: LocalRetriever, gallery: JudgedGallery, chunk: int) -> CountedGallery:
    searched = served_gallery(BundleGallery.of(retriever.bundle), gallery)
    kept = kinds_of(searched.index.head).get(searched.index.kind)
    floats = None
    if searched.index.head == "dense" and not (kept and kept.keeps_floats):
        floats = _gallery_vectors(gallery, retriever.encode_photos, chunk)
    return CountedGallery(searched, floats)


def _fresh(retriever: LocalRetriever, gallery: JudgedGallery, chunk: int) -> CountedGallery:
    """Vectors and attributes made now from the gallery's photos, in an index of the bundle's kind and settings."""
    own, floats = retriever.bundle.index, _gallery_vectors(gallery, retriever.encode_photos, chunk)
    if isinstance(own, HnswIndex):  # what a graph finds depends on all its vectors, not on those of the gallery alone
        places = {image_id: row for row, image_id in enumerate(retriever.bundle.items.image_ids)}
        rows = np.array([places.get(image_id, -1) for image_id in gallery.image_ids], dtype=np.int64)
        index: VectorIndex = own.replaced(rows, floats)
    else:
        index = own.refilled(floats)
    index.threads = own.threads
    items = _items_now(retriever, gallery, chunk)
    return CountedGallery(BundleGallery(index, items, retriever.bundle.manifest.attributes), floats)


def _items_now(retriever: LocalRetriever, gallery: JudgedGallery, chunk: int) -> GalleryTable:
    """What the present catalogue and, where re-ranking asks for that, the classifier say of the gallery's photos."""
    columns = gallery.catalog.table.take(pa.array(gallery.rows)).to_pydict()
    predicted: list[list[str]] = [[] for _ in gallery.rows]
    cells: list[bytes | None] = [None for _ in gallery.rows]
    if retriever.nets.has_classifier and retriever.rerank.gallery_attributes == "predicted":
        found = np.stack(in_gallery_order(gallery, retriever.nets.probabilities, chunk))
        predicted = [sorted(names) for names in retriever.nets.classifier.decide(found)]
        cells = [row.tobytes() for row in to_bytes(found)]
    schema = GALLERY_SCHEMA.remove(GALLERY_SCHEMA.get_field_index("thumbnail"))
    columns |= {"predicted_attributes": predicted}
    table = pa.table({name: columns[name] for name in schema.names}, schema=schema)
    return GalleryTable(table, lambda row: next(gallery.catalog.images([int(gallery.rows[row])])), lambda: cells)


def _reranks(retriever: LocalRetriever) -> dict[str, RerankBlock]:
    block = retriever.rerank
    return {
        name: replace(block, steps=steps)
        for name, steps in block.chains().items()
        if retriever.nets.has_classifier or not needs_classifier(steps)
    }


def _paths(
    pair: Pair, nets: Nets, searched: CountedGallery, gallery: JudgedGallery, settings: EvaluationSettings
) -> list[QueryPath]:
    if pair.query_domain != "sketch":
        paths = [QueryPath("encoder", Composition.of(nets, searched, "photo"))]
        if isinstance(searched.index, CodeIndex):
            other = other_comparison(searched.index.comparison)
            compared = BundleGallery(searched.index.compared(other), searched.items, searched.names)
            paths.append(QueryPath(f"encoder-{other}", Composition.of(nets, compared, "photo")))
        return paths
    direct = QueryPath("direct", Composition.of(nets, searched, "sketch-direct"))
    edges = _edge_path(gallery, searched.items, settings)
    if not nets.has_generator:
        return [direct, edges]
    return [QueryPath("gan", Composition.of(nets, searched, "sketch")), direct, edges]


def _edge_path(gallery: JudgedGallery, items: GalleryTable, settings: EvaluationSettings) -> QueryPath:
    """Drawings against edge maps of the photos: the baseline of sketch search. A drawing is an edge map already."""

    def of_drawings(drawings: Sequence[Uint8Image]) -> Vectors:
        return EdgeDescriptor().describe([np.asarray(Image.fromarray(drawing).convert("L")) for drawing in drawings])

    size, method = settings.edge_size, settings.edges
    vectors = find_gallery_edges(gallery.catalog, gallery.rows, size, method, gallery.draft)
    if vectors is None:
        vectors = _gallery_vectors(gallery, lambda photos: edges_of(photos, size, method), settings.chunk)
    maps = BundleGallery(build_index(vectors, metric="cosine"), items, None)
    return QueryPath("edges", Composition(same_pictures, of_drawings, lambda v, k: maps.search(v, k, Filters())))


def _gallery_vectors(gallery: JudgedGallery, describe: Describe, chunk: int) -> Vectors:
    vectors: list[Vectors] = in_gallery_order(gallery, describe, chunk)
    return np.stack(vectors)
