"""What mixed precision saves on this machine: `python -m benchmarks.leaderboards.precision [--backbone NAME] [--size 64]`.

Times a step of siamese, forward and backward, on random images: float32 and bfloat16 by turns, so that other load meets
both; prints the median of each and of their ratio.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch

from croquis.params import load_params
from lightning_modules.nets.retrieval_net import max_pool_net
from lightning_modules.training.numerics import prepare_torch

ROUNDS, STEPS = 7, 5


def seconds(step: Callable[[], Any]) -> float:
    start = time.perf_counter()
    for _ in range(STEPS):
        step()
    return (time.perf_counter() - start) / STEPS


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.leaderboards.precision", description=__doc__)
    parser.add_argument("--backbone", help="name as params.yaml has it, whose own is the default")
    parser.add_argument("--size", type=int, help="of the images, pixels; by default that of params.yaml")
    parser.add_argument("--batch", type=int, default=96, help="images in a step")
    given = parser.parse_args(arguments)
    params = load_params(methods=True)
    name, size = given.backbone or params.train_embedder.backbone.name, given.size or params.base.image_size
    prepare_torch(params.base.seed, params.base.threads)
    backbone = params.train_embedder.backbone.model_copy(update={"name": name, "weights": "none"})
    siamese = params.method("siamese")
    net = max_pool_net(backbone, siamese.embedding_dim, siamese.centre, size)
    images = torch.rand(given.batch, 3, size, size)
    if backbone.channels_last:
        net, images = net.to(memory_format=torch.channels_last), images.to(memory_format=torch.channels_last)

    def step(dtype: torch.dtype | None) -> None:
        net.backbone.compute_dtype = dtype
        net.zero_grad()
        net(images).sum().backward()

    step(None)
    step(torch.bfloat16)
    rounds = [(seconds(lambda: step(None)), seconds(lambda: step(torch.bfloat16))) for _ in range(ROUNDS)]
    whole, half = (median(found) for found in zip(*rounds, strict=True))
    ratio = median(b / a for a, b in rounds)
    print(f"{name}, {given.batch} images of {size} px, {params.base.threads} threads:")
    print(f"float32 {whole * 1000:.0f} ms, bfloat16 {half * 1000:.0f} ms a step; ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
