"""`init: whitened`: the layer that makes the vector starts from a map in closed form, fitted on the pooled train photos."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch

from croquis.arrays import Vectors
from croquis.params import Params
from croquis.params.training_blocks import Map
from lightning_modules.bases.retrieval_module import RetrievalModule
from lightning_modules.data.photo_rows import Images
from lightning_modules.data.retrieval_data import RetrievalData, eval_batch, to_float
from lightning_modules.maps.closed_form import LabelledVectors, shortened
from lightning_modules.nets.retrieval_net import RetrievalNet
from lightning_modules.training.map_choice import best_map, fitted


def start_of(
    module: RetrievalModule, params: Params, chosen_on: RetrievalData | None = None
) -> Callable[[], None] | None:
    """What gives the module the weights that it starts from, where they are not those that it has; for `FitPlan.begin`.

    Args:
        chosen_on: see `start_whitened`.
    """
    if params.train_embedder.init == "random":
        return None
    on_gpu = params.base.accelerator in ("auto", "gpu") and torch.cuda.is_available()
    device = torch.device("cuda" if on_gpu else "cpu")
    return partial(start_whitened, module, params.train_embedder.map, device, chosen_on)


def start_whitened(
    module: RetrievalModule, block: Map, device: torch.device, chosen_on: RetrievalData | None = None
) -> None:
    """Puts the best map into the net's layer; a net without one stays as it is.

    Images without labels take part in what needs none: which numbers of a longer map are kept, and the codes.

    Args:
        block: which maps are tried, none of labels; of `dims` those that are not shorter than the layer, or the layer's own.
            Any kind that is no such map stands for `best`. A longer map is shortened to the layer.
        device: computes the features.
        chosen_on: by whose train and val the map is chosen, to be fitted on the module's train photos; None where these are
            the module's own.

    Raises:
        ValueError: when the train photos span fewer numbers than the layer gives.
    """
    net, data = module.net, chosen_on or module.data
    if net.projection is None:
        return
    dim = net.projection.out_features
    dims = [each for each in block.dims if each >= dim] or [dim]
    wanted = block.model_copy(update={"dims": dims, "kind": "best" if block.kind in ("none", "labels") else block.kind})
    train, val = (pooled(net, images, device) for images in (data.train.images, data.val.images))
    found = best_map(train, val, data, wanted, net.pool.colours, labels=False)
    own, matrix = LabelledVectors(train, data.train.items, data.train.domains == "shop"), found.linear.matrix
    if chosen_on is not None:
        mine = module.data.train
        own = LabelledVectors(pooled(net, mine.images, device), mine.items, mine.domains == "shop")
        matrix = fitted(own, [found.settings], found.scale)[0].matrix
    if matrix.shape[1] < dim:
        raise ValueError(
            f"init: whitened gives {matrix.shape[1]} numbers at most on these train photos, but the layer has {dim}: "
            "choose a shorter vector (embedding_dim, bits, or subspaces * subspace_dim), or init: random"
        )
    seen, more = own.vectors, module.data.unlabelled
    if more is not module.data.train.images:
        seen = np.concatenate([seen, pooled(net, more, device)])
    if matrix.shape[1] > dim:
        matrix = shortened(matrix, seen, dim)
    net.start_from(matrix, own, seen)


def pooled(net: RetrievalNet, images: Images, device: torch.device) -> Vectors:
    """float32 (N, pool.dim), without random views, a batch at a time."""
    home, training = next(net.parameters()).device, net.training
    net.to(device).eval()
    vectors = np.empty((len(images), net.pool.dim), dtype=np.float32)
    with torch.no_grad():
        step = eval_batch(images.shape[-1])
        for start in range(0, len(images), step):
            part = slice(start, start + step)
            vectors[part] = net.features(to_float(images[part]).to(device)).cpu().numpy()
    net.to(home).train(training)
    return vectors
