"""Orders of the training images that depend on nothing but the seed and the epoch.

Lightning calls `set_epoch`; a killed and resumed training therefore sees the same batches as one that was never killed.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from torch.utils.data import Sampler

from lightning_modules.training.distributed import rank, world_size

Group = npt.NDArray[np.int64]


class EpochSampler(Sampler[list[int]]):
    """Base: batches of row numbers, drawn again for every epoch.

    Lightning calls `set_epoch` on a loader's `sampler` and on the `sampler` inside a batch sampler; `OwnShare`, which the
    loader gets as its batch sampler, holds one of these as `sampler`.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._epoch = 0

    @abstractmethod
    def __len__(self) -> int:
        """Batches per epoch."""

    def set_epoch(self, epoch: int) -> None:
        """Chooses whose batches come next; Lightning calls it at the start of an epoch."""
        self._epoch = epoch

    def generator(self) -> np.random.Generator:
        """Random numbers of the seed and the epoch, so that a resumed training draws the same batches."""
        return np.random.default_rng([self._seed, self._epoch])


class OwnShare(Sampler[list[int]]):
    """This process's equal part of every batch of `whole`, which is drawn alike by all processes that train together.

    Rank r of W takes the r-th piece, so that gathering in rank order gives back the batch. A batch that does not divide
    by W is filled up with its own first rows: every rank needs as many rows as the others, and none may be skipped.
    """

    def __init__(self, whole: EpochSampler) -> None:
        self._whole = whole

    @property
    def sampler(self) -> EpochSampler:
        """Where Lightning finds `set_epoch`."""
        return self._whole

    def __len__(self) -> int:
        return len(self._whole)

    def __iter__(self) -> Iterator[list[int]]:
        for batch in self._whole:
            yield _piece(batch, rank(), world_size())


def _piece(batch: list[int], rank: int, world: int) -> list[int]:
    each = -(-len(batch) // world)
    return [batch[place % len(batch)] for place in range(rank * each, (rank + 1) * each)]


class ShuffledBatches(EpochSampler):
    """Every row once per epoch in random order; a last batch smaller than half a batch joins the one before.

    A lone image in a batch would break batch normalisation, and dropping it would skip images.
    """

    def __init__(self, rows: int, batch_size: int, seed: int) -> None:
        super().__init__(seed)
        self._rows = rows
        self._batches = max(1, round(rows / batch_size))

    def __len__(self) -> int:
        return self._batches

    def __iter__(self) -> Iterator[list[int]]:
        order = self.generator().permutation(self._rows)
        for batch in np.array_split(order, self._batches):
            yield batch.tolist()


class ItemBatches(EpochSampler):
    """P items x K images (Hermans et al. 2017), with defined coverage: every image is seen at least once per epoch.

    An item with n images is cut into ceil(n / K) groups; the last group is filled up with other images of the item (with
    repetition when the item has fewer than K). Groups are shuffled, and those of an item lie a round of all items apart, so
    that two of them share a batch only where it straddles two rounds or few items are left; the groups of items that have
    many more than the others are spread over the whole epoch, so that no batch is short of negatives.

    Args:
        labels: (rows,) item number of each row.
        items_per_batch: P.
        images_per_item: K.

    Raises:
        ValueError: when there are fewer items than one batch needs.
    """

    def __init__(self, labels: npt.NDArray[np.int64], items_per_batch: int, images_per_item: int, seed: int) -> None:
        super().__init__(seed)
        self._rows = list(rows_by_label(labels).values())
        if len(self._rows) < 2:
            raise ValueError(
                f"training needs at least 2 items to have negatives, the train split has {len(self._rows)}"
            )
        self._items = min(items_per_batch, len(self._rows))
        self._images = images_per_item
        groups = sum(-(-len(rows) // images_per_item) for rows in self._rows)
        self._batches = max(1, round(groups / self._items))

    def __len__(self) -> int:
        return self._batches

    def __iter__(self) -> Iterator[list[int]]:
        generator = self.generator()
        groups = [list(self._groups(generator.permutation(rows), generator)) for rows in self._rows]
        longest = max(map(len, groups))
        rounds = [[item for item, own in enumerate(groups) if len(own) > number] for number in range(longest)]
        crowd = {item for turn in rounds if len(turn) < self._items for item in turn}
        # Round by round, an item's groups lie far apart. Items with more than the others can part go between them.
        turns = [(item, number) for number, turn in enumerate(rounds) for item in generator.permutation(turn).tolist()]
        ordered = spread_into(
            [groups[item][number] for item, number in turns if item not in crowd],
            [groups[item][number] for item, number in turns if item in crowd],
        )
        bounds = np.linspace(0, len(ordered), self._batches + 1).round().astype(int)
        batches = [ordered[a:b] for a, b in pairwise(bounds)]
        for number in generator.permutation(len(batches)):
            yield np.concatenate(batches[number]).tolist()

    def _groups(self, rows: npt.NDArray[np.int64], generator: np.random.Generator) -> Iterator[Group]:
        for start in range(0, len(rows), self._images):
            group = rows[start : start + self._images]
            lacking = self._images - len(group)
            if lacking:
                others = np.setdiff1d(rows, group)
                enough = len(others) >= lacking
                group = np.concatenate(
                    [group, generator.choice(others if enough else rows, lacking, replace=not enough)]
                )
            yield group


def rows_by_label(labels: npt.NDArray[np.int64]) -> dict[int, npt.NDArray[np.int64]]:
    """Each label, ascending, with its rows, ascending."""
    numbers, starts = np.unique(np.sort(labels), return_index=True)
    parts = np.split(np.argsort(labels, kind="stable"), starts[1:])
    return dict(zip(numbers.tolist(), parts, strict=True))


def rows_in_turn(rows: int, count: int, turn: int, seed: int) -> npt.NDArray[np.int64]:
    """The `turn`-th batch of `count` rows out of an endless row of shuffles of 0 ... rows - 1: every row comes in its turn.

    Nothing but the arguments decides, so a resumed training goes on where it was.
    """
    first, last = turn * count // rows, ((turn + 1) * count - 1) // rows
    shuffles = [np.random.default_rng([seed, number]).permutation(rows) for number in range(first, last + 1)]
    start = turn * count - first * rows
    return np.concatenate(shuffles)[start : start + count]


def spread_into(whole: list[Group], more: list[Group]) -> list[Group]:
    """Both lists in their own order, `more` at even distances among `whole`."""
    places = np.concatenate(
        [np.arange(len(whole)) + 0.5, (np.arange(len(more)) + 0.5) * len(whole) / max(1, len(more))]
    )
    return [(whole + more)[i] for i in np.argsort(places, kind="stable")]
