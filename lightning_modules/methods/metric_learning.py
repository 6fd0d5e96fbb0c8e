"""Any loss, with any miner, of the package pytorch-metric-learning, on the net of siamese; needs the extra `metric`.

Sources: Musgrave, Belongie & Lim, "PyTorch Metric Learning" (arXiv 2008.09164) for the package, and "A Metric Learning
Reality Check" (ECCV 2020) for comparing its losses on one net with one search each. The losses of the shipped params and of
the tests: multi-similarity loss and miner, Wang et al. (CVPR 2019); ArcFace, Deng et al. (CVPR 2019); proxy anchor, Kim et
al. (CVPR 2020); supervised contrastive, Khosla et al. (NeurIPS 2020); triplets, Schroff et al. (CVPR 2015).

Net: backbone -> global max pool (unless `backbone.pooling` says otherwise) -> fully connected -> L2 norm.
Loss: the package's own, of the batch's vectors and item numbers; a miner picks the pairs or triplets that count in it.

A loss with weights of its own, such as proxies or class centres, is made for the items of the train split, and its weights
learn at `loss_rate`. They are no part of what is exported. Deviations from the sources: batches of P items x K images also
for losses by class; AdamW; the weights of a loss decay as those of the net do.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from croquis.params import Params
from croquis.params.block import Block
from croquis.params.training_blocks import Fit, TrainEmbedder
from croquis.refusals import hint_of
from croquis.settings import SearchRange
from lightning_modules.bases.retrieval_module import RetrievalModule
from lightning_modules.data.retrieval_data import Batch, RetrievalData
from lightning_modules.data.samplers import EpochSampler, ItemBatches
from lightning_modules.losses.triplet import collapse_figures
from lightning_modules.methods import Method
from lightning_modules.nets.retrieval_net import Embedder, projection_net
from lightning_modules.training.schedule import rate_factor

NAME = "metric_learning"
LIBRARY = "pytorch_metric_learning"
ABSENT = f"{NAME} needs the package pytorch-metric-learning, which is not installed: pip install 'croquis[metric]'"
STATE = "loss_state"
# What the package raises on arguments and inputs that it cannot use.
REFUSALS = (AssertionError, AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError)

Arguments = dict[str, bool | int | float | str | None]


class MetricLearningParams(Block):
    """A loss and a miner of pytorch-metric-learning by name."""

    embedding_dim: int = Field(ge=2, le=4096)
    centre: bool = Field(description="batch-normalise the vector before its L2 norm; needed without pretrained weights")
    loss: str = Field(description="a class of pytorch_metric_learning.losses, e.g. ArcFaceLoss")
    loss_args: Arguments = Field(description="its arguments, but for num_classes and embedding_size")
    miner: str | None = Field(description="a class of pytorch_metric_learning.miners, or null for none")
    miner_args: Arguments
    items_per_batch: int = Field(ge=2, le=1024)
    images_per_item: int = Field(ge=2, le=64)
    loss_rate: float = Field(gt=0.0, le=10.0, description="learning rate of the loss's own weights, e.g. of proxies")
    fit: Fit


def build(params: Params, data: RetrievalData) -> MetricLearning:
    """The module by the block `metric_learning`; it needs the extra `metric`."""
    return MetricLearning(params.train_embedder, params.method(NAME), data)


class MetricLearning(RetrievalModule):
    """The net of siamese under a loss of the package.

    Attributes:
        measure: the loss, with its own weights if it has any.
        miner: None for all pairs of the batch.
    """

    net: Embedder

    def __init__(self, shared: TrainEmbedder, method: MetricLearningParams, data: RetrievalData) -> None:
        net = projection_net(shared, method.embedding_dim, method.centre, data.train.image_size)
        super().__init__(net, shared, method.fit, data)
        self._method = method
        self.measure = make_loss(method, classes=int(data.train.items.max()) + 1)
        self.miner = make_miner(method)

    def sampler(self, seed: int) -> EpochSampler:
        return ItemBatches(self.data.train.items, self._method.items_per_batch, self._method.images_per_item, seed)

    def heads(self) -> list[nn.Parameter]:
        """The net's parameters outside the backbone; those of the loss have a rate of their own."""
        return list(self.net.head.parameters()) if self.net.head else []

    def loss(self, images: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Of the batches of all processes together, as if one process had them."""
        embeddings, batch = self.across_ranks(self(images), batch)
        mined = self.miner(embeddings, batch["items"]) if self.miner is not None else None
        loss: Tensor = self.measure(embeddings, batch["items"], mined)
        for name, value in self._tensors().items():
            setattr(self.measure, name, value.detach())  # the next step must not go back through this one
        figures = collapse_figures(embeddings, loss.detach().reshape(1))
        del figures["active_triplets"]  # most of these losses have no triplets
        return loss, {**figures, **self.net.figures()}

    def configure_optimizers(self) -> Any:
        """The shared optimiser and schedule, with a further group for the loss's own weights."""
        made, own = super().configure_optimizers(), list(self.measure.parameters())
        if own:
            made["optimizer"].add_param_group({"params": own, "lr": self._method.loss_rate})
            steps, fit = self.steps_per_epoch(), self._method.fit
            made["lr_scheduler"]["scheduler"] = torch.optim.lr_scheduler.LambdaLR(
                made["optimizer"], lambda step: rate_factor(step, fit.warmup_epochs * steps, fit.epochs * steps)
            )
        return made

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint[STATE] = self._tensors()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        for name, value in checkpoint.get(STATE, {}).items():
            setattr(self.measure, name, value)

    def _tensors(self) -> dict[str, Tensor]:
        """Attributes of the loss that its state dict leaves out; some losses change theirs with every step."""
        return {name: value for name, value in vars(self.measure).items() if isinstance(value, Tensor)}


def make_loss(method: MetricLearningParams, classes: int) -> nn.Module:
    """The loss; one with weights of its own has them for so many classes and the length of the vectors.

    Raises:
        ValueError: when the package is not installed, has no such loss, or the loss does not take the arguments.
    """
    kind = _class_of("loss", method.loss)
    from_data = {"num_classes": classes, "embedding_size": method.embedding_dim}
    given = sorted(from_data.keys() & method.loss_args.keys())
    if given:
        raise ValueError(f"{NAME}.loss_args holds {', '.join(given)}, which the method fills in: remove it")
    wanted = {name: value for name, value in from_data.items() if _takes(kind, name)}
    return _made(kind, "loss_args", {**wanted, **method.loss_args})


def make_miner(method: MetricLearningParams) -> nn.Module | None:
    """The miner, None where none is asked for; raises as `make_loss` does."""
    if method.miner is None:
        return None
    return _made(_class_of("miner", method.miner), "miner_args", method.miner_args)


def _class_of(key: str, name: str) -> type[nn.Module]:
    """The package's class for the key `loss` or `miner` of the block."""
    try:
        from pytorch_metric_learning import losses, miners
    except ModuleNotFoundError as error:
        if error.name != LIBRARY:
            raise
        raise ValueError(ABSENT) from error
    module, base = (losses, losses.BaseMetricLossFunction) if key == "loss" else (miners, miners.BaseMiner)
    classes = {each: kind for each, kind in vars(module).items() if inspect.isclass(kind)}
    known: dict[str, Any] = {
        each: kind for each, kind in classes.items() if issubclass(kind, base) and kind is not base
    }
    if name not in known:
        hint = hint_of(name, known) or f"; it has {', '.join(sorted(known))}"
        raise ValueError(f"{NAME}.{key} is {name!r}, which {module.__name__} does not have{hint}")
    found: type[nn.Module] = known[name]
    return found


def _takes(kind: type[nn.Module], name: str) -> bool:
    """Whether a class, or one that it hands its arguments on to, has an argument of that name."""
    makers = [vars(base)["__init__"] for base in kind.__mro__ if "__init__" in vars(base)]
    return any(name in inspect.signature(maker).parameters for maker in makers)


def _made(kind: type[nn.Module], key: str, arguments: Mapping[str, Any]) -> nn.Module:
    try:
        return kind(**arguments)
    except REFUSALS as error:
        raise ValueError(f"{NAME}.{key} does not fit {kind.__name__}: {_first_line(error)}") from error


def check(params: Params) -> None:
    """Tries loss and miner on a few vectors, so that what they refuse is told before any training."""
    if find_spec(LIBRARY) is None:
        if NAME in params.retrievers:
            raise ValueError(ABSENT)
        return  # the block is not used
    own: MetricLearningParams = params.method(NAME)
    with torch.random.fork_rng(devices=[]):
        loss, miner = make_loss(own, classes=2), make_miner(own)
        vectors = nn.functional.normalize(torch.randn(8, own.embedding_dim), dim=1)
        labels = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])
        try:
            loss(vectors, labels, miner(vectors, labels) if miner is not None else None)
        except REFUSALS as error:
            pair = f"{own.loss} and miner {own.miner}" if own.miner else own.loss
            raise ValueError(f"{NAME}.loss: {pair} cannot train on items: {_first_line(error)}") from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


METHOD = Method(
    params=MetricLearningParams,
    build=build,
    check=check,
    space={"loss_rate": SearchRange(1e-3, 1.0, log=True), "embedding_dim": SearchRange(16, 512, log=True)},
)
