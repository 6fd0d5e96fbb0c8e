"""Workspaces of the benchmarks: params.yaml and data of their own, in which the pipeline's stages are run one by one.

A data folder holds the catalogue of one seed and is shared by all methods; a cell is one method on it. Both are named by a
hash of the params that decide on them, so that a command which was stopped goes on where it was, and one with other params
starts anew. Code is not part of the hash: after a change of code that matters, pass --fresh.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from benchmarks.common.benchmark_command import PROJECT, Values
from benchmarks.common.recorded_results import Results
from croquis.bundle import Bundle
from croquis.catalog.table import Catalog
from croquis.evaluation.evaluate_bundle import evaluate_split
from croquis.evaluation.latency import query_latencies
from croquis.evaluation.protocol import PAIRS
from croquis.evaluation.results import SplitResult
from croquis.files import read_json, write_json
from croquis.params import Params
from croquis.params.loader import parse_params
from croquis.registry.evaluation_reports import Measure
from croquis.registry.gating.gate_inputs import evaluation_settings
from croquis.search.local_retriever import LocalRetriever
from croquis.tracking.environment import quiet
from croquis.tracking.git import git_state
from stages import index, ingest, train_embedder, validate

SPLITS = ("val", "test")
# What a training imports when it begins: the first cell is not to pay for it.
LIBRARIES = ("lightning_modules.training.fit", "lightning_modules.nets.onnx_export", "mlflow", "onnxscript")


@dataclass(frozen=True)
class Cell:
    """One method in its workspace.

    Attributes:
        folder: holds params.yaml, `data` (a link), models and reports.
        key: hash of the params that decide on its figures.
        name: as in reports, where it is not the method's.
    """

    folder: Path
    method: str
    params: Params
    key: str
    name: str = ""

    @property
    def pair(self) -> str:
        """The pair of domains that `register.select_by` names."""
        return Measure.parse(self.params.register_.select_by).pair


def prepare_environment(scratch: Path) -> None:
    """All cells log into one MLflow store in scratch, unless MLFLOW_TRACKING_URI names another."""
    quiet()
    scratch.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("MLFLOW_TRACKING_URI", f"sqlite:///{scratch}/mlruns/mlflow.db")


def run_stages(folder: Path) -> None:
    """How data come to be, but for CIFAR-10."""
    ingest.main(folder)
    validate.main(folder)


def open_data(values: Values, scratch: Path, make: Callable[[Path], None] = run_stages, **more: Any) -> Path:
    """The folder whose `data/catalog` these params describe; `make(folder)` writes it unless it is there.

    Args:
        more: settings beyond params.yaml that decide on the data.
    """
    source = values["ingest"]["source"]
    used = {name: values["ingest"][name] for name in ("source", "shard_rows", source)}
    base = {name: values["base"][name] for name in ("seed", "protocol")}
    folder = scratch / f"data-{digest({**base, 'ingest': used, 'validate': values['validate'], **more})}"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(scratch / f".{folder.name}.lock"):
        if not (folder / "data/catalog").is_dir():
            write_json(folder / "params.yaml", values)  # JSON is YAML
            make(folder)
    return folder


def open_cell(values: Values, method: str, data: Path, scratch: Path, more: Sequence[str] = ()) -> Cell:
    """The workspace of a method on the data of `data`; its models stay from an earlier call with the same params.

    Args:
        more: blocks beyond the method's own that decide on its figures.
    """
    blocks = ("base", "train_embedder", method, "index", "evaluate", *more)
    key = digest({"method": method, "data": data.name, **{name: values[name] for name in blocks}})
    folder = scratch / f"cells/{method}-{key}"
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "params.yaml", values)
    if not (folder / "data").is_symlink():
        (folder / "data").symlink_to((data / "data").resolve(), target_is_directory=True)
    return Cell(folder, method, parse_params(values, methods=True), key)


def run_cells(
    seeds: Sequence[int],
    names: Sequence[str],
    results: Results,
    fresh: bool,
    cell_of: Callable[[str, int], Cell],
    measure: Callable[[Cell], Values],
) -> None:
    """Measures every NAME/SEED that `results` lacks, and keeps each as soon as it is there.

    Args:
        fresh: measure also what is there, from the training on.
        cell_of: from name and seed to the workspace.
        measure: from the workspace to the figures.
    """
    for seed in seeds:
        for name in names:
            label, cell = f"{name}/{seed}", cell_of(name, seed)
            if fresh:
                shutil.rmtree(cell.folder)
                cell = cell_of(name, seed)
            elif results.has(label, cell.key):
                print(f"{label}: measured already", flush=True)
                continue
            print(f"{label}: begins", flush=True)
            start = time.perf_counter()
            results.add(label, {"key": cell.key, "seed": seed, "commit": commit(), **measure(cell)})
            shutil.rmtree(cell.folder / "models/bundles")  # the gallery's thumbnails fill a disk; nets are small
            print(f"{label}: done in {time.perf_counter() - start:.0f} s", flush=True)
    print(f"wrote {results.path}", flush=True)


def train_and_measure(cell: Cell) -> Values:
    """Everything that the tables show of a cell."""
    seconds = timed(cell, lambda: train_embedder.main(cell.method, cell.folder))
    retriever = pack(cell)
    results = evaluate(cell, retriever)
    record = read_json(cell.folder / f"reports/runs/train_embedder-{cell.method}/record.json")
    return {
        "train_seconds": seconds if hasattr(cell.params.method(cell.method), "fit") else None,
        "epochs": len(record["metrics"].get("train/loss", [])),
        "bytes_per_image": retriever.bundle.index.nbytes,
        "query_ms": round(query_latencies([retriever.bundle], "test", cell.pair, cell.folder)[0], 3),
        "pair": cell.pair,
        "splits": {split: short_summary(result, cell.pair) for split, result in results.items()},
    }


def timed(cell: Cell, work: Callable[[], None]) -> float | None:
    """Does `work` once per cell; returns its seconds, None when a kill cut it in two."""
    done, begun = cell.folder / "seconds.json", cell.folder / "begun"
    if not done.is_file():
        resumed = begun.exists()
        begun.touch()
        for library in LIBRARIES:
            importlib.import_module(library)
        start = time.perf_counter()
        work()
        write_json(done, None if resumed else round(time.perf_counter() - start, 2))
    seconds: float | None = read_json(done)
    return seconds


def pack(cell: Cell) -> LocalRetriever:
    """The bundle of a trained cell, opened."""
    index.main(cell.method, cell.folder)
    return LocalRetriever.of(
        Bundle.load(cell.folder / "models/bundles" / cell.method, threads=cell.params.base.threads)
    )


def evaluate(cell: Cell, retriever: LocalRetriever) -> dict[str, SplitResult]:
    """Val and test, the cell's pair only."""
    catalog, settings = Catalog.open(cell.folder / "data/catalog"), evaluation_settings(cell.params)
    pairs = [each for each in PAIRS if each.name == cell.pair]
    return {split: evaluate_split(retriever, catalog, None, split, settings, pairs=pairs) for split in SPLITS}


def short_summary(result: SplitResult, pair: str, path: str = "encoder") -> Values:
    """Counts, and each metric with its bootstrap interval and the level of chance."""
    whole = result.summary()
    run = next(each for each in whole["runs"] if (each["pair"], each["path"]) == (pair, path))
    return {"gallery": whole["gallery"], "queries": run["queries"], "items": run["items"], "metrics": run["metrics"]}


def commit() -> str:
    """The commit that the code is at, with a `+` where files differ from it; empty outside git."""
    state = git_state(PROJECT)
    return "" if state is None else state.commit[:12] + "+" * state.dirty


def digest(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()[:16]
