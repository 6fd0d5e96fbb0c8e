"""Builds and opens the index that the head of a method and the params ask for; the kinds stand in `croquis.index.kinds`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from croquis.arrays import Vectors
from croquis.index.code_index import CodeIndex
from croquis.index.coding import ProductCoding
from croquis.index.file_checks import bounded_by, check_mapped, check_stored
from croquis.index.kinds import Flat, Given, IndexSettings, check_choice, kinds_of
from croquis.index.vector_index import FAISS, VectorIndex, VectorIndexError, check_vectors
from croquis.nets.encoder import HEADS

# How FAISS's files of floats begin. They are memory-mapped, so that processes share them: no search and no subset changes
# them, which FAISS would end the process for.
FLAT, GRAPH = b"IxF2", b"IHNf"


def build_index(
    vectors: npt.NDArray[Any],
    settings: IndexSettings | None = None,
    *,
    metric: str,
    head: str = "dense",
    comparison: str | None = None,
    codebooks: Vectors | None = None,
) -> VectorIndex:
    """Indexes (n, dim) vectors; the same vectors and settings give the same bytes.

    Args:
        vectors: float32, finite, n at least 1.
        settings: of the kind, see `croquis.index.kinds`; None for an exhaustive search.
        metric: one that `croquis.nets.encoder.HEADS` allows for the head.
        head: what the method puts out; `dense` for vectors of floats, `binary` or `pq` for vectors that are coded.
        comparison: of a coding head, `asymmetric` or `symmetric`, see `croquis.nets.encoder.COMPARISONS`.
        codebooks: of a `pq` head, the learned ones, (M, K, d) float32.

    Raises:
        VectorIndexError: naming what does not fit and what is allowed.
    """
    own = Flat() if settings is None else settings
    kinds = [kind for kind in kinds_of(head).values() if kind.settings is type(own)]
    if not kinds:
        allowed = sorted(kind.settings.__name__ for kind in kinds_of(head).values())
        raise VectorIndexError(f"settings {type(own).__name__} do not fit the head {head}: must be one of {allowed}")
    check_choice("metric", metric, HEADS[head])
    prepared = check_vectors(np.asarray(vectors), None, "vectors")
    if not prepared.size:
        raise VectorIndexError(f"there is nothing to index: the vectors have the shape {prepared.shape}")
    return kinds[0].build(prepared, own, Given(metric, comparison, codebooks))


def build_alike(vectors: npt.NDArray[Any], index: VectorIndex) -> VectorIndex:
    """Other vectors of the encoder whose vectors `index` holds, coded and compared as there, and searched exhaustively."""
    if not isinstance(index, CodeIndex):
        return build_index(vectors, metric=index.metric)
    codebooks = index.coding.codebooks if isinstance(index.coding, ProductCoding) else None
    return build_index(vectors, metric=index.metric, head=index.head, comparison=index.comparison, codebooks=codebooks)


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
    kinds = kinds_of(head)
    check_choice("metric", metric, HEADS[head])
    stored = _read(Path(path), binary=head == "binary")
    for kind in kinds.values():
        if isinstance(stored, kind.stored):
            check_stored(Path(path), stored)
            return kind.open(stored, Given(metric, comparison, dim=dim))
    raise VectorIndexError(f"{path} holds a {type(stored).__name__}, which this version does not search ({head} head)")


def _read(path: Path, *, binary: bool) -> Any:
    if not path.is_file():
        raise VectorIndexError(f"{path} does not exist; run the stage `index`")
    read = FAISS.deserialize_index_binary if binary else FAISS.deserialize_index
    try:
        with bounded_by(path), path.open("rb") as file:
            kind = file.read(len(FLAT))
            if kind in (FLAT, GRAPH) and not binary:
                check_mapped(path, graph=kind == GRAPH)
                return FAISS.read_index(str(path), FAISS.IO_FLAG_MMAP_IFC)
            return read(np.fromfile(path, dtype=np.uint8))
    except (RuntimeError, MemoryError) as error:
        raise VectorIndexError(f"{path} is not a FAISS index: {error}") from error
