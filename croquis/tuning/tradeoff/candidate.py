"""A retriever with its val queries, to be measured with one index after another: quality, bytes per image, query time."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from croquis.arrays import Uint8Image, Vectors
from croquis.catalog.table import Catalog
from croquis.evaluation.evaluate_bundle import served_gallery
from croquis.evaluation.protocol import PAIRS, PROTOCOLS, open_gallery, open_queries
from croquis.evaluation.ranked_answers import QueryPath, answer
from croquis.evaluation.search_recall import CountedGallery
from croquis.index.build import build_index
from croquis.index.kinds import chosen_settings, kinds_of
from croquis.index.vector_index import VectorIndex
from croquis.params import Params
from croquis.search.composition import Composition, same_pictures
from croquis.search.gallery import BundleGallery
from croquis.search.local_retriever import LocalRetriever
from croquis.tuning.rerank_study import SPLIT
from croquis.tuning.task import TuneError

TIMED, ROUNDS = 30, 3


class Remembered:
    """A function of pictures that computes each batch once."""

    def __init__(self, encode: Callable[[Sequence[Uint8Image]], Vectors]) -> None:
        self._encode, self._known = encode, dict[bytes, Vectors]()

    def __call__(self, pictures: Sequence[Uint8Image]) -> Vectors:
        key = hashlib.sha256(b"".join(picture.tobytes() for picture in pictures)).digest()
        if key not in self._known:
            self._known[key] = self._encode(pictures)
        return self._known[key]


class IndexWorth(NamedTuple):
    """What one index is worth: mean of the metric, bytes per image, milliseconds of one query, and the share of an
    exhaustive search's first results that it gives."""

    quality: float
    size: float
    milliseconds: float
    recall: float


@dataclass
class Candidate:
    """One retriever with its val queries and gallery.

    Attributes:
        vectors: of the whole gallery of the bundle, (rows, dim); None where it holds codes, so that it is taken as it is.
    """

    retriever: LocalRetriever
    root: Path
    params: Params
    pair: str
    metric: str

    def __post_init__(self) -> None:
        catalog = Catalog.open(self.root / "data/catalog")
        asked = next(each for each in PAIRS if each.name == self.pair)
        drawn = Catalog.open_if_any(self.root / "data/sketches") if asked.query_domain == "sketch" else None
        source = drawn or catalog
        self.gallery = open_gallery(catalog, SPLIT, PROTOCOLS[self.params.base.protocol])
        self.queries = open_queries(source, SPLIT, asked, self.retriever.nets.draft)
        if len(self.queries) == 0:
            raise TuneError(f"split {SPLIT!r} of {catalog.folder} has no {self.pair} query; choose another --metric")
        self.mode = self.retriever.nets.mode_of(asked.query_domain)
        self._vectors = Remembered(self._encode)
        kind = kinds_of("dense").get(self.retriever.bundle.index.kind)
        kept = kind is not None and kind.keeps_floats
        self.vectors = self.retriever.bundle.index.vectors() if kept else None

    def _encode(self, pictures: Sequence[Uint8Image]) -> Vectors:
        search = Composition.of(self.retriever.nets, BundleGallery.of(self.retriever.bundle), self.mode)
        return search.encode(search.paint(pictures))

    def index(self, settings: Mapping[str, Any]) -> VectorIndex:
        """An index of the bundle's vectors under some settings; the bundle's own where it holds codes."""
        if self.vectors is None:
            return self.retriever.bundle.index
        metric = self.retriever.bundle.manifest.encoder.metric
        return build_index(self.vectors, chosen_settings("dense", settings), metric=metric)

    def measure(self, settings: Mapping[str, Any]) -> IndexWorth:
        """Quality and time of one and the same index, rows outside the val gallery left out of its answers."""
        index = self.index(settings)
        index.threads = self.params.base.threads
        items, names = self.retriever.bundle.items, self.retriever.bundle.manifest.attributes
        searched = served_gallery(BundleGallery(index, items, names), self.gallery)
        rows = [items.row(image_id) for image_id in self.gallery.image_ids]
        counted = CountedGallery(searched, None if self.vectors is None else self.vectors[rows])
        search = Composition.of(self.retriever.nets, counted, self.mode)
        path = QueryPath(self.mode, replace(search, paint=same_pictures, encode=self._vectors))
        asked = self.params.evaluate
        runs = answer(self.pair, path, self.queries, self.gallery, depth=asked.depth, chunk=asked.chunk, reranks={})
        quality = float(runs[0].metrics[self.metric].mean())
        milliseconds = 1000 * (self._encoding_seconds + _median(self._searches(index)))
        return IndexWorth(quality, float(index.nbytes), milliseconds, counted.recall)

    @cached_property
    def _pictures(self) -> list[Uint8Image]:
        places = np.unique(np.linspace(0, len(self.queries) - 1, min(TIMED, len(self.queries))).astype(int))
        return list(self.queries.take(places).images())

    @cached_property
    def _encoding_seconds(self) -> float:
        return _median([partial(self._encode, [picture]) for picture in self._pictures])

    def _searches(self, index: VectorIndex) -> list[Callable[[], Any]]:
        return [partial(index.search, self._vectors([picture]), 10) for picture in self._pictures]


def _median(calls: Sequence[Callable[[], Any]]) -> float:
    """Seconds of the median call; the best of a few rounds counts, as other work on the machine only ever adds time."""
    best = np.full(len(calls), np.inf)
    for _ in range(ROUNDS):
        for place, call in enumerate(calls):
            start = time.perf_counter()
            call()
            best[place] = min(best[place], time.perf_counter() - start)
    return float(np.median(best))
