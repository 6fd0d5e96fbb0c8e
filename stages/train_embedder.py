"""Stage `train_embedder@METHOD`: one retriever, from the catalogue to `models/METHOD/`.

METHOD is an entry of the registry of methods (`croquis list methods`): a module to train, a net that is used as it is, an
encoder without a net, or one that is fitted in closed form. Each batch is spread over `base.processes` processes; started by
`torchrun`, over those on several machines.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from croquis.files import fresh_folder, write_json
from croquis.nets.encoder import describe_fixed
from croquis.params import Params, load_params
from croquis.params.accelerators import check_accelerator
from croquis.plugins import METHODS
from croquis.tracking.record import dvc_name
from croquis.tracking.stage_run import StageRun, stage_run
from lightning_modules.embedder.assembly import export, load_data, make_module, map_block, prepare, settings
from lightning_modules.methods import Method
from lightning_modules.training import processes
from stages import run_stage

if TYPE_CHECKING:
    from croquis.params.training_blocks import Map
    from lightning_modules.bases.retrieval_module import RetrievalModule
    from lightning_modules.data.retrieval_data import RetrievalData
    from lightning_modules.training.fit import MetricRecorder


def main(name: str, root: Path = Path()) -> None:
    params = load_params(root / "params.yaml", methods=[name])
    method: Method = METHODS.entry(name)
    if method.learns:
        check_accelerator(params.base.accelerator)
    if method.learns and processes.over(params.base.processes, "stages.train_embedder", [name], root):
        return
    if processes.following():
        follow(method, params, name, root)
        return
    folder, own = root / "models" / name, settings(params, name)
    with stage_run("train_embedder", name, params=own, root=root) as run, fresh_folder(folder) as target:
        produce(method, params, name, root, target, run)
    print(f"{name}: wrote {folder.relative_to(root)}")


def produce(method: Method, params: Params, name: str, root: Path, target: Path, run: StageRun) -> None:
    """Writes what the method's way to an encoder gives into `target`, and the map behind it."""
    block = map_block(params, name)
    mapped = block.kind != "none"
    if method.fixed_encoder is not None:
        files = {} if method.add_files is None else method.add_files(params, target)
        write_json(target / "encoder.json", describe_fixed(method.fixed_encoder(params)) | files)
        if mapped:
            fit_map(load_data(params, root, method), block, params, target, run)
        return
    from lightning_modules.nets.joint.text_tower import export_tower
    from lightning_modules.training.numerics import prepare_torch

    prepare_torch(params.base.seed, params.base.threads)
    if method.fit_encoder is not None:
        data = load_data(params, root, method, params.method(name).size)
        for figure, value in method.fit_encoder(params, data, target).items():
            (run.volatile if figure == "onnx_parity" else run.metric)(figure, value)
        return
    if method.fixed_net is None:
        train(method, params, name, root, target, run)
        return
    net = method.fixed_net(params)
    run.volatile("onnx_parity", export(net, params.base.image_size, target))
    if (parity := export_tower(net, target)) is not None:
        run.volatile("text_onnx_parity", parity)
    if mapped:
        fit_map(load_data(params, root, method), block, params, target, run, net.colours)


def fit_map(data: RetrievalData, block: Map, params: Params, target: Path, run: StageRun, colours: int = 0) -> None:
    """Puts a map behind the encoder in `target` where val gains by it; `colours` as in `add_map`."""
    from lightning_modules.training.map_choice import add_map

    for name, value in add_map(target, data, block, params.base.threads, colours).items():
        run.metric(f"map/{name}", value)


def train(method: Method, params: Params, name: str, root: Path, target: Path, run: StageRun) -> None:
    """Trains, resuming where a killed try stopped, and exports the best epoch."""
    from lightning_modules.training.scratch import open_scratch, params_key

    module = make_module(method, params, root)
    key = run.key or params_key(settings(params, name))
    with open_scratch(root, f"train_embedder-{name}", key) as scratch:
        fit_module(module, params, name, scratch, run)
        run.volatile("onnx_parity", export(module.net, params.base.image_size, target))
        fit_map(module.data, map_block(params, name), params, target, run, module.net.colours)


def follow(method: Method, params: Params, name: str, root: Path) -> None:
    """What all processes but the first do."""
    from lightning_modules.training.numerics import prepare_torch

    if method.learns:
        prepare_torch(params.base.seed, params.base.threads)
        module = make_module(method, params, root)
        plan = prepare(module, params, name)
        stage = dvc_name("train_embedder", name)
        processes.train_along(stage, settings(params, name), params.base, root, module, module.data, plan)


def fit_module(module: RetrievalModule, params: Params, name: str, scratch: Path, run: MetricRecorder) -> None:
    """Trains a module whose params block is that of `name`; its best weights are left in it."""
    from lightning_modules.training.fit import fit_and_record

    fit_and_record(module, module.data, prepare(module, params, name), params.base, scratch, run)


if __name__ == "__main__":
    sys.exit(run_stage(main, __doc__, "METHOD"))
