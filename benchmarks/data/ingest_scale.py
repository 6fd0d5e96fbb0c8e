"""How much memory and time ingest and validate need for so many images.

    python -m benchmarks.data.ingest_scale --images 100000 [--side 128] [--keep FOLDER]

Draws that many different photos (JPEG, four to an item, eight attributes each) into a folder, lists them in a CSV table, and
runs the two stages on it by the source `folder`, each as `dvc repro` does: in a process of its own, with the tracker. Prints
images per second and peak resident memory of both. The drawing is not counted.
"""

from __future__ import annotations

import argparse
import csv
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from benchmarks.common.real_sets import merged
from benchmarks.common.studies import PROJECT
from croquis.arrays import Uint8Image
from croquis.catalog.images import encode_jpeg
from croquis.files import write_json
from croquis.params.loader import parse_params, read_yaml

PHOTOS_PER_ITEM = 4
CATEGORIES, ATTRIBUTES, HELD = 20, 200, 8
STAGES = ("ingest", "validate")
MIB = 2**20


@dataclass(frozen=True)
class Cost:
    """What one stage took: seconds by the wall clock, seconds of computing, peak resident memory in MiB."""

    seconds: float
    computing: float
    memory: float


def draw(number: int, side: int) -> Uint8Image:
    """A picture of soft blots that no other number gives; uint8 (side, side, 3)."""
    coarse = np.random.default_rng(number).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


def table_rows(images: int) -> Iterator[dict[str, str]]:
    """Shop and consumer photos by turns; split and role are left to the source."""
    for number in range(images):
        item = number // PHOTOS_PER_ITEM
        held = np.random.default_rng(item).choice(ATTRIBUTES, HELD, replace=False)
        yield {
            "path": f"{number // 1000:04d}/{number:07d}.jpg",
            "item_id": f"item-{item:06d}",
            "domain": "consumer" if number % 2 else "shop",
            "category": f"category-{item % CATEGORIES:02d}",
            "attributes": "|".join(f"word-{word:03d}" for word in sorted(held)),
        }


def write_source(folder: Path, images: int, side: int) -> None:
    with (folder / "catalogue.csv").open("w", encoding="utf-8", newline="") as stream:
        table = csv.DictWriter(stream, next(table_rows(1)).keys())
        table.writeheader()
        for number, row in enumerate(table_rows(images)):
            path = folder / "images" / row["path"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encode_jpeg(draw(number, side)))
            table.writerow(row)


def write_params(folder: Path) -> None:
    source = {"table": str(folder / "catalogue.csv"), "images": str(folder / "images"), "columns": {}, "splits": {}}
    values = merged(read_yaml(PROJECT / "params.yaml"), {"ingest": {"source": "folder", "folder": source}})
    parse_params(values, "the benchmark's params")
    write_json(folder / "params.yaml", values)  # JSON is YAML


def run_stage(stage: str, folder: Path) -> Cost:
    """Runs `python -m stages.STAGE` in `folder`, its progress bar on the terminal.

    Raises:
        SystemExit: when the stage fails.
    """
    environment = os.environ | {"PYTHONPATH": str(PROJECT)}
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", f"stages.{stage}"], cwd=folder, env=environment)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"stage {stage} failed (status {status})")
    return Cost(time.perf_counter() - start, used.ru_utime + used.ru_stime, _peak(used))


def _peak(used: resource.struct_rusage) -> float:
    """MiB; the kernel counts kilobytes on Linux and bytes on macOS."""
    return used.ru_maxrss / (MIB if sys.platform == "darwin" else 1024)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--side", type=int, default=128, help="of the square photos, pixels")
    parser.add_argument("--keep", type=Path, help="folder to work in and leave behind; a temporary one by default")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.keep or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        write_source(folder, options.images, options.side)
        write_params(folder)
        costs = {stage: run_stage(stage, folder) for stage in STAGES}
    print("| stage | images | images/s | s | s of computing | peak memory, MiB |\n|---|---|---|---|---|---|")
    for stage, cost in costs.items():
        numbers = f"{options.images / cost.seconds:.0f} | {cost.seconds:.0f} | {cost.computing:.0f} | {cost.memory:.0f}"
        print(f"| {stage} | {options.images} | {numbers} |")


if __name__ == "__main__":
    main()
