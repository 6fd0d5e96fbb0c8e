"""Builds and opens the index that the head of a method and the params ask for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from retrieval.dense_index import FlatIndex, HnswIndex
from retrieval.ivfpq_index import IvfPqIndex
from retrieval.vector_index import VectorIndex, VectorIndexError, Vectors, check_vectors

METRICS = ("cosine", "l2")


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
) -> VectorIndex:
    """Indexes (n, dim) vectors; the same vectors and settings give the same bytes.

    Args:
        vectors: float32, finite, n at least 1.
        metric: `cosine` or `l2`.
        kind: `flat`, `hnsw` or `ivfpq`; the settings of the other kinds are ignored.
        head: what the method puts out; `dense` for vectors of floats.
        hnsw_links, hnsw_ef_search: see `HnswIndex.build`.
        ivf_lists, ivf_probes, pq_subspaces, pq_bits: see `IvfPqIndex.build`.

    Raises:
        VectorIndexError: naming what does not fit and what is allowed.
    """
    builders: dict[str, dict[str, Callable[[Vectors], VectorIndex]]] = {
        "dense": {
            "flat": lambda prepared: FlatIndex.build(prepared, metric),
            "hnsw": lambda prepared: HnswIndex.build(prepared, metric, links=hnsw_links, ef_search=hnsw_ef_search),
            "ivfpq": lambda prepared: IvfPqIndex.build(
                prepared, metric, lists=ivf_lists, probes=ivf_probes, subspaces=pq_subspaces, bits=pq_bits
            ),
        }
    }
    _check_choice("metric", metric, METRICS)
    _check_choice("head", head, builders)
    _check_choice("kind", kind, builders[head])
    prepared = check_vectors(np.asarray(vectors), None, "vectors")
    if not prepared.size:
        raise VectorIndexError(f"there is nothing to index: the vectors have the shape {prepared.shape}")
    return builders[head][kind](prepared)


def load_index(path: str | Path, *, metric: str) -> VectorIndex:
    """Opens a file that `VectorIndex.save` wrote; the kind is read from the file, the metric is not in it.

    Raises:
        VectorIndexError: when the file is missing, damaged or of another kind.
    """
    _check_choice("metric", metric, METRICS)
    try:
        stored = faiss.deserialize_index(np.fromfile(path, dtype=np.uint8))
    except FileNotFoundError:
        raise VectorIndexError(f"{path} does not exist; run the stage `index`") from None
    except RuntimeError as error:
        raise VectorIndexError(f"{path} is not a FAISS index: {error}") from error
    kinds: dict[Any, Callable[[Any, str], VectorIndex]] = {
        faiss.IndexIVFPQ: IvfPqIndex,
        faiss.IndexHNSWFlat: HnswIndex,
        faiss.IndexFlat: FlatIndex,
    }
    for faiss_kind, kind in kinds.items():
        if isinstance(stored, faiss_kind):
            return kind(stored, metric)
    raise VectorIndexError(f"{path} holds a {type(stored).__name__}, which this version does not search")


def _check_choice(name: str, value: str, allowed: Any) -> None:
    if value not in allowed:
        raise VectorIndexError(f"{name} = {value!r}, must be one of {sorted(allowed)}")
