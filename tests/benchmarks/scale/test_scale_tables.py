"""The constants of one core are measured on what serves, and the tables are made of them."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.common.studies import load_studies
from benchmarks.scale.scale_indexes import AGREED, QUERIES, SUBJECTS, clustered, measure_gallery, measure_index
from benchmarks.scale.scale_tables import OURS, REFERENCE, capacity_table, fit, index_table, limit_table, rate_table
from tests.support.benchmark_cells import rows_of

STUDY = load_studies()["scale"]
RATES = {"method": "siamese", "image_size": 56, "decode_ms": 0.5, "encode_ms": 3.0, "images_per_s": 300.0}


def test_vectors_are_clustered_and_queries_belong_to_the_same_clusters():
    gallery, again, queries = clustered(4000, 4000, 1), clustered(4000, 4000, 1), clustered(50, 4000, 2)
    assert gallery.tobytes() == again.tobytes()
    assert np.linalg.norm(gallery, axis=1) == pytest.approx(np.ones(4000), abs=1e-5)
    near = np.sort(queries @ gallery.T, axis=1)
    assert np.median(near[:, -AGREED:]) > 0.6
    assert abs(np.median(near)) < 0.1
    assert not (near > 0.9999).any()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["floats, flat", "16 x 4 bits, ivf"])
def test_an_index_is_measured(name):
    found = measure_index(name, 3000)
    assert len(found["search_ms"]) == QUERIES
    assert min(found["search_ms"]) > 0
    expected = {"floats, flat": (512, 1.0), "16 x 4 bits, ivf": (16, 0.9)}[name]
    assert found["bytes"] == expected[0]
    assert found["agreement"] >= expected[1]
    assert found["file_bytes"] >= found["bytes"]


@pytest.mark.slow
def test_a_gallery_is_measured():
    found = measure_gallery(5000)
    assert found["resident_bytes"] > 0
    assert found["file_bytes"] > 4


def report():
    cells = {"ingest": {"events_per_s": 200.0, **RATES}}
    cells |= {f"encoder: {name}": RATES for name in (OURS, REFERENCE)}
    for rows in (1000, 100_000):
        cells[f"gallery @ {rows}"] = {"file_bytes": 20.0, "resident_bytes": 1000.0, "open_s": 0.1}
        for number, name in enumerate(SUBJECTS, start=1):
            times = [number * rows / 1e5 * share for share in (0.9, 1.0, 1.2)]
            sizes = {"bytes": 512, "file_bytes": 512.0, "resident_bytes": 600.0, "build_s": 1.0}
            cells[f"{name} @ {rows}"] = sizes | {"search_ms": times, "agreement": 0.5}
    return {"settings": {"processor": "X", "cores": 2, "python": "3.11"}, "cells": cells}


def test_tables_show_what_was_measured():
    lines = index_table(report(), STUDY).splitlines()
    assert lines[2] == "| floats, flat | 1,000 | 512 | 512 | 600 | 1.0 | 0.01 | 0.50 |"
    assert sum(line.startswith("| 128 bits, ivf |") for line in lines) == 2
    assert rows_of(rate_table(report(), STUDY))[f"{REFERENCE} (siamese)"] == ["56", "0.50", "3.0", "300"]
    assert "into a FAISS store, without a stream: 200/s." in rate_table(report(), STUDY)


def test_limits_follow_from_the_largest_size():
    row = rows_of(limit_table(report(), STUDY))["floats, flat"]
    assert row == ["1,600", "600", "60 million", "10 million"]


def test_the_capacity_of_a_larger_catalogue_is_never_less():
    lines = [line[2:-2].split(" | ") for line in capacity_table(report(), STUDY).splitlines() if line.startswith("| 1")]
    flat = [line for line in lines if line[1] == "floats, flat"]
    assert [line[0] for line in flat] == ["1,000,000", "100,000,000", "1,000,000,000"]
    machines = [int(line[6].replace(",", "")) for line in flat]
    # 10 ms at a million images, so that 100 queries/s keep a core busy and 100 shards of a million 100 cores.
    assert [line[3] for line in flat] == ["1", "16", "128"]
    assert [line[5] for line in flat] == ["1.0", "100.0", "1,000.0"]
    assert machines == sorted(machines)
    assert machines[0] >= 1


@pytest.mark.parametrize(
    ("growth", "times", "at", "largest"),
    [
        ("linear", {100: 3.0, 200: 5.0}, (400, 9.0), (9.0, 400)),
        ("root", {100: 11.0, 400: 21.0}, (900, 31.0), (31.0, 900)),
        ("linear", {100: 1.0, 200: 4.0}, (300, 5.4), (5.4, 300)),  # through zero: the plain line would begin below it
        ("log", {100: 5.0, 200: 4.0}, (9999, 4.5), (9.0, float("inf"))),  # nothing gets faster by being larger
    ],
)
def test_times_of_other_sizes_lie_on_the_line_through_the_measured_ones(growth, times, at, largest):
    line = fit(growth, times)
    assert line.at(at[0]) == pytest.approx(at[1])
    assert line.largest(largest[0]) == pytest.approx(largest[1])
