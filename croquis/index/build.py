"""Builds and opens the index that the head of a method and the params ask for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from croquis.arrays import Vectors
from croquis.index.binary_index import BinaryFlatIndex, BinaryIvfIndex
from croquis.index.code_index import CodeIndex, check_comparison
from croquis.index.coding import check_codebooks
from croquis.index.dense import FlatIndex, HnswIndex
from croquis.index.ivfpq import IvfPqIndex
from croquis.index.pq_index import PqFlatIndex, PqIvfIndex
from croquis.index.vector_index import FAISS, VectorIndex, VectorIndexError, check_vectors
from croquis.nets.encoder import HEADS


def build_index(
    vectors: npt.NDArray[Any],
    *,
    metric: str,
    kind: str = "flat",
    head: str = "dense",
    hnsw_links: int = 32,
    hnsw_ef_search: int = 64,
    ivf_lists: int = 16,
    ivf_probes: int = 8,
    pq_subspaces: int = 16,
    pq_bits: int = 8,
    codes: str = "flat",
    binary_comparison: str = "symmetric",
    pq_comparison: str = "asymmetric",
    codebooks: Vectors | None = None,
) -> VectorIndex:
    """Indexes (n, dim) vectors; the same vectors and settings give the same bytes.

    Args:
        vectors: float32, finite, n at least 1.
        metric: one that `croquis.nets.encoder.HEADS` allows for the head.
        kind: of a dense head, `flat`, `hnsw` or `ivfpq`; the settings of the other kinds are ignored.
        head: what the method puts out; `dense` for vectors of floats, `binary` or `pq` for vectors that are coded.
        hnsw_links, hnsw_ef_search: see `HnswIndex.build`.
        ivf_lists, ivf_probes: lists of `ivfpq` and of `codes: ivf`, and how many a search visits.
        pq_subspaces, pq_bits: see `IvfPqIndex.build`.
        codes: of a coding head, `flat` (all codes are compared) or `ivf` (those of a few lists).
        binary_comparison, pq_comparison: `asymmetric` or `symmetric`, see `croquis.nets.encoder.COMPARISONS`.
        codebooks: of a `pq` head, the learned ones, (M, K, d) float32.

    Raises:
        VectorIndexError: naming what does not fit and what is allowed.
    """
    lists = {"lists": ivf_lists, "probes": ivf_probes}
    builders: dict[str, dict[str, Callable[[Vectors], VectorIndex]]] = {
        "dense": {
            "flat": lambda prepared: FlatIndex.build(prepared, metric),
            "hnsw": lambda prepared: HnswIndex.build(prepared, metric, links=hnsw_links, ef_search=hnsw_ef_search),
            "ivfpq": lambda prepared: IvfPqIndex.build(prepared, metric, **lists, subspaces=pq_subspaces, bits=pq_bits),
        },
        "binary": {
            "flat": lambda prepared: BinaryFlatIndex.build(prepared, binary_comparison),
            "ivf": lambda prepared: BinaryIvfIndex.build(prepared, binary_comparison, **lists),
        },
        "pq": {
            "flat": lambda prepared: PqFlatIndex.build(prepared, pq_comparison, codebooks=learned(prepared)),
            "ivf": lambda prepared: PqIvfIndex.build(prepared, pq_comparison, codebooks=learned(prepared), **lists),
        },
    }

    def learned(prepared: Vectors) -> Vectors:
        if codebooks is None:
            raise VectorIndexError("an index of the head pq needs the codebooks of its method")
        return check_codebooks(codebooks, prepared.shape[1], "codebooks", VectorIndexError)

    _check_choice("head", head, builders)
    _check_choice("metric", metric, HEADS[head])
    setting, chosen = ("kind", kind) if head == "dense" else ("codes", codes)
    _check_choice(setting, chosen, builders[head])
    prepared = check_vectors(np.asarray(vectors), None, "vectors")
    if not prepared.size:
        raise VectorIndexError(f"there is nothing to index: the vectors have the shape {prepared.shape}")
    return builders[head][chosen](prepared)


def build_alike(vectors: npt.NDArray[Any], index: VectorIndex) -> VectorIndex:
    """Other vectors of the encoder whose vectors `index` holds, coded and compared as there, and searched exhaustively."""
    if not isinstance(index, CodeIndex):
        return build_index(vectors, metric=index.metric)
    return build_index(
        vectors,
        metric=index.metric,
        head=index.head,
        binary_comparison=index.comparison,
        pq_comparison=index.comparison,
        codebooks=index.coding.codebooks if isinstance(index, PqFlatIndex | PqIvfIndex) else None,
    )


def load_index(
    path: str | Path, *, metric: str, head: str = "dense", dim: int | None = None, comparison: str | None = None
) -> VectorIndex:
    """Opens a file that `VectorIndex.save` wrote; the kind is read from the file, what follows is not in it.

    Args:
        metric, head: as the index was built.
        dim: bits of a binary index; other files tell it.
        comparison: of an index of codes.

    Raises:
        VectorIndexError: when the file is missing, damaged or of another kind.
    """
    _check_choice("head", head, HEADS)
    _check_choice("metric", metric, HEADS[head])
    stored = _read(Path(path), binary=head == "binary")
    openers: dict[str, dict[Any, Callable[[Any], VectorIndex]]] = {
        "dense": {
            faiss.IndexIVFPQ: lambda found: IvfPqIndex(found, metric),
            faiss.IndexHNSWFlat: lambda found: HnswIndex(found, metric),
            faiss.IndexFlat: lambda found: FlatIndex(found, metric),
        },
        "binary": {
            FAISS.IndexBinaryIVF: lambda found: BinaryIvfIndex(found, dim or found.d, check_comparison(comparison)),
            FAISS.IndexBinaryFlat: lambda found: BinaryFlatIndex(found, dim or found.d, check_comparison(comparison)),
        },
        "pq": {
            faiss.IndexIVFPQ: lambda found: PqIvfIndex(found, check_comparison(comparison)),
            faiss.IndexPQ: lambda found: PqFlatIndex(found, check_comparison(comparison)),
        },
    }
    for faiss_kind, opener in openers[head].items():
        if isinstance(stored, faiss_kind):
            return opener(stored)
    raise VectorIndexError(f"{path} holds a {type(stored).__name__}, which this version does not search ({head} head)")


def _read(path: Path, *, binary: bool) -> Any:
    read = FAISS.deserialize_index_binary if binary else FAISS.deserialize_index
    try:
        return read(np.fromfile(path, dtype=np.uint8))
    except FileNotFoundError:
        raise VectorIndexError(f"{path} does not exist; run the stage `index`") from None
    except RuntimeError as error:
        raise VectorIndexError(f"{path} is not a FAISS index: {error}") from error


def _check_choice(name: str, value: str, allowed: Any) -> None:
    if value not in allowed:
        raise VectorIndexError(f"{name} = {value!r}, must be one of {sorted(allowed)}")
