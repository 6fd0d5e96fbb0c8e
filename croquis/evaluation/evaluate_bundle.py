"""Evaluation of an exported bundle on a split: what was measured is what is served.

Every pair of domains whose queries exist is measured. Photo queries go through the encoder; where the index holds codes,
they are compared in both ways, the bundle's own (`encoder`) and the other (`encoder-symmetric`, `encoder-asymmetric`).
Sketch queries take three paths, always side by side: `gan` (generator, then encoder), `direct` (straight into the encoder)
and `edges` (the drawing against edge maps of the gallery, which needs no learning at all). Each path that is served is
measured before and after the bundle's re-ranking, and after each of `rerank.compare`; the query's attributes are predicted,
never read from its label, and without a classifier what needs one is left out.

The bundle's own index is searched, whatever its kind, and photos outside the gallery are left out of its answers. How much
of an exhaustive search it finds is reported beside the figures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from croquis.arrays import Rows, Uint8Image, Vectors
from croquis.bundle.gallery_evidence import stored_gallery
from croquis.catalog.table import Catalog
from croquis.evaluation.edge_descriptor import EdgeDescriptor
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
from croquis.evaluation.ranked_answers import QueryPath, Reorder, Search, answer, in_gallery_order, same_pictures
from croquis.evaluation.results import SERVED_PATHS, RunResult, SplitResult
from croquis.evaluation.search_recall import RECALL, CountedSearch, exhaustive
from croquis.index.build import build_index
from croquis.index.code_index import CodeIndex
from croquis.index.dense import HnswIndex
from croquis.index.kinds import kinds_of
from croquis.index.ranking import RankedLists
from croquis.index.vector_index import VectorIndex
from croquis.nets.encoder import other_comparison
from croquis.rerank.chain import Chain
from croquis.rerank.evidence import GalleryEvidence, certain_gallery
from croquis.rerank.overlap import to_bytes
from croquis.rerank.reranker import needs_classifier
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
    gallery = open_gallery(catalog, split, settings.protocol)
    source = (_fresh if reencode_gallery else _stored)(retriever, gallery, settings.chunk)
    runs: list[RunResult] = []
    for pair in pairs:
        queries = open_queries(sketches if pair.query_domain == "sketch" and sketches else catalog, split, pair)
        for path in _paths(pair, retriever, source, settings) if len(queries) else ():
            # Edge maps and the comparison that is not configured have no part in the product: nothing to re-rank.
            reorders: Mapping[str, Reorder] = source.reorders if path.name in SERVED_PATHS else {}
            chosen = {"depth": settings.depth, "chunk": settings.chunk}
            runs += answer(pair.name, path, queries, gallery, reorders=reorders, ask=retriever.nets.asked, **chosen)
    if not runs:
        raise ProtocolError(f"split {split!r} of {catalog.folder} has no query with a right answer in its gallery")
    found: dict[str, str | float] = {"kind": retriever.bundle.index.kind, RECALL: source.counted.recall}
    return SplitResult(split, gallery, runs, settings.depth, settings.resamples, settings.seed, found)


@dataclass(frozen=True)
class PreparedGallery:
    """The gallery of a split, ready to be searched (see `_searches`) and re-ranked; rows are the gallery's."""

    gallery: JudgedGallery
    counted: CountedSearch
    searches: dict[str, Search]
    reorders: Mapping[str, Reorder]


def _stored(retriever: LocalRetriever, gallery: JudgedGallery, chunk: int) -> PreparedGallery:
    """The bundle's own index and attributes of the gallery's photos."""
    rows = gallery_places(retriever, gallery)
    index = retriever.bundle.index.subset(rows)
    items, names = retriever.bundle.items, retriever.bundle.manifest.attributes
    known = stored_gallery(items, index, names, retriever.rerank.gallery_attributes, rows)
    kept = kinds_of(index.head).get(index.kind)
    floats = None
    if index.head == "dense" and not (kept and kept.keeps_floats):
        floats = _gallery_vectors(gallery, retriever.encode_photos, chunk)
    return _prepared(retriever, gallery, index, known, floats)


def gallery_places(retriever: LocalRetriever, gallery: JudgedGallery) -> Rows:
    """The bundle's rows of the gallery's photos.

    Raises:
        ProtocolError: when the bundle lacks some of them.
    """
    places = {image_id: row for row, image_id in enumerate(retriever.bundle.items.image_ids)}
    missing = [image_id for image_id in gallery.image_ids if image_id not in places]
    if missing:
        raise ProtocolError(
            f"the bundle lacks {len(missing)} of {len(gallery)} gallery photos, first {missing[0]!r}: it was built on "
            f"another catalogue; rebuild it (dvc repro index) or evaluate with reencode_gallery=True"
        )
    return np.array([places[image_id] for image_id in gallery.image_ids], dtype=np.int64)


def _fresh(retriever: LocalRetriever, gallery: JudgedGallery, chunk: int) -> PreparedGallery:
    """Vectors and attributes made now from the gallery's photos, in an index of the bundle's kind and settings."""
    own, floats = retriever.bundle.index, _gallery_vectors(gallery, retriever.encode_photos, chunk)
    if isinstance(own, HnswIndex):  # what a graph finds depends on all its vectors, not on those of the gallery alone
        places = retriever.bundle.items.places
        rows = np.array([places.get(image_id, -1) for image_id in gallery.image_ids], dtype=np.int64)
        index: VectorIndex = own.replaced(rows, floats)
    else:
        index = own.refilled(floats)
    return _prepared(retriever, gallery, index, _known_now(retriever, gallery, index, chunk), floats)


def _prepared(
    retriever: LocalRetriever,
    gallery: JudgedGallery,
    index: VectorIndex,
    known: GalleryEvidence,
    floats: Vectors | None,
) -> PreparedGallery:
    index.threads = retriever.bundle.index.threads
    searches, exact = _searches(index, gallery), exhaustive(index, floats)
    counted = CountedSearch(searches["encoder"], None if exact is None else search_among(exact, gallery))
    return PreparedGallery(gallery, counted, searches | {"encoder": counted}, _reorders(retriever, known))


def _known_now(retriever: LocalRetriever, gallery: JudgedGallery, index: VectorIndex, chunk: int) -> GalleryEvidence:
    """What the classifier, or the present catalogue, says of the gallery's photos."""
    if not retriever.nets.has_classifier:
        return GalleryEvidence(index.vectors)
    source, classifier = retriever.rerank.gallery_attributes, retriever.nets.classifier
    names = classifier.attributes
    if source == "catalogue":
        return certain_gallery(index.vectors, names, gallery.catalog.column("attributes")[gallery.rows].tolist())
    found = np.stack(in_gallery_order(gallery, retriever.nets.probabilities, chunk))
    return GalleryEvidence(index.vectors, names, lambda: classifier.decide(found), lambda: to_bytes(found))


def _searches(index: VectorIndex, gallery: JudgedGallery) -> dict[str, Search]:
    """Names of paths -> searches: `encoder` as the bundle does it; of codes also by the other comparison, e.g.
    `encoder-asymmetric`."""
    searches = {"encoder": search_among(index, gallery)}
    if isinstance(index, CodeIndex):
        other = other_comparison(index.comparison)
        searches[f"encoder-{other}"] = search_among(index.compared(other), gallery)
    return searches


def search_among(index: VectorIndex, gallery: JudgedGallery) -> Search:
    """The nearest of a gallery's vectors, equal scores ordered by its keys."""

    def search(vectors: Vectors, depth: int) -> RankedLists:
        scores, rows = index.search(vectors, depth, tiebreak=gallery.keys)
        return RankedLists(rows, scores)

    return search


def _reorders(retriever: LocalRetriever, known: GalleryEvidence) -> dict[str, Chain]:
    block = retriever.rerank
    return {
        name: Chain(steps, block, known)
        for name, steps in block.chains().items()
        if retriever.nets.has_classifier or not needs_classifier(steps)
    }


def _paths(
    pair: Pair, retriever: LocalRetriever, source: PreparedGallery, settings: EvaluationSettings
) -> list[QueryPath]:
    encode = retriever.encode_photos
    if pair.query_domain != "sketch":
        return [QueryPath(name, same_pictures, encode, search) for name, search in source.searches.items()]
    search = source.searches["encoder"]
    direct = QueryPath("direct", same_pictures, encode, search)
    edges = _edge_path(source.gallery, settings)
    if not retriever.nets.has_generator:
        return [direct, edges]
    return [QueryPath("gan", retriever.nets.generate, encode, search), direct, edges]


def _edge_path(gallery: JudgedGallery, settings: EvaluationSettings) -> QueryPath:
    """Drawings against edge maps of the photos: the baseline of sketch search. A drawing is an edge map already."""

    def of_drawings(drawings: Sequence[Uint8Image]) -> Vectors:
        return EdgeDescriptor().describe([np.asarray(Image.fromarray(drawing).convert("L")) for drawing in drawings])

    size, method = settings.edge_size, settings.edges
    vectors = find_gallery_edges(gallery.catalog, gallery.rows, size, method)
    if vectors is None:
        vectors = _gallery_vectors(gallery, lambda photos: edges_of(photos, size, method), settings.chunk)
    index = build_index(vectors, metric="cosine")
    return QueryPath("edges", same_pictures, of_drawings, search_among(index, gallery))


def _gallery_vectors(gallery: JudgedGallery, describe: Describe, chunk: int) -> Vectors:
    vectors: list[Vectors] = in_gallery_order(gallery, describe, chunk)
    return np.stack(vectors)
