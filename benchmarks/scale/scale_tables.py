"""The tables of docs/scale.md: what was measured, and what follows from it for catalogues of other sizes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import floor, log10
from statistics import median

import numpy as np

from benchmarks.common.benchmark_command import Values
from benchmarks.common.tables import table
from benchmarks.scale.capacity import GIB, CapacityError, CapacityLine, Demand, Machine, fit, plan
from benchmarks.scale.scale_indexes import SUBJECTS

ENCODER, GALLERY, INGEST = "encoder: ", "gallery", "ingest"
OURS, REFERENCE = "of the bundle", "ResNet-50 at 224 pixels"
GRAPH = "floats, hnsw"
DEMANDED = (1_000_000, 100_000_000, 1_000_000_000)
SLOW_MS = 100.0  # a search of one core that a person notices
QUANTILES = np.linspace(0, 1, 41)


def index_table(report: Mapping[str, Values]) -> str:
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


def rate_table(report: Mapping[str, Values]) -> str:
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


def capacity_table(report: Mapping[str, Values]) -> str:
    """What each demanded size needs with each index."""
    machine, cells = Machine(), report["cells"]
    encoder = cells[f"{ENCODER}{REFERENCE}"]
    head = ["images", "index", "GiB in memory", "shards x teams", "machines", "per month", "p99 ms", "rebuild cores"]
    rows = []
    for images in DEMANDED:
        demand = Demand(images)
        for name, line, resident in _lines(report):
            try:
                need = plan(
                    demand,
                    line,
                    resident,
                    encoder["decode_ms"] + encoder["encode_ms"],
                    encoder["images_per_s"],
                    machine,
                )
            except CapacityError:
                rows.append([f"{images:,}", name, *["–"] * 6])
                continue
            figures = [f"{need.memory_gib:,.0f}", f"{need.shards} x {need.teams}", f"{need.machines:,}"]
            figures += [f"{_short(need.month)} USD", f"{need.p99_ms:.0f}", f"{need.rebuild_cores:,}"]
            rows.append([f"{images:,}", name, *figures])
    demand = Demand(0)
    words = (
        f"For {demand.queries:g} queries/s of which 99 % last at most {demand.limit_ms:g} ms in the search; machines of "
        f"{machine.cores} cores and {machine.memory_gib:g} GiB, filled to {machine.fill:.0%}, at "
        f"{machine.core_hour} USD a core and {machine.gib_hour} USD a GiB an hour (an assumption); the encoder is "
        f"{REFERENCE}; all is embedded again in {demand.rebuild_hours:g} hours."
    )
    return f"{table(head, rows)}\n\n{words}"


def limit_table(report: Mapping[str, Values]) -> str:
    """How far one machine goes, and one core."""
    machine = Machine()
    head = [
        "index",
        "bytes in memory",
        "of which vectors",
        "images in one machine",
        "images a core searches",
    ]
    rows = []
    for name, line, resident in _lines(report):
        fits = machine.fill * machine.memory_gib * GIB / resident
        vectors = _largest(report, name)["resident_bytes"]
        longest = line.largest(SLOW_MS)
        reach = _short(longest) if longest < 1e12 else "any number"
        rows.append([name, f"{resident:,.0f}", f"{vectors:,.0f}", _short(fits), reach])
    words = (
        f"A machine: {machine.memory_gib:g} GiB, filled to {machine.fill:.0%}. A core: within {SLOW_MS:g} ms. Figures "
        "beyond the measured sizes are extrapolated."
    )
    return f"{table(head, rows)}\n\n{words}"


def _lines(report: Mapping[str, Values]) -> Iterable[tuple[str, CapacityLine, float]]:
    """Index -> its search time by size, and the bytes in memory of an image with its row of the gallery's table."""
    row = _largest(report, GALLERY)["resident_bytes"]
    for name, subject in SUBJECTS.items():
        sizes = _sizes(report, name)
        times = sizes[max(sizes)]["search_ms"]
        spread = np.quantile(times, QUANTILES) / median(times)
        medians = {images: median(cell["search_ms"]) for images, cell in sizes.items()}
        yield name, fit(subject.growth, medians, spread.tolist()), _largest(report, name)["resident_bytes"] + row


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


def _short(value: float) -> str:
    """Two significant digits, with a word for the thousands: 1.2 million."""
    rounded = round(value, 1 - floor(log10(value))) if value > 0 else 0.0
    for size, word in ((1e9, "billion"), (1e6, "million")):
        if rounded >= size:
            return f"{rounded / size:g} {word}"
    return f"{rounded:,.0f}"
