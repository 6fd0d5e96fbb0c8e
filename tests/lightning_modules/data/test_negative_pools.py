import numpy as np
import pytest
import torch

from croquis.params import Params
from lightning_modules.data.negative_pools import adjacent_pool, embed_all, nearest_pool
from lightning_modules.data.retrieval_data import RetrievalData
from lightning_modules.methods.siamese import build


def test_adjacent_negatives_are_the_next_item_of_the_same_category(data: RetrievalData):
    pool, train = adjacent_pool(data.train), data.train
    for row, negatives in enumerate(pool):
        same = sorted({i for i, c in zip(train.items, train.categories, strict=True) if c == train.categories[row]})
        neighbour = same[(same.index(train.items[row]) + 1) % len(same)]
        assert {train.items[n] for n in negatives} == {neighbour}


@pytest.mark.parametrize("same_category", [False, True])
def test_nearest_negatives_against_brute_force(data: RetrievalData, params: Params, same_category: bool):
    torch.manual_seed(0)
    module, train = build(params, data), data.train
    pool = nearest_pool(module, train, 3, same_category)
    embeddings = embed_all(module, train).numpy()
    for row, negatives in enumerate(pool):
        allowed = [
            other
            for other in range(len(train))
            if train.domains[other] == "shop"
            and train.items[other] != train.items[row]
            and (not same_category or train.categories[other] == train.categories[row])
        ]
        best = sorted(allowed, key=lambda other: -float(embeddings[row] @ embeddings[other]))[:3]
        assert np.allclose(embeddings[negatives] @ embeddings[row], embeddings[best] @ embeddings[row], atol=1e-6)
        assert set(negatives.tolist()) <= set(allowed)


def test_the_pool_moves_with_the_model(data: RetrievalData, params: Params):
    torch.manual_seed(0)
    module = build(params, data)
    before = nearest_pool(module, data.train, 3, False)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    assert (before != nearest_pool(module, data.train, 3, False)).any()


@pytest.mark.parametrize("strategy", ["random", "adjacent", "nearest", "batch_hard", "semi_hard"])
def test_every_strategy_gives_a_loss_with_a_gradient(data: RetrievalData, params: Params, strategy: str):
    chosen = params.model_copy(update={"siamese": params.siamese.model_copy(update={"negatives": strategy})})
    torch.manual_seed(0)
    module = build(chosen, data)
    module.on_train_epoch_start()
    data.use_sampler(module.sampler(0))
    batch = next(iter(data.train_dataloader()))
    loss, figures = module.loss(module.view(batch["images"]), batch)
    loss.backward()
    assert loss > 0
    assert 0 <= figures["active_triplets"] <= 1
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in module.net.backbone.parameters())
