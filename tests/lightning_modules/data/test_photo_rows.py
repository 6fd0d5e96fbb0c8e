"""Photos that a training reads batch by batch: the same ones from squares and from files, and nothing grows with them."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from croquis.catalog.prepared_photos import Preparation
from croquis.catalog.table import Catalog, CatalogWriter
from croquis.params import Params
from lightning_modules.bases.retrieval_module import MONITOR
from lightning_modules.data.negative_pools import embed_all
from lightning_modules.data.photo_rows import joined
from lightning_modules.data.retrieval_data import RetrievalData
from lightning_modules.data.samplers import ShuffledBatches
from lightning_modules.methods import siamese
from lightning_modules.training.fit import FitPlan
from tests.support.catalogues.shape_catalogue import SIZE, rows
from tests.support.training.trainings import build_of, fitted, resumed_equals_whole

DOMAINS = ["shop", "consumer"]
ON_WORKERS = Preparation(cache=False, processes=2)
LARGE = 96  # pixels: 27 KB a photo


def test_rows_stand_for_a_tensor(data: RetrievalData):
    images = data.train.images
    whole = images[:]
    assert images.shape == whole.shape == (len(images), 3, SIZE, SIZE)
    assert whole.is_contiguous()
    for chosen in (torch.tensor([3, 0, 3]), np.array([3, 0, 3]), slice(2, 5), 4, -1):
        assert torch.equal(images[chosen], whole[chosen])
    assert torch.equal(torch.stack(list(images)), whole)
    both = joined(images, data.val.images)
    assert torch.equal(both[:], torch.cat([whole, data.val.images[:]]))
    assert torch.equal(both[torch.tensor([len(images), 0])], both[:][[len(images), 0]])


@pytest.mark.slow
def test_squares_and_files_give_the_same_net(catalog: Catalog, data: RetrievalData, params: Params, tmp_path: Path):
    """On loader workers, and where negatives are read besides the batch."""
    own = params.method("siamese").model_copy(update={"negatives": "nearest"})
    params, plan = params.model_copy(update={"siamese": own}), FitPlan("siamese", 3, 10, MONITOR, "max")
    decoded = RetrievalData.from_catalog(catalog, DOMAINS, SIZE, how=ON_WORKERS)
    stored = fitted(build_of(siamese, params, data), plan, params, tmp_path / "stored", None)
    found = fitted(build_of(siamese, params, decoded), plan, params, tmp_path / "decoded", None)
    assert found[1] == stored[1]
    assert all(torch.equal(found[0][name], value) for name, value in stored[0].items())
    resumed_equals_whole(build_of(siamese, params, decoded), plan, params, tmp_path)


def own_memory() -> int:
    """Bytes in use that belong to this process alone: the page cache is not among them."""
    ctypes.CDLL(None).malloc_trim(0)  # what is freed counts no more
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


class Mean(torch.nn.Module):
    """Of each channel."""

    device = torch.device("cpu")

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean(dim=(2, 3))


def held_by_a_training(catalog: Catalog) -> int:
    """What is in memory after a pass over train and val, and over all for a pool of negatives, and was not before."""
    before = own_memory()
    data = RetrievalData.from_catalog(catalog, DOMAINS, LARGE)
    data.use_sampler(ShuffledBatches(len(data.train), 16, 0))
    loaders = data.train_dataloader(), data.val_dataloader()
    batches = [len(batch["rows"]) for loader in loaders for batch in loader]
    assert sum(batches) == len(data.train) + len(data.val)
    pool = embed_all(Mean(), data.train)
    assert len(pool) == len(data.train)
    return own_memory() - before


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells how much memory is a process's own")
def test_memory_does_not_grow_with_the_photos(tmp_path: Path):
    catalogs, listed = [], rows()
    for times in (1, 40):
        with CatalogWriter(tmp_path / str(times) / "catalog") as writer:
            for copy in range(times):
                writer.write_all({**row, "image_id": f"{row['image_id']}-{copy}"} for row in listed)
        catalogs.append(Catalog.open(writer.folder))
    small, large = catalogs
    held_by_a_training(small)  # what libraries keep from their first use on
    more = (len(large) - len(small)) * LARGE * LARGE * 3
    assert more > 65_000_000
    assert held_by_a_training(large) < more / 4
