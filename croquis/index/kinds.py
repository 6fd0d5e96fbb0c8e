"""The kinds of index, in one table: settings, how each is built and opened, what a study searches, where it may be used.

Of a dense head params.yaml chooses the kind by `index.kind`, of a coding head by `index.codes`. A kind's settings are keys
of the same block `index`, so kinds share those of one name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import faiss

from croquis.arrays import Vectors
from croquis.index.binary_index import BinaryIndex
from croquis.index.code_index import check_comparison
from croquis.index.coding import check_codebooks
from croquis.index.dense import FlatIndex, HnswIndex
from croquis.index.ivfpq import IvfPqIndex
from croquis.index.pq_index import PqIndex
from croquis.index.vector_index import FAISS, VectorIndex, VectorIndexError
from croquis.nets.encoder import HEADS
from croquis.settings import SearchRange, SearchSpace, check_settings, setting


@dataclass(frozen=True)
class IndexSettings:
    """What a kind is told; the class of each kind adds its settings.

    Raises:
        VectorIndexError: naming the setting that is out of range.
    """

    def __post_init__(self) -> None:
        check_settings(self, VectorIndexError)


@dataclass(frozen=True)
class Flat(IndexSettings):
    """Every vector, or code, is compared."""


@dataclass(frozen=True)
class Hnsw(IndexSettings):
    """See `HnswIndex.build`."""

    hnsw_links: int = setting("links of each vector", 4, 128)
    hnsw_ef_search: int = setting("candidates that a search keeps", 1, 10_000)


@dataclass(frozen=True)
class Ivf(IndexSettings):
    """Inverted lists, of which a search visits some."""

    ivf_lists: int = setting("lists", 1, 65_536)
    ivf_probes: int = setting("lists that a search visits", 1, 65_536)


@dataclass(frozen=True)
class IvfPq(Ivf):
    """See `IvfPqIndex.build`."""

    pq_subspaces: int = setting("parts of a vector, a divisor of its dimension", 1, 256)
    pq_bits: int = setting("bits of each part's code", choices=(4, 8))


@dataclass(frozen=True)
class Given:
    """What the head and the method of the vectors say.

    Attributes:
        metric: one that `croquis.nets.encoder.HEADS` allows for the head.
        comparison: of codes, see `croquis.nets.encoder.COMPARISONS`.
        codebooks: of the head `pq`, the learned ones, (M, K, d) float32.
        dim: bits of a binary index that is opened; other files tell it.
    """

    metric: str
    comparison: str | None = None
    codebooks: Vectors | None = None
    dim: int | None = None

    @property
    def compared(self) -> str:
        """How codes are compared.

        Raises:
            VectorIndexError: when `comparison` is none of those known.
        """
        return check_comparison(self.comparison)

    def learned(self, vectors: Vectors) -> Vectors:
        """The codebooks (M, K, d) float32 for vectors (n, M * d).

        Raises:
            VectorIndexError: when there are none, or they are of another width.
        """
        if self.codebooks is None:
            raise VectorIndexError("an index of the head pq needs the codebooks of its method")
        return check_codebooks(self.codebooks, vectors.shape[1], "codebooks", VectorIndexError)


@dataclass(frozen=True)
class IndexKind:
    """One kind.

    Attributes:
        name: as in params.yaml.
        head: of the vectors that it takes.
        settings: its settings class.
        build: from checked vectors (n, dim), settings and `Given` to the index.
        stored: the class of FAISS that its file holds.
        open: from what its file holds to the index.
        space: what the study `tradeoff` searches.
        keeps_floats: whether its vectors are the encoder's, to the bit but for their length.
        in_store: whether a store may be of this kind.
    """

    name: str
    head: str
    settings: type[IndexSettings]
    build: Callable[[Vectors, Any, Given], VectorIndex]
    stored: Any
    open: Callable[[Any, Given], VectorIndex]
    space: SearchSpace = field(default_factory=dict)
    keeps_floats: bool = False
    in_store: bool = False


INDEX_KINDS = (
    IndexKind(
        "flat",
        "dense",
        Flat,
        lambda vectors, _, given: FlatIndex.build(vectors, given.metric),
        faiss.IndexFlat,
        lambda found, given: FlatIndex(found, given.metric),
        keeps_floats=True,
        in_store=True,
    ),
    IndexKind(
        "hnsw",
        "dense",
        Hnsw,
        lambda vectors, own, given: HnswIndex.build(
            vectors, given.metric, links=own.hnsw_links, ef_search=own.hnsw_ef_search
        ),
        faiss.IndexHNSWFlat,
        lambda found, given: HnswIndex(found, given.metric),
        {"hnsw_links": (8, 16, 32, 64), "hnsw_ef_search": SearchRange(8, 512, log=True)},
        keeps_floats=True,
        in_store=True,
    ),
    IndexKind(
        "ivfpq",
        "dense",
        IvfPq,
        lambda vectors, own, given: IvfPqIndex.build(
            vectors,
            given.metric,
            lists=own.ivf_lists,
            probes=own.ivf_probes,
            subspaces=own.pq_subspaces,
            bits=own.pq_bits,
        ),
        faiss.IndexIVFPQ,
        lambda found, given: IvfPqIndex(found, given.metric),
        {
            "ivf_lists": (1, 4, 16, 64),
            "ivf_probes": SearchRange(1, 64, log=True, at_most="ivf_lists"),
            "pq_subspaces": (4, 8, 16, 32, 64),
            "pq_bits": (4, 8),
        },
    ),
    IndexKind(
        "flat",
        "binary",
        Flat,
        lambda vectors, _, given: BinaryIndex.build(vectors, given.compared),
        FAISS.IndexBinaryFlat,
        lambda found, given: BinaryIndex.open(found, given.dim or found.d, given.compared),
        in_store=True,
    ),
    IndexKind(
        "ivf",
        "binary",
        Ivf,
        lambda vectors, own, given: BinaryIndex.build_ivf(
            vectors, given.compared, lists=own.ivf_lists, probes=own.ivf_probes
        ),
        FAISS.IndexBinaryIVF,
        lambda found, given: BinaryIndex.open(found, given.dim or found.d, given.compared),
    ),
    IndexKind(
        "flat",
        "pq",
        Flat,
        lambda vectors, _, given: PqIndex.build(vectors, given.compared, codebooks=given.learned(vectors)),
        faiss.IndexPQ,
        lambda found, given: PqIndex.open(found, given.compared),
        in_store=True,
    ),
    IndexKind(
        "ivf",
        "pq",
        Ivf,
        lambda vectors, own, given: PqIndex.build_ivf(
            vectors, given.compared, codebooks=given.learned(vectors), lists=own.ivf_lists, probes=own.ivf_probes
        ),
        faiss.IndexIVFPQ,
        lambda found, given: PqIndex.open(found, given.compared),
    ),
)


def kinds_of(head: str) -> dict[str, IndexKind]:
    """Name -> kind, of one head.

    Raises:
        VectorIndexError: when there is no such head.
    """
    check_choice("head", head, HEADS)
    return {kind.name: kind for kind in INDEX_KINDS if kind.head == head}


def chosen_settings(head: str, values: Mapping[str, Any]) -> IndexSettings:
    """The settings of the kind that the block `index` of params.yaml chooses for a head; those of other kinds may lack.

    Raises:
        VectorIndexError: naming the key and what is allowed.
    """
    key, kinds = kind_key(head), kinds_of(head)
    check_choice(key, values[key], kinds)
    own = kinds[values[key]].settings
    return own(**{each.name: values[each.name] for each in fields(own)})


def chosen_comparison(head: str, values: Mapping[str, Any]) -> str | None:
    """How the block `index` of params.yaml has codes of a head compared; None for a dense one."""
    return None if head == "dense" else str(values[comparison_key(head)])


def kind_key(head: str) -> str:
    """The key of the block `index` that chooses the kind for a head."""
    return "kind" if head == "dense" else "codes"


def comparison_key(head: str) -> str:
    """The key of the block `index` that chooses the comparison of a coding head."""
    return f"{head}_comparison"


def check_choice(name: str, value: str, allowed: Any) -> None:
    """Refuses a value that is not among those that are allowed."""
    if value not in allowed:
        raise VectorIndexError(f"{name} = {value!r}, must be one of {sorted(allowed)}")
