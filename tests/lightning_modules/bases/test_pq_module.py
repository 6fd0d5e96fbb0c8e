"""Quantisers against explicit loops over hand-placed points, and what validation makes of codes."""

from __future__ import annotations

import math
from itertools import product
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import Tensor

from croquis.nets.session import onnxruntime
from croquis.params import Params
from lightning_modules.bases import pq_module
from lightning_modules.bases.pq_module import PqModule
from lightning_modules.data.retrieval_data import RetrievalData
from lightning_modules.embedder.assembly import export
from lightning_modules.methods import gpq, spq
from lightning_modules.nets.retrieval_net import average_pool_net
from lightning_modules.training.val_scores import rank_gallery

# Two sub-vectors of two numbers; three codewords in each codebook.
PARTS = torch.tensor(
    [[[0.0, 0.0], [1.0, 1.0]], [[2.0, 0.4], [-1.0, 0.2]], [[0.9, -0.1], [0.3, -0.7]], [[0.5, 0.5], [0.0, 0.0]]],
    dtype=torch.float64,
)
CODEBOOKS = torch.tensor(
    [[[0.0, 0.1], [1.0, 0.0], [2.0, 1.0]], [[-1.0, 0.0], [0.5, 0.5], [0.2, -0.9]]], dtype=torch.float64
)
METHODS = [gpq, spq]


def name_of(method: ModuleType) -> str:
    return method.__name__.split(".")[-1]


def with_codes(params: Params, **shape: int) -> Params:
    blocks = {name: getattr(params, name).model_copy(update=shape) for name in ("gpq", "spq")}
    return params.model_copy(update=blocks)


def distance_oracle(x: list[float], c: list[float]) -> float:
    return sum((a - b) ** 2 for a, b in zip(x, c, strict=True))


def nearest_oracle(parts: Tensor, codebooks: Tensor) -> list[list[int]]:
    return [
        [min(range(len(book)), key=lambda k: distance_oracle(x, book[k])) for x, book in zip(row, books, strict=True)]
        for row, books in ((row, codebooks.tolist()) for row in parts.tolist())
    ]


def test_a_vector_is_cut_into_runs_of_neighbours():
    vectors = torch.arange(12).view(2, 6)
    assert pq_module.sub_vectors(vectors, 3).tolist() == [[[0, 1], [2, 3], [4, 5]], [[6, 7], [8, 9], [10, 11]]]


def test_intra_normalisation_is_per_sub_vector():
    found = pq_module.intra_normalise(PARTS)
    for b, m in product(range(4), range(2)):
        x = PARTS[b, m].tolist()
        expected = [v / math.hypot(*x) if any(x) else 0.0 for v in x]
        assert found[b, m].tolist() == pytest.approx(expected)


def test_squared_distances():
    found = pq_module.squared_distances(PARTS, CODEBOOKS)
    for b, m, k in product(range(4), range(2), range(3)):
        assert float(found[b, m, k]) == pytest.approx(
            distance_oracle(PARTS[b, m].tolist(), CODEBOOKS[m, k].tolist()), abs=1e-12
        )


@pytest.mark.parametrize("sharpness", [0.5, 5.0])
def test_soft_quantiser(sharpness: float):
    found = pq_module.soft_quantise(PARTS, CODEBOOKS, sharpness)
    for b, m in product(range(4), range(2)):
        x, book = PARTS[b, m].tolist(), CODEBOOKS[m].tolist()
        powers = [math.exp(-sharpness * distance_oracle(x, c)) for c in book]
        expected = [sum(p * c[i] for p, c in zip(powers, book, strict=True)) / sum(powers) for i in range(2)]
        assert found[b, m].tolist() == pytest.approx(expected)
    inputs = (PARTS.clone().requires_grad_(), CODEBOOKS.clone().requires_grad_())
    assert torch.autograd.gradcheck(lambda x, c: pq_module.soft_quantise(x, c, sharpness), inputs)


def test_a_sharp_soft_quantiser_is_the_hard_one():
    hard = pq_module.decode(pq_module.hard_codes(PARTS, CODEBOOKS), CODEBOOKS)
    assert torch.allclose(pq_module.soft_quantise(PARTS, CODEBOOKS, 1e4), hard, atol=1e-6)


def test_the_code_is_the_nearest_codeword():
    codes = pq_module.hard_codes(PARTS, CODEBOOKS)
    assert codes.tolist() == nearest_oracle(PARTS, CODEBOOKS) == [[0, 1], [2, 0], [1, 2], [0, 1]]
    decoded = pq_module.decode(codes, CODEBOOKS)
    assert decoded[1].tolist() == [[2.0, 1.0], [-1.0, 0.0]]


def test_of_two_nearest_codewords_the_first_counts():
    between = torch.tensor([[[0.5, 0.0]]])
    assert pq_module.hard_codes(between, torch.tensor([[[9.0, 9.0], [1.0, 0.0], [0.0, 0.0]]])).item() == 1


def test_figures_tell_idle_codewords_and_the_error():
    figures = pq_module.code_figures(PARTS[:2], CODEBOOKS)
    assert float(figures["used_codewords"]) == pytest.approx(4 / 6)
    errors = [0.01, 0.5, 0.36, 0.04]
    assert float(figures["quantisation_error"]) == pytest.approx(sum(errors) / float(PARTS[:2].square().sum()))


def test_codebooks_start_as_one_xavier_matrix():
    torch.manual_seed(0)
    books = pq_module.xavier_codebooks(16, 16, 16, gain=0.1)
    assert books.shape == (16, 16, 16)
    assert books.is_contiguous()
    assert float(books.detach().std()) == pytest.approx(0.1 * math.sqrt(2 / (16 + 16 * 16)), rel=0.05)


def test_a_net_of_another_kind_has_no_codebooks(params: Params):
    with pytest.raises(TypeError, match="a dense net has no codebooks"):
        _ = average_pool_net(params.train_embedder.backbone).codebooks


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("subspaces", "codewords", "bits"),
    [(3, 16, 12), (4, 16, 16), (6, 16, 24), (8, 16, 32), (12, 16, 48), (16, 16, 64), (2, 256, 16), (8, 256, 64)],
)
def test_any_length_of_code_builds(
    params: Params, data: RetrievalData, method: ModuleType, subspaces: int, codewords: int, bits: int
):
    chosen = with_codes(params, subspaces=subspaces, codewords=codewords)
    block = getattr(chosen, name_of(method))
    net = method.build(chosen, data).net
    assert block.bits == bits
    assert (net.kind, net.metric) == ("pq", "l2")
    assert net.codebooks.shape == (subspaces, codewords, block.subspace_dim)
    assert net.dim == subspaces * block.subspace_dim


def built(method: ModuleType, params: Params, data: RetrievalData) -> PqModule:
    torch.manual_seed(0)
    module: PqModule = method.build(params, data)
    with torch.no_grad():
        for _ in range(4):  # running means of the batch norms
            module(data.train.images[:].float() / 255)
    return module.eval()


@pytest.mark.parametrize("method", METHODS)
def test_validation_scores_the_codes(params: Params, data: RetrievalData, method: ModuleType):
    """Ranking by `asked` and `stored` is ranking by the table of squared distances, summed over the code."""
    module = built(method, params, data)
    with torch.no_grad():
        features = module(data.val.images[:].float() / 255)
        books = module.net.codebooks
    asked, stored = module.asked(features), module.stored(features)
    parts = features.view(len(features), module.net.subspaces, -1)
    codes = nearest_oracle(parts, books)
    for row, code in enumerate(codes):
        expected = torch.cat([books[m, k] for m, k in enumerate(code)])
        assert torch.equal(stored[row], expected)
    assert torch.equal(asked, features)
    for query in range(3):
        numbers = zip(parts[query].tolist(), books.tolist(), strict=True)
        table = [[distance_oracle(x, c) for c in book] for x, book in numbers]
        sums = np.array([sum(table[m][k] for m, k in enumerate(code)) for code in codes])
        order = rank_gallery(asked[query : query + 1].numpy(), stored.numpy(), len(codes))[0]
        assert sums[order] == pytest.approx(np.sort(sums), abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_the_export_is_the_net_and_holds_its_codebooks(
    params: Params, data: RetrievalData, tmp_path: Path, method: ModuleType
):
    net = built(method, params, data).net
    assert export(net, params.base.image_size, tmp_path) < 1e-4
    books = np.load(tmp_path / "codebooks.npy")
    assert books.dtype == np.float32
    assert np.array_equal(books, net.codebooks.detach().numpy())
    session = onnxruntime.InferenceSession(str(tmp_path / "encoder.onnx"), providers=["CPUExecutionProvider"])
    images = (data.val.images[:5].float() / 255).numpy()
    (features,) = session.run(None, {"images": images})
    with torch.no_grad():
        assert np.allclose(features, net(torch.from_numpy(images)).numpy(), atol=1e-4)
