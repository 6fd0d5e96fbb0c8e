import pytest
import torch

from lightning_modules.nets.decoder import ImageDecoder


@pytest.mark.parametrize("size", [16, 31, 32, 50, 64, 224])
def test_an_embedding_becomes_an_image_of_the_asked_size(size: int):
    torch.manual_seed(0)
    made = ImageDecoder(8, 4, size)(torch.randn(2, 8))
    assert made.shape == (2, 3, size, size)
    assert 0 <= made.min() < made.max() <= 1


def test_every_number_of_the_embedding_counts():
    torch.manual_seed(0)
    decoder, embedding = ImageDecoder(8, 4, 32).eval(), torch.randn(1, 8, requires_grad=True)
    decoder(embedding).square().sum().backward()
    assert (embedding.grad != 0).all()
