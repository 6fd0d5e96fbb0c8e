"""One index over many vectors, in a process of its own: what it takes of memory and disk, and how long a search lasts.

The vectors are synthetic: points around as many centres as products would have, 128 numbers each. What is measured is
`croquis.index.build`, the code that serves, with one thread.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from math import isqrt
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from croquis.arrays import Rows, Vectors
from croquis.bundle.gallery_file import GALLERY_SCHEMA, write_gallery
from croquis.bundle.gallery_table import GalleryTable
from croquis.index.build import build_alike, build_index, load_index
from croquis.index.code_index import CodeIndex
from croquis.index.dense import FlatIndex
from croquis.index.kinds import Flat, Hnsw, IndexSettings, Ivf, IvfPq
from croquis.index.vector_index import VectorIndex

DIM = 128
SHOPS = 200  # vectors around one centre
NEAR = 0.6  # length of what parts a vector from its centre, of length 1
AT_A_TIME = 100_000  # vectors that are drawn together
QUERIES, AGREED, K = 100, 10, 50
PARTS, BITS = 16, 4  # of the product codes, as gpq's and spq's
PROBES = 16
SMALL = 1000  # vectors of an index that only warms up
COMPARED = {"dense": None, "binary": "symmetric", "pq": "asymmetric"}


@dataclass(frozen=True)
class Subject:
    """A kind of index.

    Attributes:
        head: as in `croquis.nets.encoder`.
        metric: of that head.
        settings: from the number of vectors to those of its kind.
        growth: of the time of a search with the number of vectors: `linear`, `root` (a fixed number of lists is visited, of
            which there are as many as the root) or `log`.
    """

    head: str
    metric: str
    settings: Callable[[int], IndexSettings]
    growth: str


def _lists(rows: int) -> Ivf:
    return Ivf(isqrt(rows), PROBES)


SUBJECTS = {
    "floats, flat": Subject("dense", "cosine", lambda _: Flat(), "linear"),
    "floats, hnsw": Subject("dense", "cosine", lambda _: Hnsw(32, 64), "log"),
    "floats, ivfpq": Subject("dense", "cosine", lambda rows: IvfPq(isqrt(rows), PROBES, 16, 8), "root"),
    "128 bits, flat": Subject("binary", "hamming", lambda _: Flat(), "linear"),
    "128 bits, ivf": Subject("binary", "hamming", _lists, "root"),
    "16 x 4 bits, flat": Subject("pq", "l2", lambda _: Flat(), "linear"),
    "16 x 4 bits, ivf": Subject("pq", "l2", _lists, "root"),
}


def clustered(rows: int, population: int, seed: int) -> Vectors:
    """(rows, 128) float32 of length 1, around the centres of a gallery of `population` vectors; another seed, other points
    around the same centres."""
    centres = np.random.default_rng(0).standard_normal((max(1, population // SHOPS), DIM), dtype=np.float32)
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    rng, made = np.random.default_rng(seed), np.empty((rows, DIM), dtype=np.float32)
    for start in range(0, rows, AT_A_TIME):
        part = made[start : start + AT_A_TIME]
        part[:] = rng.standard_normal(part.shape, dtype=np.float32) * (NEAR / DIM**0.5)
        part += centres[rng.integers(len(centres), size=len(part))]
        part /= np.linalg.norm(part, axis=1, keepdims=True)
    return made


def measure_index(name: str, rows: int) -> dict[str, Any]:
    """Figures of one index.

    Returns:
        `bytes` (per image, as the index counts them), `file_bytes` and `resident_bytes` (per image), `build_s`, `search_ms`
        (of each of `QUERIES` searches, one at a time, k = 50), `agreement` (share of the 10 best of an exhaustive search
        of the same vectors, or the same codes, that are among its own 10).
    """
    with tempfile.TemporaryDirectory() as folder:
        built: dict[str, Any] = apart(_build, name, rows, folder)
        found: dict[str, Any] = apart(_search, name, rows, folder)
        return built | found


def measure_gallery(rows: int, attributes: int = 8) -> dict[str, Any]:
    """What stands beside the vectors: `resident_bytes` and `file_bytes` per image of the gallery's table without its
    thumbnails, and `open_s`."""
    with tempfile.TemporaryDirectory() as folder:
        size = apart(_write_gallery, rows, attributes, folder)
        return {"file_bytes": size / rows, **apart(_open_gallery, rows, folder)}


def _build(name: str, rows: int, folder: str) -> dict[str, Any]:
    start = time.perf_counter()
    index, vectors = _filled(name, rows)
    seconds = time.perf_counter() - start
    index.save(Path(folder) / "index")
    exhaustive: VectorIndex = index
    if SUBJECTS[name].head == "dense" and not isinstance(index, FlatIndex):
        exhaustive = FlatIndex.build(vectors, index.metric)
    elif isinstance(index, CodeIndex) and index.kind.endswith("_ivf"):
        exhaustive = build_alike(index.vectors(), index)
    _, right = exhaustive.search(_queries(rows), AGREED)
    np.save(Path(folder) / "right.npy", right)
    return {
        "bytes": index.nbytes,
        "file_bytes": (Path(folder) / "index").stat().st_size / rows,
        "build_s": round(seconds, 2),
    }


def _search(name: str, rows: int, folder: str) -> dict[str, Any]:
    subject, queries = SUBJECTS[name], _queries(rows)
    _filled(name, SMALL)[0].search(queries[:1], K)  # so that libraries and their buffers are not counted
    before = resident()
    index = load_index(
        Path(folder) / "index",
        metric=subject.metric,
        head=subject.head,
        dim=DIM,
        comparison=COMPARED[subject.head],
    )
    tiebreak = np.arange(rows, dtype=np.uint64)
    index.search(queries[:3], K, tiebreak=tiebreak)
    taken = resident() - before - tiebreak.nbytes
    times, found = [], []
    for query in queries:
        start = time.perf_counter()
        found.append(index.search(query[None], K, tiebreak=tiebreak)[1][0])
        times.append(round(1000 * (time.perf_counter() - start), 4))
    right: Rows = np.load(Path(folder) / "right.npy")
    agreed = [len(set(own[:AGREED]) & set(each)) / AGREED for own, each in zip(found, right, strict=True)]
    return {"resident_bytes": taken / rows, "search_ms": times, "agreement": float(np.mean(agreed))}


def _filled(name: str, rows: int) -> tuple[VectorIndex, Vectors]:
    subject, vectors = SUBJECTS[name], clustered(rows, rows, seed=1)
    codebooks = first_pieces(vectors) if subject.head == "pq" else None
    index = build_index(
        vectors,
        subject.settings(rows),
        metric=subject.metric,
        head=subject.head,
        comparison=COMPARED[subject.head],
        codebooks=codebooks,
    )
    return index, vectors


def _queries(rows: int) -> Vectors:
    return clustered(QUERIES, rows, seed=2)


def first_pieces(vectors: Vectors) -> npt.NDArray[np.float32]:
    """(16, 16, 8) float32: pieces of the first 16 vectors. How long a search lasts does not depend on who chose them."""
    return np.ascontiguousarray(vectors[: 2**BITS].reshape(2**BITS, PARTS, -1).swapaxes(0, 1))


def _write_gallery(rows: int, attributes: int, folder: str) -> int:
    words = [f"group-{n % 12}:value-{n}" for n in range(60)]
    rng = np.random.default_rng(3)
    columns = {
        "image_id": [f"image-{row:010d}" for row in range(rows)],
        "item_id": [f"item-{row // 4:010d}" for row in range(rows)],
        "category": [f"category-{row % 20}" for row in range(rows)],
        "domain": ["shop"] * rows,
        "split": ["test"] * rows,
        "role": ["gallery"] * rows,
        "view": ["front"] * rows,
        "thumbnail": [b""] * rows,
    }
    lists = [[words[n] for n in drawn] for drawn in rng.integers(len(words), size=(rows, attributes)).tolist()]
    columns |= {"attributes": lists, "predicted_attributes": lists}
    path = Path(folder) / "gallery.parquet"
    write_gallery(path, pa.table(columns, schema=GALLERY_SCHEMA))
    return path.stat().st_size


def _open_gallery(rows: int, folder: str) -> dict[str, Any]:
    before, start = resident(), time.perf_counter()
    items = GalleryTable.open(Path(folder) / "gallery.parquet")
    seconds = time.perf_counter() - start
    if len(items) != rows:
        raise AssertionError(f"the gallery has {len(items)} rows, not {rows}")
    return {
        "resident_bytes": (resident() - before) / rows,
        "open_s": round(seconds, 2),
    }


def apart(function: Callable[..., Any], *arguments: Any) -> Any:
    """What the function returns in a process that is started for it, so that the memory that it takes is its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def resident() -> int:
    """Bytes of memory that this process has in use (Linux)."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
