"""The tables of docs/benchmarks/capacity.md: constants of one core, measured, and sizes computed from them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import ceil, exp, floor, log, log10, sqrt
from statistics import median

import numpy as np

from benchmarks.common.studies import Study, Values
from benchmarks.common.tables import table
from benchmarks.scale.scale_indexes import SUBJECTS

ENCODER, GALLERY, INGEST = "encoder: ", "gallery", "ingest"
OURS, REFERENCE = "of the bundle", "ResNet-50 at 224 pixels"
GRAPH = "floats, hnsw"
GIB = 2**30
DEMANDED = (1_000_000, 100_000_000, 1_000_000_000)
QUERIES = 100.0  # per second
SLOW_MS = 100.0  # a search of one core that a person notices
DAY = 86_400.0  # seconds in which all is embedded again, after a new champion
CORES, MEMORY_GIB, FILL = 16, 128.0, 0.7  # of a machine, and the part of it that is planned with


@dataclass(frozen=True)
class SearchTime:
    """Milliseconds of one search of one core among n images: start + slope * f(n), where f is the `growth`."""

    growth: str
    start: float
    slope: float

    def at(self, images: float) -> float:
        return self.start + self.slope * _shape(self.growth, images)

    def largest(self, limit_ms: float) -> float:
        """Images among which one core searches within the limit; infinite where no number is too many."""
        if self.slope <= 0:
            return float("inf")
        room = (limit_ms - self.start) / self.slope
        if room <= 0:
            return 0.0
        return {"linear": room, "root": room**2, "log": exp(min(room, 700.0))}[self.growth]


def fit(growth: str, medians: Mapping[int, float]) -> SearchTime:
    """The line through measured medians (images -> ms), by least squares; neither part below 0."""
    sizes = sorted(medians)
    x, y = np.array([_shape(growth, n) for n in sizes]), np.array([medians[n] for n in sizes])
    slope, start = np.polyfit(x, y, 1) if len(sizes) > 1 else (y[0] / x[0], 0.0)
    if start < 0:  # through zero
        slope, start = float(x @ y / (x @ x)), 0.0
    if slope < 0:
        slope, start = 0.0, float(y.mean())
    return SearchTime(growth, float(start), float(slope))


def index_table(report: Mapping[str, Values], _: Study) -> str:
    """Every index at every size."""
    head = ["index", "images", "bytes", "on disk", "in memory", "built in s", "search ms", "agreement"]
    rows = []
    for name in SUBJECTS:
        for images, cell in _sizes(report, name).items():
            sizes = [f"{cell[key]:,.0f}" for key in ("bytes", "file_bytes", "resident_bytes")]
            found = [f"{cell['build_s']:,.1f}", f"{median(cell['search_ms']):.2f}", f"{cell['agreement']:.2f}"]
            rows.append([name, f"{images:,}", *sizes, *found])
    for images, cell in _sizes(report, GALLERY).items():
        sizes = [f"{cell[key]:,.0f}" for key in ("file_bytes", "resident_bytes")]
        rows.append(["table of the gallery", f"{images:,}", "", *sizes, f"(opened) {cell['open_s']:.1f}", "", ""])
    return f"{table(head, rows)}\n\n{_machine(report)}"


def rate_table(report: Mapping[str, Values], _: Study) -> str:
    """Encoders and ingest."""
    cells = report["cells"]
    head = ["encoder", "pixels", "decode ms", "encode ms", "images/s in batches"]
    rows = []
    for name in (OURS, REFERENCE):
        cell = cells[f"{ENCODER}{name}"]
        figures = [f"{cell['decode_ms']:.2f}", f"{cell['encode_ms']:.1f}", f"{cell['images_per_s']:.0f}"]
        rows.append([f"{name} ({cell['method']})", str(cell["image_size"]), *figures])
    events = f"{cells[INGEST]['events_per_s']:.0f}/s"
    words = f"Product events with a picture each, into a FAISS store, without a stream: {events}. {_machine(report)}"
    return f"{table(head, rows)}\n\n{words}"


def limit_table(report: Mapping[str, Values], _: Study) -> str:
    """How far one machine goes, and one core."""
    head = ["index", "bytes in memory", "of which vectors", "images in one machine", "images a core searches"]
    rows = []
    for name, search, resident in _lines(report):
        vectors = _largest(report, name)["resident_bytes"]
        longest = search.largest(SLOW_MS)
        reach = _short(longest) if longest < 1e12 else "any number"
        rows.append([name, f"{resident:,.0f}", f"{vectors:,.0f}", _short(FILL * MEMORY_GIB * GIB / resident), reach])
    words = (
        f"A machine: {MEMORY_GIB:g} GiB, filled to {FILL:.0%}. A core: within {SLOW_MS:g} ms. Figures "
        "beyond the measured sizes are extrapolated."
    )
    return f"{table(head, rows)}\n\n{words}"


def capacity_table(report: Mapping[str, Values], _: Study) -> str:
    """What each demanded size needs with each index, none of it spare."""
    encoder = report["cells"][f"{ENCODER}{REFERENCE}"]
    encoding = QUERIES * (encoder["decode_ms"] + encoder["encode_ms"]) / 1000
    head = ["images", "index", "GiB in memory", "shards", "ms a shard", "cores that search", "machines"]
    rows = []
    for images in DEMANDED:
        for name, search, resident in _lines(report):
            memory, shards = images * resident / GIB, 1
            while search.at(images / shards) > SLOW_MS and shards < images:
                shards *= 2
            longest = search.at(images / shards)
            searching = QUERIES * shards * longest / 1000
            machines = ceil(max((searching + encoding) / CORES, memory / MEMORY_GIB) / FILL)
            figures = [f"{memory:,.0f}", f"{shards:,}", f"{longest:.1f}", f"{searching:,.1f}", f"{machines:,}"]
            rows.append([f"{images:,}", name, *figures])
    rebuilds = ", ".join(f"{ceil(images / encoder['images_per_s'] / DAY):,}" for images in DEMANDED)
    words = (
        f"For {QUERIES:g} queries/s, whose encoding by {REFERENCE} takes {encoding:.1f} cores; a machine has {CORES} cores "
        f"and {MEMORY_GIB:g} GiB, filled to {FILL:.0%}. To embed all again in a day takes {rebuilds} cores."
    )
    return f"{table(head, rows)}\n\n{words}"


def _lines(report: Mapping[str, Values]) -> Iterable[tuple[str, SearchTime, float]]:
    """Index -> its search time by size, and the bytes in memory of an image with its row of the gallery's table."""
    row = _largest(report, GALLERY)["resident_bytes"]
    for name, subject in SUBJECTS.items():
        medians = {images: median(cell["search_ms"]) for images, cell in _sizes(report, name).items()}
        yield name, fit(subject.growth, medians), _largest(report, name)["resident_bytes"] + row


def _sizes(report: Mapping[str, Values], name: str) -> dict[int, Values]:
    found = {}
    for label, cell in report["cells"].items():
        subject, _, rows = label.rpartition(" @ ")
        if subject == name:
            found[int(rows)] = cell
    return dict(sorted(found.items()))


def _largest(report: Mapping[str, Values], name: str) -> Values:
    sizes = _sizes(report, name)
    return sizes[max(sizes)]


def _machine(report: Mapping[str, Values]) -> str:
    settings = report["settings"]
    return f"One thread; {settings['processor']}, {settings['cores']} cores, Python {settings['python']}."


def _shape(growth: str, images: float) -> float:
    return {"linear": float(images), "root": sqrt(images), "log": log(images)}[growth]


def _short(value: float) -> str:
    """Two significant digits, with a word for the thousands: 1.2 million."""
    rounded = round(value, 1 - floor(log10(value))) if value > 0 else 0.0
    for size, word in ((1e9, "billion"), (1e6, "million")):
        if rounded >= size:
            return f"{rounded / size:g} {word}"
    return f"{rounded:,.0f}"
