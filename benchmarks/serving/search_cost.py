"""What a search in process costs beside its bare work: Pillow, ONNX Runtime and FAISS called one after the other.

    python -m benchmarks.serving.search_cost --bundle models/bundles/siamese

Both take the same photos in turns, in one process and with one thread; the bundle's index must be `flat`. Ratios of CPU and
of wall time are medians of the rounds, with the least and the greatest.
"""

from __future__ import annotations

import argparse
import io
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image

from croquis.bundle import Bundle
from croquis.catalog.table import Catalog
from croquis.files import write_json
from croquis.index.vector_index import FAISS, faiss_threads
from croquis.search.local_retriever import LocalRetriever

REPORT = Path("reports/benchmarks/search-cost.json")
PHOTOS = 200
K = 20


def main(arguments: Sequence[str] | None = None) -> None:
    asked = argparse.ArgumentParser(
        prog="python -m benchmarks.serving.search_cost",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    asked.add_argument("--bundle", type=Path, required=True)
    asked.add_argument("--catalog", type=Path, default=Path("data/catalog"))
    asked.add_argument("--rounds", type=int, default=5, help="of both (default %(default)s)")
    asked.add_argument("--report", type=Path, default=REPORT)
    options = asked.parse_args(arguments)
    catalog = Catalog.open(options.catalog)
    photos = list(catalog.images(catalog.select(domain="consumer")[:PHOTOS]))
    report = measure(options.bundle, photos, options.rounds)
    write_json(options.report, report)
    print(json.dumps(report, indent=2))


def measure(folder: Path, photos: Sequence[bytes], rounds: int) -> dict[str, object]:
    """CPU milliseconds of one search each way, and ratios as median, least and greatest."""
    retriever = LocalRetriever.load(folder)
    bare = BareSearch(retriever.bundle)
    ways: dict[str, Callable[[bytes], object]] = {
        "bare": bare,
        "search": lambda photo: retriever.search(photo, K, rerank=False),
    }
    for way in ways.values():
        spent(way, photos[:20])
    rows = [[spent(way, photos) for way in ways.values()] for _ in range(rounds)]
    found = dict(zip(ways, np.array(rows).transpose(1, 0, 2), strict=True))
    ratios = found["search"] / found["bare"]
    milliseconds = {
        f"{name}_cpu_ms": round(float(np.median(values[:, 0])) * 1000 / len(photos), 3)
        for name, values in found.items()
    }
    return milliseconds | {"cpu_ratio": spread(ratios[:, 0]), "wall_ratio": spread(ratios[:, 1])}


def spread(values: np.ndarray) -> dict[str, float]:
    """Median, least and greatest."""
    return {name: round(float(of(values)), 3) for name, of in (("median", np.median), ("min", np.min), ("max", np.max))}


def spent(way: Callable[[bytes], object], photos: Sequence[bytes]) -> tuple[float, float]:
    """Seconds of CPU and of wall time for all photos."""
    cpu, wall = time.process_time(), time.perf_counter()
    for photo in photos:
        way(photo)
    return time.process_time() - cpu, time.perf_counter() - wall


class BareSearch:
    """The work that every search needs: decode, scale, encode, map, search the floats; no checks and no records."""

    def __init__(self, bundle: Bundle) -> None:
        vectors = bundle.index.vectors()
        self._index = FAISS.IndexFlatL2(vectors.shape[1])
        self._index.add(vectors)
        self._size = bundle.manifest.preprocess.size
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        graph = str(bundle.folder / "encoder.onnx")
        self._session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        path = bundle.folder / "map.npy"
        self._map = np.load(path) if path.is_file() else None

    def __call__(self, photo: bytes) -> object:
        image = Image.open(io.BytesIO(photo)).convert("RGB")
        longest = max(image.size)
        width, height = (max(1, round(side * self._size / longest)) for side in image.size)
        square = Image.new("RGB", (self._size, self._size), "white")
        scaled = image.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=3.0)
        square.paste(scaled, ((self._size - width) // 2, (self._size - height) // 2))
        batch = np.asarray(square, dtype=np.float32).transpose(2, 0, 1)[None] / np.float32(255)
        (vectors,) = self._session.run(["embeddings"], {"images": np.ascontiguousarray(batch)})
        if self._map is not None:
            vectors = vectors @ self._map[:-1] + self._map[-1]
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        with faiss_threads(1):
            return self._index.search(vectors, K)


if __name__ == "__main__":
    main()
