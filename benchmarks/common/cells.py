"""Workspaces of the studies: params.yaml and data of their own, in which the pipeline's stages are run one by one.

A data folder holds the catalogue of one seed and is shared by all methods; a cell is one row of a study on it. Both are
named by a hash of the params that decide on them, so that a command which was stopped goes on where it was, and one with
other params starts again. Code is not part of the hash: after a change of code that matters, pass --fresh.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import pkgutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from filelock import FileLock

from benchmarks.common.studies import METHODS, PROJECT, Options, Study, Values, study_values
from croquis.bundle import Bundle
from croquis.catalog.table import Catalog
from croquis.evaluation.evaluate_bundle import EvaluationSettings, evaluate_split
from croquis.evaluation.protocol import PAIRS
from croquis.evaluation.results import SplitResult
from croquis.files import read_json, write_json
from croquis.params import Params
from croquis.params.loader import load_params, parse_params
from croquis.registry.evaluation_reports import Measure
from croquis.registry.gating.gate_inputs import evaluation_settings
from croquis.search.local_retriever import LocalRetriever
from croquis.tracking.environment import quiet
from croquis.tracking.git import git_state
from croquis.tracking.stage_code import CODE
from stages import code, index, ingest, sketch, validate

SPLITS = ("val", "test")
# What a training imports when it begins: the first cell is not to pay for it.
LIBRARIES = ("lightning_modules.training.fit", "lightning_modules.nets.onnx_export", "mlflow", "onnxscript")


@dataclass(frozen=True)
class Cell:
    """One row of a study with one seed, in its workspace.

    Attributes:
        name: of the row.
        folder: holds params.yaml, `data` (a link), models and reports.
        key: hash of what decides on its figures.
        finished: it is a pipeline that has run: its bundles are taken as they are.
        bundles: the methods whose bundles are compared.
    """

    name: str
    method: str
    folder: Path
    params: Params
    key: str
    finished: bool = False
    bundles: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        return f"{self.name}/{self.params.base.seed}"

    @property
    def pair(self) -> str:
        """The pair of domains that `register.select_by` names."""
        return Measure.parse(self.params.register_.select_by).pair

    @property
    def settings(self) -> EvaluationSettings:
        return evaluation_settings(self.params)

    @cached_property
    def catalog(self) -> Catalog:
        return Catalog.open(self.folder / "data/catalog")

    def beside(self, name: str) -> Cell:
        """An empty workspace on the same data."""
        found = replace(self, folder=self.folder.with_name(f"{self.folder.name}-{name}"))
        furnish(found.folder, read_json(self.folder / "params.yaml"), self.folder)
        return found


@dataclass(frozen=True)
class Plan:
    """What a cell will be, before anything is made."""

    values: Values
    data: Path
    folder: Path
    key: str


def prepare_environment(scratch: Path) -> None:
    """All cells log into one MLflow store in scratch, unless MLFLOW_TRACKING_URI names another."""
    quiet()
    scratch.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("MLFLOW_TRACKING_URI", f"sqlite:///{scratch}/mlruns/mlflow.db")


def plan_cell(study: Study, row: str, seed: int, options: Options) -> Plan:
    """The params of a row, and the names that data and workspace have by them."""
    values = study_values(study, row, seed, options)
    source, base = values["ingest"]["source"], values["base"]
    described = {
        "seed": 0 if study.same_data else base["seed"],
        "protocol": base["protocol"],
        "ingest": {name: values["ingest"][name] for name in ("source", "shard_rows", source)},
        "validate": values["validate"],
        "made": [study.data, options.share, *([values["sketch"]] if study.data == DRAWN else [])],
    }
    data = options.scratch / f"data-{digest(described)}"
    method = study.method_of(row)
    blocks = ("base", "train_embedder", method, "index", "evaluate", *study.blocks)
    workspace = digest({"method": method, "data": data.name, **{name: values[name] for name in blocks}})
    folder = options.scratch / f"cells/{method}-{workspace}"
    compared = {"bundles": bundles} if (bundles := study.all_rows[row].bundles) else {}
    return Plan(values, data, folder, digest({"row": row, "workspace": workspace, **compared}))


def open_cell(study: Study, row: str, seed: int, options: Options) -> Cell:
    """The workspace of a row, made unless it is there; its models stay from an earlier call with the same params."""
    plan = plan_cell(study, row, seed, options)
    open_data(study, plan, options)
    furnish(plan.folder, plan.values, plan.data)
    bundles = tuple(study.all_rows[row].bundles)
    params = parse_params(plan.values, methods=True)
    return Cell(row, study.method_of(row), plan.folder, params, plan.key, bundles=bundles)


def open_data(study: Study, plan: Plan, options: Options) -> None:
    """Makes the data folder unless it is there; of several processes one makes it."""
    plan.data.mkdir(parents=True, exist_ok=True)
    with FileLock(plan.data.with_name(f".{plan.data.name}.lock")):
        if not (plan.data / "made").is_file():
            write_json(plan.data / "params.yaml", plan.values)  # JSON is YAML
            pkgutil.resolve_name(study.data)(plan.data, options)
            (plan.data / "made").touch()


def furnish(folder: Path, values: Values, data: Path) -> None:
    """Gives a workspace its params.yaml, and a link to the catalogue of a data folder."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "params.yaml", values)
    if not (folder / "data").is_symlink():
        (folder / "data").symlink_to((data / "data").resolve(), target_is_directory=True)


def finished_cell(study: Study, row: str, root: Path) -> Cell:
    """A cell of a pipeline that has run; its key names the bundles."""
    params, method = load_params(root / "params.yaml", methods=True), study.method_of(row)
    bundles = tuple(study.all_rows[row].bundles) or (method,)
    hashes = [Bundle.load(root / "models/bundles" / each).hash for each in bundles]
    key = digest({"bundles": hashes, "evaluate": params.evaluate.model_dump()})
    return Cell(row, method, root, params, key, finished=True, bundles=bundles)


def ingest_and_validate(folder: Path, _: Options) -> None:
    """How most data come to be."""
    ingest.main(folder)
    validate.main(folder)


def ingest_and_draw(folder: Path, options: Options) -> None:
    """The drawings of the simulated hand, too, for which the stage `code` says which methods learn from them."""
    ingest_and_validate(folder, options)
    write_json(folder / CODE / "methods.json", {name: code.facts(name) for name in METHODS})
    sketch.main(folder)


DRAWN = f"{ingest_and_draw.__module__}:{ingest_and_draw.__name__}"


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
    """The bundle of a trained cell, opened; of a finished pipeline that which is there."""
    if not cell.finished:
        index.main(cell.method, cell.folder)
    return load_bundle(cell, cell.method)


def load_bundle(cell: Cell, method: str) -> LocalRetriever:
    return LocalRetriever.load(cell.folder / "models/bundles" / method, cell.params.base.threads)


def evaluate(cell: Cell, retriever: LocalRetriever, sketches: Catalog | None = None) -> dict[str, SplitResult]:
    """Val and test, the cell's pair only."""
    pairs = [each for each in PAIRS if each.name == cell.pair]
    return {
        split: evaluate_split(retriever, cell.catalog, sketches, split, cell.settings, pairs=pairs) for split in SPLITS
    }


def short_summary(result: SplitResult, pair: str, path: str = "encoder") -> Values:
    """Counts, and each metric with its bootstrap interval and the level of chance."""
    whole = result.summary()
    run = next(each for each in whole["runs"] if (each["pair"], each["path"]) == (pair, path))
    return {"gallery": whole["gallery"], "queries": run["queries"], "items": run["items"], "metrics": run["metrics"]}


def figures_of(study: Study, cell: Cell) -> Values:
    """What a report keeps of a cell."""
    measured: Values = pkgutil.resolve_name(study.measure)(cell)
    return measured | {"key": cell.key, "seed": cell.params.base.seed, "commit": commit()}


def commit() -> str:
    """The commit that the code is at, with a `+` where files differ from it; empty outside git."""
    state = git_state(PROJECT)
    return "" if state is None else state.commit[:12] + "+" * state.dirty


def digest(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()[:16]
