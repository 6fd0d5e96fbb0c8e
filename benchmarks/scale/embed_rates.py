"""Bulk embedding against the bare loop, and byte for byte against the bundle's index.

    python -m benchmarks.scale.embed_rates --bundle models/bundles/siamese --also models/bundles/dhd models/bundles/gpq

The bare loop decodes, scales and encodes in this process, and writes nothing. It, `--engine local` and `--engine ray` take
turns; a figure is the median over the turns of images per second, and a ratio that of two neighbours in one turn. Engines
are timed from the first finished shard to the last: what comes before, the start of processes, is reported separately.
On a busy machine the CPU time per image, of the two ways that are one process, tells more. Ray's habit of
giving its workers 15 less of priority is off here. Bundles of --also are only compared. The command fails when
a byte differs.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from croquis.bulk.local_engine import embed_local
from croquis.bulk.ray_engine import RayEngine, ray_session
from croquis.bulk.run import Engine, embed
from croquis.bundle import Bundle
from croquis.catalog.images import crop, decode_image
from croquis.catalog.table import Catalog, CatalogWriter
from croquis.files import write_json
from croquis.index.code_index import CodeIndex
from croquis.index.exact import normalise
from croquis.search.bundle_nets import AT_A_TIME, Nets
from croquis.tracking.environment import quiet

REPORT = Path("reports/benchmarks/embed.json")


def main(arguments: Sequence[str] | None = None) -> None:
    """Raises:
    SystemExit: 1 when the engines' bytes differ, or are not those of the index.
    """
    quiet()
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 it is spelt so
    options = parser().parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        catalog = resharded(Catalog.open(options.catalog), folder / "images", options.shard_rows)
        jobs = [int(count) for count in options.jobs.split(",")]
        start = time.perf_counter()
        with ray_session(max(jobs), None):
            session = time.perf_counter() - start
            engines: dict[str, Engine] = {"local, 1 job": embed_local}
            engines |= {f"local, {count} jobs": partial(embed_local, jobs=count) for count in jobs if count > 1}
            engines |= {f"ray, {count} jobs": RayEngine(count) for count in jobs}
            timed = measure(options, catalog, engines, folder)
            same = {str(path): compare(path, catalog, engines, folder) for path in (options.bundle, *options.also)}
    report = {
        "command": f"python -m benchmarks.scale.embed_rates {' '.join(sys.argv[1:] if arguments is None else arguments)}",
        "machine": {"cpus": os.cpu_count(), "nice": os.nice(0), "load": [round(each, 1) for each in os.getloadavg()]},
        "images": len(catalog),
        "ray_start_seconds": round(session, 1),
        **timed,
        "identical": same,
    }
    write_json(options.report, report)
    print(json.dumps(report, indent=2))
    if not all(all(found.values()) for found in same.values()):
        sys.exit(1)


def resharded(catalog: Catalog, folder: Path, rows: int) -> Catalog:
    """A copy in smaller shards, so that the last ones that are under way do not count for much."""
    with CatalogWriter(folder, rows) as writer:
        writer.write_all(catalog.rows())
    return Catalog.open(folder)


def measure(options: argparse.Namespace, catalog: Catalog, engines: dict[str, Engine], folder: Path) -> dict[str, Any]:
    """Images per second of each way, ratio to the bare loop of the same turn, CPU time, seconds to the first shard."""
    bundle = Bundle.load(options.bundle)
    bare_loop(bundle, catalog, AT_A_TIME)  # opens the net
    speeds: dict[str, list[float]] = {"bare": []}
    firsts: dict[str, list[float]] = {}
    cpu: dict[str, list[float]] = {"bare": [], "local, 1 job": []}
    for turn in range(options.repeats):
        began = time.process_time()
        speeds["bare"].append(bare_loop(bundle, catalog, len(catalog)))
        cpu["bare"].append(time.process_time() - began)
        for name, engine in engines.items():
            began = time.process_time()
            first, speed = timed_run(bundle, catalog, engine, folder / f"{name}-{turn}")
            if name in cpu:
                cpu[name].append(time.process_time() - began)
            speeds.setdefault(name, []).append(speed)
            firsts.setdefault(name, []).append(first)
            print(f"turn {turn + 1}, {name}: {speed:.0f} images/s, bare {speeds['bare'][-1]:.0f}", file=sys.stderr)
    ratios = {
        name: [speed / bare for speed, bare in zip(found, speeds["bare"], strict=True)]
        for name, found in speeds.items()
    }
    return {
        "images_per_second": {name: round(median(found), 1) for name, found in speeds.items()},
        "ratio_to_bare": {
            name: {"median": round(median(found), 3), "all": [round(each, 3) for each in found]}
            for name, found in ratios.items()
            if name != "bare"
        },
        "cpu_ms_per_image": {name: round(1000 * median(found) / len(catalog), 3) for name, found in cpu.items()},
        "first_shard_seconds": {name: round(median(found), 1) for name, found in firsts.items()},
    }


def bare_loop(bundle: Bundle, catalog: Catalog, count: int) -> float:
    """Images per second of reading, decoding, scaling and encoding `count` images, one batch after another."""
    nets, boxes, pictures = Nets(bundle), catalog.column("bbox"), []
    start = time.perf_counter()
    for row, data in enumerate(catalog.images(range(count))):
        pictures.append(crop(decode_image(data), boxes[row]))
        if len(pictures) == AT_A_TIME or row == count - 1:
            nets.encode(pictures)
            pictures.clear()
    return count / (time.perf_counter() - start)


def timed_run(bundle: Bundle, catalog: Catalog, engine: Engine, to: Path) -> tuple[float, float]:
    """Seconds to the first finished shard, and images per second from there on."""
    seen: list[tuple[int, float]] = []
    embed(
        bundle, str(catalog.folder), str(to), engine, progress=lambda done, _: seen.append((done, time.perf_counter()))
    )
    (_, begun), (first, early), (last, late) = seen[0], seen[1], seen[-1]
    return early - begun, (last - first) / (late - early)


def compare(path: Path, catalog: Catalog, engines: dict[str, Engine], folder: Path) -> dict[str, bool]:
    """Whether every engine writes the same bytes, and whether what they say of the gallery is what the index holds."""
    bundle, found = Bundle.load(path), []
    for number, engine in enumerate(engines.values()):
        to = folder / f"{path.name}-{number}"
        embed(bundle, str(catalog.folder), str(to), engine)
        found.append({each.name: each.read_bytes() for each in sorted(to.iterdir())})
    return {
        "engines": all(each == found[0] for each in found),
        "index": of_gallery(bundle, folder / f"{path.name}-0") == of_index(bundle),
    }


def of_index(bundle: Bundle) -> bytes:
    return bundle.index.codes().tobytes() if isinstance(bundle.index, CodeIndex) else bundle.index.vectors().tobytes()


def of_gallery(bundle: Bundle, folder: Path) -> bytes:
    """Codes, or unit vectors where the metric is the cosine, of the gallery's images in its order, as they were embedded."""
    table = pa.concat_tables([pq.read_table(path) for path in sorted(folder.glob("*.parquet"))])
    place = {image_id: row for row, image_id in enumerate(table.column("image_id").to_pylist())}
    chosen = table.take([place[image_id] for image_id in bundle.items.image_ids])
    if "code" in chosen.column_names:
        return b"".join(chosen.column("code").to_pylist())
    vectors = np.stack(chosen.column("vector").to_numpy(zero_copy_only=False)).astype(np.float32)
    return (normalise(vectors) if bundle.manifest.encoder.metric == "cosine" else vectors).tobytes()


def parser() -> argparse.ArgumentParser:
    asked = argparse.ArgumentParser(
        prog="python -m benchmarks.scale.embed_rates",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = asked.add_argument
    add("--bundle", type=Path, required=True, metavar="FOLDER")
    add("--also", type=Path, nargs="*", default=[], metavar="FOLDER", help="bundles that are compared and not timed")
    add("--catalog", type=Path, default=Path("data/catalog"), metavar="FOLDER", help="on which the bundles were made")
    add("--jobs", default="1,2", metavar="N,N", help="of both engines (default %(default)s)")
    add("--repeats", type=int, default=5, metavar="N", help="turns (default %(default)s)")
    add("--shard-rows", type=int, default=64, metavar="N", help="images per shard (default %(default)s)")
    add("--report", type=Path, default=REPORT, metavar="FILE")
    return asked


if __name__ == "__main__":
    main()
