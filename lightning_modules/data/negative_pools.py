"""Pools of explicit negatives for the siamese network's third stream."""

from __future__ import annotations

from itertools import groupby
from tempfile import TemporaryFile

import numpy as np
import numpy.typing as npt
import torch

from lightning_modules.bases.retrieval_module import RetrievalModule
from lightning_modules.data.retrieval_data import ImageSet, eval_batch, to_float
from lightning_modules.data.samplers import rows_by_label

Pool = npt.NDArray[np.int64]
CHUNK = 256
CELLS = 2**26  # scores in memory at a time


def adjacent_pool(images: ImageSet) -> Pool:
    """For each image the images of the next item of its category, in item order (the last item wraps round).

    Rows are padded by repetition to one length; a category with a single item falls back on the next item of any category.

    Returns:
        (N, L) row numbers.
    """
    category_of = {int(item): int(category) for item, category in zip(images.items, images.categories, strict=True)}
    items = sorted(category_of, key=lambda item: (category_of[item], item))
    rings = [list(same) for _, same in groupby(items, category_of.__getitem__)]
    following = _next_in(items) | {
        item: after for ring in rings if len(ring) > 1 for item, after in _next_in(ring).items()
    }
    rows_of = rows_by_label(images.items)
    length = max(map(len, rows_of.values()))
    padded = {item: np.resize(rows, length) for item, rows in rows_of.items()}
    return np.stack([padded[following[item]] for item in images.items.tolist()])


def _next_in(ring: list[int]) -> dict[int, int]:
    """Who follows whom; the first comes after the last."""
    return dict(zip(ring, [*ring[1:], *ring[:1]], strict=True))


def nearest_pool(model: RetrievalModule, images: ImageSet, size: int, same_category: bool) -> Pool:
    """For each image the `size` nearest gallery images of other items under the present model (Gajic & Baldrich 2018).

    The gallery is the shop images where there are any, else all images. Computed in chunks, so that memory grows with
    N x size and not with N x N.

    Returns:
        (N, size) row numbers, nearest first; padded by repetition where fewer images qualify.
    """
    embeddings = embed_all(model, images)
    shop = np.flatnonzero(images.domains == "shop")
    gallery = torch.from_numpy(shop if len(shop) else np.arange(len(images)))
    items, categories = torch.from_numpy(images.items), torch.from_numpy(images.categories)
    pools, known, chunk = [], embeddings[gallery], max(1, min(CHUNK, CELLS // len(gallery)))
    for start in range(0, len(images), chunk):
        rows = slice(start, start + chunk)
        scores = embeddings[rows] @ known.T
        barred = items[rows, None] == items[gallery]
        if same_category:
            elsewhere = categories[rows, None] != categories[gallery]
            barred |= elsewhere & (~(barred | elsewhere)).any(dim=1, keepdim=True)
        best = scores.masked_fill(barred, -torch.inf).topk(min(size, len(gallery)), dim=1)
        # Where fewer than `size` images qualify, the nearest one takes the barred places.
        chosen = torch.where(best.values.isinf(), best.indices[:, :1], best.indices)
        pools.append(gallery[chosen].numpy())
    return np.concatenate(pools)


def embed_all(model: RetrievalModule, images: ImageSet) -> torch.Tensor:
    """Embeddings of all images, unaugmented, in evaluation mode; (N, dim) on the CPU, in an unnamed file."""
    training = model.training
    model.eval()
    with torch.no_grad(), TemporaryFile() as file:
        step = eval_batch(images.image_size)
        for start in range(0, len(images), step):
            found = model(to_float(images.images[start : start + step].to(model.device))).float().cpu().numpy()
            file.write(np.ascontiguousarray(found).tobytes())
        file.flush()
        kept = np.memmap(file, dtype=np.float32, mode="r+", shape=(len(images), found.shape[1]))
    model.train(training)
    return torch.from_numpy(kept)
