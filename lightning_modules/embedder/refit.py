"""A chosen method trained once more, on the labels of train, val and test: as long as val found best, with val out of it.

Source: Goodfellow, Bengio & Courville, "Deep Learning" (2016), algorithm 7.2: early stopping tells how long, and the second
training has all data. The length is counted in epochs, so that each photo is seen as often as before.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from croquis.arrays import Vectors
from croquis.files import write_json
from croquis.nets.encoder import describe_encoder, load_encoder
from croquis.nets.linear_map import LinearMap
from croquis.params import Params, load_params
from croquis.params.accelerators import check_accelerator
from croquis.plugins import METHODS
from croquis.refusals import RefusedError
from croquis.tracking.record import RUNS, RunRecord, dvc_name, flatten, folder_name
from croquis.tracking.stage_key import read_lock, stage_key, stage_key_from_lock
from lightning_modules.embedder.assembly import export, load_data, make_module, prepare, settings
from lightning_modules.methods import Method

if TYPE_CHECKING:
    from lightning_modules.bases.retrieval_module import RetrievalModule
    from lightning_modules.embedder.map_refit import KnownMap
    from lightning_modules.training.fit import FitPlan

SPLITS = ("train", "val", "test")
HELD = "held.npy"
REPORT = "refit.json"
LIMITS = frozenset({"max_steps", "max_time"})


def refit_in(root: Path, name: str, folder: Path, key: str) -> None:
    """Puts the method's net and map, made of all labelled photos, into `folder`, and refit.json: `photos`, and `epochs` of a
    net.

    Settings are those that val chose: of the net the best epoch of its record, of the map what the trained bundle has. One
    process trains, whatever `base.processes` says; its batches are the same. A killed training resumes.

    Args:
        root: of the project, with params.yaml, data/catalog, and of a net the record of its training.
        name: of the method.
        folder: with encoder.json, which names no map, what belongs to it, and, if the trained bundle has a map, held.npy.
        key: of what is refitted; a training of another key does not resume.

    Raises:
        RefusedError: when params.yaml or the catalogue are not those of the trained bundle, or no epoch was worth keeping.
    """
    from lightning_modules.embedder.map_refit import known_map, write_map

    params, method = load_params(root / "params.yaml", methods=[name]), METHODS.entry(name)
    base, size = params.base, describe_encoder(folder).size
    own = load_data(params, root, method, size)
    photos = load_data(params, root, method, size, SPLITS).train
    held, module, epochs = folder / HELD, None, None
    if method.learns:
        module, plan = _first_training(method, params, name, root)
        epochs = best_epoch(root, name, params, plan)
    known: KnownMap | None = None
    seen: Mapping[str, Vectors] = {}
    if held.is_file():
        net = method.fixed_net(params) if method.fixed_net else None if module is None else module.net
        encoder = load_encoder(folder, base.threads)
        known = known_map(LinearMap.open(held), encoder, own, params, name, 0 if net is None else net.colours)
        seen = known.seen
    if module is not None and epochs is not None:
        _train(method, params, name, root, folder, epochs, key, module)
        seen = {}
    if known is not None:
        write_map(folder, load_encoder(folder, base.threads), photos, known, seen)
    counts = {"photos": int((photos.domains != "sketch").sum()), "epochs": epochs}
    write_json(folder / REPORT, {what: count for what, count in counts.items() if count is not None})


def best_epoch(root: Path, name: str, params: Params, plan: FitPlan) -> int:
    """How many epochs the trained weights had seen, from the record of their training.

    Raises:
        RefusedError: when there is no record, or it is of other params, code or photos; when training made the net worse.
    """
    from lightning_modules.training.fit import below_start

    again = "run `croquis repro` first"
    folder = root / RUNS / folder_name(dvc_name("train_embedder", name))
    try:
        record = RunRecord.read(folder)
    except FileNotFoundError:
        raise RefusedError(f"{folder} has no record of the training of {name}: {again}, or `dvc pull`") from None
    if _plain(record.params) != _plain(flatten(settings(params, name))):
        raise RefusedError(f"params.yaml has changed since the training of {name}: {again}")
    stage = dvc_name("train_embedder", name)
    recorded, now = (read_lock(root).get("stages") or {}).get(stage), stage_key(stage, root)
    if recorded is not None and now is not None and stage_key_from_lock(recorded) != now:
        raise RefusedError(f"data/catalog or the code has changed since the training of {name}: {again}")
    curve = {metric: [list(point) for point in points] for metric, points in record.metrics.items()}
    if below_start(curve, plan) or not curve.get(plan.monitor):
        raise RefusedError(
            f"no epoch of {name} was better than the net before training: there is nothing to train again"
        )
    best = max(value for _, value in curve[plan.monitor])
    return next(int(epoch) for epoch, value in curve[plan.monitor] if value == best) + 1


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """As JSON gives them back."""
    plain: dict[str, Any] = json.loads(json.dumps(values, default=str))
    return plain


def _first_training(method: Method, params: Params, name: str, root: Path) -> tuple[RetrievalModule, FitPlan]:
    """The module and plan of the training whose epochs val chose."""
    from lightning_modules.training.numerics import prepare_torch

    if limits := LIMITS & set(params.trainer):
        raise RefusedError(f"trainer.{min(limits)} would end the training at another epoch than val chose: take it out")
    check_accelerator(params.base.accelerator)
    prepare_torch(params.base.seed, params.base.threads)
    module = make_module(method, params, root)
    return module, prepare(module, params, name)


def _train(
    method: Method, params: Params, name: str, root: Path, folder: Path, epochs: int, key: str, first: RetrievalModule
) -> None:
    """Trains on all splits with the schedule of params.yaml, cut after `epochs`, and exports the last weights."""
    from lightning_modules.training.fit import fit
    from lightning_modules.training.numerics import prepare_torch
    from lightning_modules.training.scratch import open_scratch, params_key
    from lightning_modules.training.whitened_start import start_of

    prepare_torch(params.base.seed, params.base.threads)
    module = make_module(method, params, root, SPLITS)
    begin = start_of(module, params, first.data)
    plan = replace(prepare(module, params, name), epochs=epochs, by_val=False, draw=None, begin=begin)
    own = params_key({**settings(params, name), "epochs": epochs, "of": key})
    with open_scratch(root, f"refit-{name}", own) as scratch:
        done = len(fit(module, module.data, plan, params.base, scratch)["train/loss"])
        if done != epochs:
            raise RefusedError(
                f"the block trainer ended the training after {done} of {epochs} epochs: take its limit out"
            )
        export(module.net, params.base.image_size, folder)
