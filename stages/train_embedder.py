"""Stage `train_embedder@METHOD`: one retriever, from the catalogue to `models/METHOD/`.

A method is the module of its name in `lightning_modules/`. It offers one of `build(params, data)`, a module to train,
`fixed_net(params)`, a net that is used as it is, or `fixed_encoder(params)`, an encoder without a net. One that also offers
`add_drawings(data, sketches, size)` learns from drawings besides the photos.

Each batch is spread over `base.processes` processes; started by `torchrun`, over those on several machines.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from croquis.files import fresh_folder, write_array, write_json
from croquis.nets.encoder import describe_histogram
from croquis.params import Params, load_params
from croquis.tracking.record import dvc_name
from croquis.tracking.stage_run import StageRun, stage_run
from lightning_modules.training import processes
from stages import run_stage

if TYPE_CHECKING:
    from lightning_modules.bases.retrieval_module import RetrievalModule
    from lightning_modules.data.retrieval_data import RetrievalData
    from lightning_modules.nets.retrieval_net import RetrievalNet
    from lightning_modules.training.fit import FitPlan, MetricRecorder


def main(method: str, root: Path = Path()) -> None:
    params = load_params(root / "params.yaml")
    source = importlib.import_module(f"lightning_modules.methods.{method}")
    if hasattr(source, "build") and processes.over(params.base.processes, "stages.train_embedder", [method], root):
        return
    if processes.following():
        train_along(source, params, method, root)
        return
    folder, own = root / "models" / method, settings(params, method)
    with stage_run("train_embedder", method, params=own, root=root) as run, fresh_folder(folder) as target:
        produce(source, params, method, root, target, run)
    print(f"{method}: wrote {folder.relative_to(root)}")


def settings(params: Params, method: str) -> dict[str, Any]:
    """The params that decide on this retriever."""
    own = getattr(params, method).model_dump()
    return {"base": params.base.model_dump(), "train_embedder": params.train_embedder.model_dump(), method: own}


def produce(source: ModuleType, params: Params, method: str, root: Path, target: Path, run: StageRun) -> None:
    if hasattr(source, "fixed_encoder"):
        write_json(target / "encoder.json", describe_histogram(source.fixed_encoder(params)))
        return
    from lightning_modules.training.numerics import prepare_torch

    prepare_torch(params.base.seed, params.base.threads)
    if hasattr(source, "fixed_net"):
        run.volatile("onnx_parity", export(source.fixed_net(params), params.base.image_size, target))
    else:
        train(source, params, method, root, target, run)


def train(source: ModuleType, params: Params, method: str, root: Path, target: Path, run: StageRun) -> None:
    """Trains, resuming where a killed try stopped, and exports the best epoch."""
    from lightning_modules.training.scratch import open_scratch, params_key

    module = source.build(params, load_data(params, root, source))
    key = run.key or params_key(settings(params, method))
    with open_scratch(root, f"train_embedder-{method}", key) as scratch:
        fit_module(module, params, method, scratch, run)
        run.volatile("onnx_parity", export(module.net, params.base.image_size, target))


def train_along(source: ModuleType, params: Params, method: str, root: Path) -> None:
    """What all processes but the first do."""
    from lightning_modules.training.numerics import prepare_torch

    if hasattr(source, "build"):
        prepare_torch(params.base.seed, params.base.threads)
        module = source.build(params, load_data(params, root, source))
        plan = prepare(module, params, method)
        stage = dvc_name("train_embedder", method)
        processes.train_along(stage, settings(params, method), params.base, root, module, module.data, plan)


def load_data(params: Params, root: Path, source: ModuleType) -> RetrievalData:
    """The images that `train_embedder` and the protocol name, and what the method `source` adds to them."""
    from croquis.catalog.table import Catalog
    from croquis.evaluation.protocol import PROTOCOLS
    from lightning_modules.data.retrieval_data import RetrievalData

    shared, base = params.train_embedder, params.base
    data = RetrievalData.from_catalog(
        Catalog.open(root / "data/catalog"),
        list(shared.domains),
        base.image_size,
        shared.labels,
        base.seed,
        PROTOCOLS[base.protocol],
    )
    if hasattr(source, "add_drawings"):
        data = source.add_drawings(data, Catalog.open(root / "data/sketches"), base.image_size)
    return data


def fit_module(module: RetrievalModule, params: Params, method: str, scratch: Path, run: MetricRecorder) -> None:
    from lightning_modules.training.fit import fit_and_record

    fit_and_record(module, module.data, prepare(module, params, method), params.base, scratch, run)


def prepare(module: RetrievalModule, params: Params, method: str) -> FitPlan:
    """Puts the method's images in its order, and says how it is to be fitted."""
    from lightning_modules.bases.retrieval_module import MONITOR
    from lightning_modules.training.fit import FitPlan
    from lightning_modules.training.result_sheet import draw_results

    own = getattr(params, method)
    module.data.use_sampler(module.sampler(params.base.seed))
    return FitPlan(
        name=method,
        epochs=own.fit.epochs,
        patience=own.fit.patience,
        monitor=MONITOR,
        mode="max",
        validate_every=own.fit.validate_every,
        accumulate=getattr(own, "accumulate", 1),
        sheets_every=params.train_embedder.contact_sheet_every,
        draw=lambda: draw_results(module, f"{method}: val queries and what it finds"),
    )


def export(net: RetrievalNet, size: int, target: Path) -> float:
    """Writes encoder.onnx, encoder.json and, for `pq`, codebooks.npy.

    Returns:
        The largest difference between PyTorch and ONNX Runtime.
    """
    import torch

    from lightning_modules.nets.onnx_export import export_onnx

    difference = export_onnx(net, torch.rand(2, 3, size, size), target / "encoder.onnx", "images", "embeddings")
    description = {
        "kind": "onnx",
        "file": "encoder.onnx",
        "size": size,
        "head": net.kind,
        "dim": net.dim,
        "metric": net.metric,
    }
    if net.kind == "pq":
        write_array(target / "codebooks.npy", net.codebooks.detach().cpu().numpy())
    write_json(target / "encoder.json", description)
    return difference


if __name__ == "__main__":
    sys.exit(run_stage(main, __doc__, "METHOD"))
