"""The whole loss of siamese for every strategy, against explicit loops over hand-placed points, gradients included."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from croquis.params import Params
from croquis.params.training_blocks import Augment
from lightning_modules.data.retrieval_data import ImageSet, RetrievalData
from lightning_modules.methods.siamese import Siamese, build

# Four items; the shop photo of an item comes first. Chosen so that no two distances and no hinge are near a tie.
POINTS = [
    [0.00, 0.00], [0.31, 0.07], [-0.18, 0.42],
    [0.90, 0.13], [0.47, 0.66], [1.23, 0.71],
    [0.11, 1.02], [0.26, 0.75],
    [-0.52, -0.33], [0.05, -0.58],
]  # fmt: skip
ITEMS = [0, 0, 0, 1, 1, 1, 2, 2, 3, 3]
SHOP = [True, False, False, True, False, True, False, False, True, True]
CATEGORIES = [0, 0, 0, 0, 0, 0, 1, 1, 1, 1]
STRATEGIES = ["random", "adjacent", "nearest", "batch_hard", "semi_hard"]
SEED = 3


class Placed(nn.Module):
    """Stands for the net: an image whose pixels are all n is at the n-th point."""

    def __init__(self) -> None:
        super().__init__()
        self.points = nn.Parameter(torch.tensor(POINTS, dtype=torch.float64))

    def forward(self, images: Tensor) -> Tensor:
        return self.points[(images[:, 0, 0, 0] * 255).round().long()]

    def figures(self) -> dict[str, Tensor]:
        return {}


def image_set() -> ImageSet:
    names = np.array([f"image-{i}" for i in range(len(POINTS))], dtype=object)
    return ImageSet(
        images=torch.arange(len(POINTS), dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 4, 4).contiguous(),
        items=np.array(ITEMS),
        categories=np.array(CATEGORIES),
        domains=np.array(["shop" if shop else "consumer" for shop in SHOP], dtype=object),
        image_ids=names,
        item_ids=names,
        attributes=np.array([[] for _ in POINTS] + [None], dtype=object)[:-1],
    )


def placed(params: Params, **changes: object) -> Siamese:
    still = Augment(
        crop_scale=1.0, rotate=0.0, flip=0.0, brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0, erase=0.0
    )
    shared = params.train_embedder.model_copy(update={"augment": still})
    method = params.siamese.model_copy(update={"nearest_pool": 2, **changes})
    images = image_set()
    data = RetrievalData(images, images, np.array(SHOP), categories=2)
    module = build(params.model_copy(update={"train_embedder": shared, "siamese": method}), data)
    module.net = Placed()
    module.on_train_epoch_start()
    return module


def batch_of(rows: list[int]) -> dict[str, Tensor]:
    return {
        "rows": torch.tensor(rows),
        "items": torch.tensor(ITEMS)[rows],
        "shop": torch.tensor(SHOP)[rows],
        "images": image_set().images[rows],
    }


def loss_of(module: Siamese, rows: list[int]) -> Tensor:
    torch.manual_seed(SEED)
    batch = batch_of(rows)
    return module.loss(module.view(batch["images"]), batch)[0]


def expected_loss(module: Siamese, rows: list[int], strategy: str, positives: str, margin: float) -> float:
    """max(0, m + d(a, p) - d(a, n)) by loops; random choices are drawn again from the same seed."""
    pairs = [(a, p) for a in rows for p in partners(a, rows, positives)]
    if strategy == "batch_hard":
        pairs = [(a, max(partners(a, rows, positives), key=lambda p: apart(a, p))) for a in rows]
    torch.manual_seed(SEED)
    if strategy in ("adjacent", "nearest"):
        pool = module._pool
        drawn = torch.randint(pool.shape[1], (len(rows), 1)).flatten().tolist()
        third = {a: int(pool[a][n]) for a, n in zip(rows, drawn, strict=True)}
    if strategy == "random":
        others = torch.tensor([[float(ITEMS[n] != ITEMS[a]) for n in rows] for a, _ in pairs])
        drawn_rows = [rows[n] for n in torch.multinomial(others, 1).flatten().tolist()]
    losses = []
    for number, (a, p) in enumerate(pairs):
        distances = [apart(a, n) for n in rows if ITEMS[n] != ITEMS[a]]
        match strategy:
            case "random":
                negative = apart(a, drawn_rows[number])
            case "batch_hard":
                negative = min(distances)
            case "semi_hard":
                negative = min((d for d in distances if d > apart(a, p)), default=max(distances))
            case _:
                negative = apart(a, third[a])
        losses.append(max(0.0, margin + apart(a, p) - negative))
    return sum(losses) / len(losses)


def partners(a: int, rows: list[int], positives: str) -> list[int]:
    own = [p for p in rows if p != a and ITEMS[p] == ITEMS[a]]
    across = [p for p in own if SHOP[p] != SHOP[a]]
    return across if across and positives == "crossing" else own


def apart(a: int, b: int) -> float:
    return math.dist(POINTS[a], POINTS[b])


@pytest.mark.parametrize("positives", ["crossing", "all"])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_loss_against_loops(params: Params, strategy: str, positives: str):
    module = placed(params, negatives=strategy, positives=positives, margin=0.3)
    rows = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert loss_of(module, rows).item() == pytest.approx(expected_loss(module, rows, strategy, positives, 0.3))


def test_more_pairs_are_positive_when_all_are(params: Params):
    counts = {}
    for positives in ("crossing", "all"):
        module = placed(params, positives=positives, negatives="semi_hard", margin=2.0)
        counts[positives] = expected_loss(module, list(range(10)), "semi_hard", positives, 2.0)
        assert loss_of(module, list(range(10))).item() == pytest.approx(counts[positives])
    assert counts["all"] != pytest.approx(counts["crossing"])


@pytest.mark.slow
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_gradient_of_the_loss(params: Params, strategy: str):
    module = placed(params, negatives=strategy, margin=0.3)
    rows = [5, 0, 1, 4, 7, 9, 6, 8]

    def loss(points: Tensor) -> Tensor:
        module.net.points = points
        return loss_of(module, rows)

    points = module.net.points.detach().clone().requires_grad_()
    del module.net.points  # a parameter cannot be set to the tensors of gradcheck
    assert torch.autograd.gradcheck(loss, (points,))
    assert torch.autograd.grad(loss(points), points)[0].abs().sum() > 0


def test_a_collapsed_batch_shows_in_the_figures(params: Params):
    module = placed(params, negatives="batch_hard", margin=0.2)
    with torch.no_grad():
        module.net.points.copy_(torch.tensor([1.0, 1.0]))
    batch = batch_of(list(range(10)))
    loss, figures = module.loss(module.view(batch["images"]), batch)
    assert loss.item() == pytest.approx(0.2)
    assert figures["mean_cosine"].item() == pytest.approx(1.0)
    assert figures["embedding_std"] == 0
    assert figures["active_triplets"] == 1
    assert figures["effective_rank"].item() == pytest.approx(1.0, abs=1e-4)


def test_the_figures_against_loops(params: Params):
    module = placed(params, negatives="semi_hard", margin=0.3)
    rows = list(range(1, 10))  # the point 0 has no direction
    batch = batch_of(rows)
    figures = module.loss(module.view(batch["images"]), batch)[1]
    cosines = [
        sum(x * y for x, y in zip(POINTS[a], POINTS[b], strict=True)) / math.hypot(*POINTS[a]) / math.hypot(*POINTS[b])
        for a in rows
        for b in rows
        if a != b
    ]
    assert figures["mean_cosine"].item() == pytest.approx(sum(cosines) / len(cosines))
    spread = np.std(np.array(POINTS)[rows], axis=0, ddof=1).mean()
    assert figures["embedding_std"].item() == pytest.approx(float(spread))
