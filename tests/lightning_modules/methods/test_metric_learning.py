"""Losses and miners of pytorch-metric-learning by name: what they compute, learn, resume and refuse."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch

from croquis.params import Params
from croquis.params.loader import ParamsError, parse_params, read_yaml
from lightning_modules.bases.retrieval_module import MONITOR
from lightning_modules.data.negative_pools import embed_all
from lightning_modules.data.retrieval_data import RetrievalData
from lightning_modules.methods import metric_learning
from lightning_modules.nets.onnx_export import export_onnx
from lightning_modules.training.fit import FitPlan, fit
from lightning_modules.training.numerics import prepare_torch
from tests.support.training.trainings import UNMEASURED, Given, build_of, for_overfitting, resumed_equals_whole

REASON = "pytorch-metric-learning is not installed: pip install 'croquis[metric]'"
losses = pytest.importorskip("pytorch_metric_learning.losses", reason=REASON)
miners = pytest.importorskip("pytorch_metric_learning.miners", reason=REASON)

# Loss, its arguments, and a miner.
PAIRS = [
    ("ArcFaceLoss", {"margin": 20, "scale": 16}, None),
    ("ProxyAnchorLoss", {}, None),
    ("SupConLoss", {"temperature": 0.2}, None),
    ("MultiSimilarityLoss", {"alpha": 2, "beta": 40}, "MultiSimilarityMiner"),
    ("TripletMarginLoss", {"margin": 0.2}, "BatchHardMiner"),
]
OF_CLASSES = ("ArcFaceLoss", "ProxyAnchorLoss")
ITEMS = torch.tensor([0, 0, 0, 1, 1, 2, 2, 2])


def chosen(params: Params, loss: str, miner: str | None = None, **changes: object) -> Params:
    block = {"loss": loss, "miner": miner, "embedding_dim": 16, "items_per_batch": 4, "images_per_item": 4, **changes}
    own = params.metric_learning
    few = own.fit.model_copy(update={"epochs": 3, "warmup_epochs": 0, "patience": 10, "validate_every": 1})
    return params.model_copy(update={"metric_learning": own.model_copy(update={"fit": few, **block})})


def read_with(**changes: object) -> Params:
    """The shipped params, checked, with these in the block."""
    values = read_yaml("params.yaml")
    values["metric_learning"] |= changes
    return parse_params(values, methods=["metric_learning"])


@pytest.mark.parametrize(("loss", "arguments", "miner"), PAIRS)
def test_the_loss_is_the_package_s_own(
    params: Params, data: RetrievalData, loss: str, arguments: dict[str, Any], miner: str | None
):
    module = metric_learning.build(chosen(params, loss, miner, loss_args=arguments), data)
    vectors = torch.nn.functional.normalize(torch.randn(8, 16), dim=1).requires_grad_()
    sizes = {"num_classes": len(set(data.train.items)), "embedding_size": 16} if loss in OF_CLASSES else {}
    own = getattr(losses, loss)(**sizes, **arguments)
    own.load_state_dict(module.measure.state_dict())
    mined = getattr(miners, miner)()(vectors, ITEMS) if miner else None
    expected = own(vectors, ITEMS, mined)
    wanted = torch.autograd.grad(expected, vectors)[0]
    head = module.net.head
    module.net = Given(vectors)
    module.net.figures = head.figures
    found, figures = module.loss(torch.zeros(8, 3, 4, 4), {"items": ITEMS})
    assert found.item() == pytest.approx(expected.item())
    torch.testing.assert_close(torch.autograd.grad(found, vectors)[0], wanted)
    assert set(figures) == {"mean_cosine", "embedding_std", "effective_rank", "input_spread"}


def test_a_collapsed_batch_shows_in_the_figures(params: Params, data: RetrievalData):
    module = metric_learning.build(chosen(params, "SupConLoss"), data)
    head = module.net.head
    module.net = Given(torch.nn.functional.normalize(torch.ones(8, 16), dim=1))
    module.net.figures = head.figures
    figures = module.loss(torch.zeros(8, 3, 4, 4), {"items": ITEMS})[1]
    assert figures["mean_cosine"].item() == pytest.approx(1.0)
    assert figures["embedding_std"].item() == pytest.approx(0.0, abs=1e-6)
    assert figures["effective_rank"].item() == pytest.approx(1.0, abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(("loss", "arguments", "miner"), PAIRS)
def test_each_loss_trains_a_step(
    params: Params, data: RetrievalData, tmp_path: Path, loss: str, arguments: dict[str, Any], miner: str | None
):
    prepare_torch(0, 1)
    module, _ = build_of(metric_learning, chosen(params, loss, miner, loss_args=arguments), data)()
    before = {name: value.clone() for name, value in module.named_parameters()}
    history = fit(module, data, FitPlan(loss, 1, 5, MONITOR, "max", trainer=UNMEASURED), params.base, tmp_path)
    after = dict(module.named_parameters())
    assert all(value.isfinite().all() for value in after.values())
    assert torch.tensor([value for _, value in history["train/loss"]]).isfinite().all()
    assert {name for name in after if name.startswith("measure.")} == {
        f"measure.{name}" for name, _ in module.measure.named_parameters()
    }
    own = [name for name in after if name.startswith(("measure.", "net.head."))]
    assert (loss in OF_CLASSES) == any(name.startswith("measure.") for name in own)
    assert all(not torch.equal(before[name], after[name]) for name in own)


class Rates(pl.Callback):
    """Keeps the rate of every group of parameters at every step."""

    def __init__(self) -> None:
        self.found: list[list[float]] = []

    def on_before_optimizer_step(
        self, _trainer: pl.Trainer, _module: pl.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        self.found.append([group["lr"] for group in optimizer.param_groups])


@pytest.mark.slow
def test_the_weights_of_a_loss_follow_the_schedule_at_their_own_rate(
    params: Params, data: RetrievalData, tmp_path: Path
):
    module, _ = build_of(metric_learning, chosen(params, "ProxyAnchorLoss", loss_rate=0.5), data)()
    seen = Rates()
    module.configure_callbacks = lambda: [seen]
    fit(module, data, FitPlan("rates", 3, 10, MONITOR, "max"), params.base, tmp_path)
    rate = params.metric_learning.fit.learning_rate
    assert seen.found[0] == pytest.approx([rate, rate, 0.5])
    assert all(head / rate == pytest.approx(own / 0.5) for head, _, own in seen.found)
    assert seen.found[-1][2] < 0.1


@pytest.mark.parametrize("loss", ["SupConLoss", "ArcFaceLoss"])
@pytest.mark.slow
def test_it_overfits_eight_items(params: Params, data: RetrievalData, tmp_path: Path, loss: str):
    prepare_torch(0, 1)
    data = RetrievalData(data.train, data.train, data.train.domains == "consumer", data.categories)
    module, _ = build_of(metric_learning, for_overfitting(chosen(params, loss), "metric_learning", 30), data)()
    before = own_item_share(module, data)
    fit(module, data, FitPlan("overfit", 30, 30, MONITOR, "max"), params.base, tmp_path)
    assert own_item_share(module, data) > max(before, 0.9)


def own_item_share(module: pl.LightningModule, data: RetrievalData) -> float:
    """Share of the images whose nearest other image shows the same item."""
    embeddings = embed_all(module, data.train)
    nearest = (embeddings @ embeddings.T).fill_diagonal_(-2).argmax(1).numpy()
    return float((data.train.items[nearest] == data.train.items).mean())


@pytest.mark.parametrize(
    ("loss", "arguments", "miner"),
    [
        ("ProxyAnchorLoss", {}, None),
        ("DynamicSoftMarginLoss", {"min_val": -3.0}, None),
        ("MarginLoss", {}, "DistanceWeightedMiner"),
    ],
)
@pytest.mark.slow
def test_a_killed_training_ends_with_the_same_bytes(
    params: Params, data: RetrievalData, tmp_path: Path, loss: str, arguments: dict[str, Any], miner: str | None
):
    """With proxies, with a histogram that the loss keeps outside its state dict, and with a miner that draws at random."""
    settings = chosen(params, loss, miner, loss_args=arguments)
    plan = FitPlan("metric_learning", 4, 10, MONITOR, "max")
    resumed_equals_whole(build_of(metric_learning, settings, data), plan, params, tmp_path)


@pytest.mark.slow
def test_the_exported_net_computes_what_the_module_does(params: Params, data: RetrievalData, tmp_path: Path):
    module = metric_learning.build(chosen(params, "ProxyAnchorLoss"), data)
    assert export_onnx(module.net, torch.rand(2, 3, 32, 32), tmp_path / "net.onnx", "images", "embeddings") < 1e-4


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"loss": "ArcFaceLos"}, r"metric_learning\.loss is 'ArcFaceLos'.*; did you mean ArcFaceLoss\?"),
        ({"miner": "BatchHardMner"}, r"metric_learning\.miner is 'BatchHardMner'.*; did you mean BatchHardMiner\?"),
        ({"loss": "zzz"}, r"metric_learning\.loss is 'zzz'.*it has AngularLoss, "),
        ({"loss_args": {"alfa": 1}}, r"metric_learning\.loss_args does not fit MultiSimilarityLoss: .*'alfa'"),
        ({"miner_args": {"epsilo": 1}}, r"metric_learning\.miner_args does not fit MultiSimilarityMiner: .*'epsilo'"),
        ({"loss": "ArcFaceLoss", "loss_args": {"num_classes": 9}}, r"loss_args holds num_classes, which .*: remove it"),
        ({"loss": "CrossBatchMemory"}, r"metric_learning\.loss_args does not fit CrossBatchMemory|does not have"),
        ({"loss": "VICRegLoss", "miner": None}, r"metric_learning\.loss: VICRegLoss cannot train on items: "),
    ],
)
def test_what_cannot_train_is_told_before_training(changes: dict[str, object], told: str):
    with pytest.raises(ParamsError, match=told) as error:
        read_with(**changes)
    assert len(str(error.value).splitlines()) == 2  # the file, and the problem


def test_the_check_leaves_the_random_state_alone():
    torch.manual_seed(0)
    state = torch.get_rng_state()
    read_with(loss="ProxyAnchorLoss", miner=None)
    assert torch.equal(state, torch.get_rng_state())


def test_without_the_package_the_extra_is_named(params: Params, data: RetrievalData, monkeypatch: pytest.MonkeyPatch):
    for name in [name for name in sys.modules if name.startswith("pytorch_metric_learning")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pytorch_metric_learning", None)
    monkeypatch.setattr("lightning_modules.methods.metric_learning.find_spec", lambda _name: None)
    with pytest.raises(ValueError, match=r"pip install 'croquis\[metric\]'"):
        metric_learning.build(params, data)
    assert read_with().metric_learning.loss == "MultiSimilarityLoss", "a block that no one uses needs no package"
    values = read_yaml("params.yaml")
    values["retrievers"] = ["metric_learning"]
    with pytest.raises(ParamsError, match=r"not installed: pip install 'croquis\[metric\]'"):
        parse_params(values, methods=True)
