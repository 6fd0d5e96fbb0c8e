"""Each rule against explicit loops over hand-placed points."""

import numpy as np
import pytest
import torch

from croquis.params.training_blocks import InBatchNegatives
from lightning_modules.losses import triplet

POINTS = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0], [0.5, 0.0], [4.0, 4.0], [4.0, 5.5]], dtype=torch.float64)
ITEMS = torch.tensor([0, 0, 0, 1, 1, 2])


@pytest.fixture
def distances() -> torch.Tensor:
    return triplet.pairwise_distances(POINTS, POINTS)


@pytest.fixture
def same() -> torch.Tensor:
    return ITEMS[:, None] == ITEMS[None]


def test_distances_are_euclidean(distances: torch.Tensor):
    expected = [[float(np.linalg.norm(a - b)) for b in POINTS.numpy()] for a in POINTS.numpy()]
    assert torch.allclose(distances, torch.tensor(expected, dtype=torch.float64), atol=1e-7)


def test_the_gradient_at_distance_zero_is_finite():
    points = torch.zeros(3, 2, requires_grad=True)
    triplet.pairwise_distances(points, points).sum().backward()
    assert torch.isfinite(points.grad).all()


def test_positives_cross_the_domains_where_they_can(same: torch.Tensor):
    shop = [True, True, False, True, True, False]
    crossing = torch.tensor([[a != b for b in shop] for a in shop])
    found = triplet.allowed_positives(same, crossing)
    for i in range(6):
        partners = [j for j in range(6) if j != i and ITEMS[j] == ITEMS[i]]
        across = [j for j in partners if shop[j] != shop[i]]
        assert found[i].nonzero().flatten().tolist() == (across or partners)


def test_hardest_positive(distances: torch.Tensor, same: torch.Tensor):
    positives = triplet.allowed_positives(same, torch.zeros_like(same))
    found = triplet.hardest_positives(distances, positives)
    for i in range(6):
        others = {j: float(distances[i, j]) for j in range(6) if j != i and ITEMS[j] == ITEMS[i]}
        assert found[i].nonzero().flatten().tolist() == ([max(others, key=others.__getitem__)] if others else [])


def test_batch_hard_negative(distances: torch.Tensor, same: torch.Tensor):
    found = triplet.batch_hard_negatives(distances, ~same)
    for i in range(6):
        assert found[i] == pytest.approx(min(float(distances[i, j]) for j in range(6) if ITEMS[j] != ITEMS[i]))


def test_semi_hard_negative_is_farther_than_the_positive_or_the_farthest(distances: torch.Tensor, same: torch.Tensor):
    positive = torch.tensor([1.0, 1.0, 2.0, 100.0, 1.0, 1.0], dtype=torch.float64)
    found = triplet.semi_hard_negatives(distances, ~same, positive)
    for i in range(6):
        others = [float(distances[i, j]) for j in range(6) if ITEMS[j] != ITEMS[i]]
        farther = [d for d in others if d > positive[i]]
        assert found[i] == pytest.approx(min(farther) if farther else max(others))


def test_random_negatives_are_of_other_items_and_not_always_the_same(distances: torch.Tensor, same: torch.Tensor):
    torch.manual_seed(0)
    seen = [triplet.random_negatives(distances, ~same) for _ in range(50)]
    for i in range(6):
        allowed = {round(float(distances[i, j]), 9) for j in range(6) if ITEMS[j] != ITEMS[i]}
        drawn = {round(float(draw[i]), 9) for draw in seen}
        assert drawn <= allowed
        assert len(drawn) > 1


@pytest.mark.parametrize("strategy", ["batch_hard", "semi_hard", "random"])
def test_a_pair_without_a_negative_adds_nothing_to_the_loss(strategy: InBatchNegatives, distances: torch.Tensor):
    other_item = (ITEMS[:, None] != ITEMS[None]) & (ITEMS[:, None] != 2)
    positive = torch.full((6,), 0.5, dtype=torch.float64, requires_grad=True)
    negative = triplet.in_batch_negatives(strategy, distances, other_item, positive)
    losses = triplet.triplet_losses(positive, negative, 50.0)
    losses.sum().backward()
    assert (losses > 0).tolist() == [True] * 5 + [False]
    assert positive.grad.tolist() == [1.0] * 5 + [0.0]
    one_item = torch.zeros_like(other_item)
    assert (
        triplet.triplet_losses(
            positive, triplet.in_batch_negatives(strategy, distances, one_item, positive), 0.2
        ).tolist()
        == [0.0] * 6
    )


def test_the_term_of_categories_against_loops(distances: torch.Tensor):
    """Points 0 to 4 are of one category and two items, point 5 of another category."""
    categories, shop = torch.tensor([0, 0, 0, 0, 0, 1]), torch.tensor([True, False, True, True, True, False])
    expected = []
    for anchor in range(5):
        akin = [j for j in range(5) if ITEMS[j] != ITEMS[anchor]]
        akin = [j for j in akin if shop[j] != shop[anchor]] or akin
        expected += [max(0.0, 4.5 + float(distances[anchor, j] - distances[anchor, 5])) for j in akin]
    found = triplet.category_term(distances, ITEMS, categories, shop, 4.5)
    assert 0 < np.mean(expected) < max(expected)
    assert float(found) == pytest.approx(np.mean(expected))


def test_the_term_of_categories_is_nothing_where_each_item_has_its_own(distances: torch.Tensor):
    assert float(triplet.category_term(distances, ITEMS, ITEMS, torch.ones(6, dtype=torch.bool), 0.2)) == 0.0


def test_the_loss_and_its_gradient():
    positive = torch.tensor([0.5, 1.0, 0.2], dtype=torch.float64, requires_grad=True)
    negative = torch.tensor([0.6, 0.4, 0.9], dtype=torch.float64, requires_grad=True)
    assert triplet.triplet_losses(positive, negative, 0.2).tolist() == pytest.approx([0.1, 0.8, 0.0])
    assert torch.autograd.gradcheck(lambda p, n: triplet.triplet_losses(p, n, 0.2), (positive, negative))


def test_the_whole_chain_passes_gradcheck():
    points = torch.randn(6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()
    same = ITEMS[:, None] == ITEMS[None]
    positives = triplet.allowed_positives(same, torch.zeros_like(same))

    def loss(x: torch.Tensor) -> torch.Tensor:
        d = triplet.pairwise_distances(x, x)
        anchors, others = triplet.hardest_positives(d, positives).nonzero(as_tuple=True)
        negative = triplet.batch_hard_negatives(d[anchors], ~same[anchors])
        return triplet.triplet_losses(d[anchors, others], negative, 0.3).mean()

    assert torch.autograd.gradcheck(loss, (points,))


def test_effective_rank_against_a_loop_and_at_its_ends():
    vectors = torch.tensor([[2.0, 0.0, 1.0], [0.0, 3.0, 0.5], [1.0, 1.0, 0.0], [0.3, 0.2, 4.0]])
    values = np.linalg.svd(vectors.numpy(), compute_uv=False)
    shares = [value / sum(values) for value in values]
    expected = np.exp(-sum(share * np.log(share) for share in shares))
    assert triplet.effective_rank(vectors).item() == pytest.approx(float(expected), rel=1e-5)
    assert triplet.effective_rank(torch.eye(5)).item() == pytest.approx(5.0, rel=1e-5)
    assert triplet.effective_rank(torch.outer(torch.arange(1.0, 5), torch.ones(3))).item() == pytest.approx(
        1.0, abs=1e-3
    )
    assert triplet.effective_rank(torch.zeros(4, 3)).item() == 1.0
    assert triplet.effective_rank(torch.tensor([[1.0, 0.0], [0.0, torch.nan]])).isnan()
