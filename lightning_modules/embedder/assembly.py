"""What `params.yaml` says of one retriever that is trained: its settings, images, module, plan and export.

The stage `train_embedder` and a refit share it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from croquis.files import write_array, write_json
from croquis.params import Params
from lightning_modules.methods import Method

if TYPE_CHECKING:
    from croquis.params.training_blocks import Map
    from lightning_modules.bases.retrieval_module import RetrievalModule
    from lightning_modules.data.retrieval_data import RetrievalData
    from lightning_modules.nets.retrieval_net import RetrievalNet
    from lightning_modules.training.fit import FitPlan


def settings(params: Params, name: str) -> dict[str, Any]:
    """The params that decide on this retriever."""
    shared = {"base": params.base, "train_embedder": params.train_embedder, name: params.method(name)}
    return {key: block.model_dump() for key, block in shared.items()} | {"trainer": params.trainer}


def map_block(params: Params, name: str) -> Map:
    """`train_embedder.map`, with the kind that the method's own block names, where it names one."""
    shared, kind = params.train_embedder.map, getattr(params.method(name), "map", None)
    return shared if kind is None else shared.model_copy(update={"kind": kind})


def make_module(method: Method, params: Params, root: Path, splits: Sequence[str] = ("train",)) -> RetrievalModule:
    """The module of a method that learns, with its images; `splits` as `RetrievalData` has them."""
    if method.build is None:
        raise ValueError("this method learns nothing: it has no module to train")
    return method.build(params, load_data(params, root, method, splits=splits))


def load_data(
    params: Params, root: Path, method: Method, size: int | None = None, splits: Sequence[str] = ("train",)
) -> RetrievalData:
    """The images that `train_embedder` and the protocol name, and the drawings for a method that learns from them.

    Args:
        size: side of the images, pixels; None for `base.image_size`.
        splits: see `RetrievalData`.
    """
    from croquis.catalog.table import Catalog
    from croquis.evaluation.protocol import PROTOCOLS
    from lightning_modules.data.retrieval_data import RetrievalData

    shared, base = params.train_embedder, params.base
    side = size or base.image_size
    data = RetrievalData.from_catalog(
        Catalog.open(root / "data/catalog"),
        list(shared.domains),
        side,
        shared.labels,
        base.seed,
        PROTOCOLS[base.protocol],
        params.preparation,
        splits,
    )
    if method.add_drawings is not None:
        data = method.add_drawings(data, Catalog.open(root / "data/sketches"), side)
    return data


def prepare(module: RetrievalModule, params: Params, name: str) -> FitPlan:
    """Puts the method's images in its order, and says how it is to be fitted."""
    from lightning_modules.bases.retrieval_module import MONITOR
    from lightning_modules.training.fit import FitPlan
    from lightning_modules.training.result_sheet import draw_results
    from lightning_modules.training.schedule import told_rates
    from lightning_modules.training.whitened_start import start_of

    own, shared = params.method(name), params.train_embedder
    module.data.use_sampler(module.sampler(params.base.seed))
    return FitPlan(
        name=name,
        epochs=own.fit.epochs,
        patience=own.fit.patience,
        monitor=MONITOR,
        mode="max",
        validate_every=own.fit.validate_every,
        rates=told_rates(
            name, own.fit, module.net.backbone.pretrained, shared.fine_tuning if module.started() else None
        ),
        accumulate=getattr(own, "accumulate", 1),
        sheets_every=shared.contact_sheet_every,
        draw=lambda: draw_results(module, f"{name}: val queries and what it finds"),
        trainer=params.trainer,
        begin=start_of(module, params),
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
