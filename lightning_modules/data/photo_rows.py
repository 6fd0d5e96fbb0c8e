"""Chosen photos as a tensor of bytes that does not lie in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, Self

import numpy as np
import torch
from torch import Tensor

from croquis.arrays import Rows
from croquis.catalog.prepared_photos import PreparedPhotos


class Images(Protocol):
    """Pictures by row number: a uint8 tensor of the `shape` (N, 3, S, S), or what stands for one."""

    @property
    def shape(self) -> Sequence[int]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Any) -> Tensor: ...


class PhotoRows:
    """Rows of prepared photos; a batch is read when it is asked for.

    Args:
        sources: the photos of one or several catalogues, all of one size.
        source: (N,) which of `sources` each row is in.
        rows: (N,) its row there.
    """

    def __init__(self, sources: Sequence[PreparedPhotos], source: Rows, rows: Rows) -> None:
        self._sources, self._source, self._rows = tuple(sources), source.astype(np.uint8), rows

    @classmethod
    def of(cls, photos: PreparedPhotos, rows: Rows) -> Self:
        """Rows (N,) of one prepared catalogue."""
        return cls([photos], np.zeros(len(rows), dtype=np.int64), rows)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, 3, S, S)."""
        size = self._sources[0].size
        return len(self), 3, size, size

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, rows: Tensor | Rows | slice | int) -> Tensor:
        """uint8 (n, 3, S, S), contiguous; of a single number (3, S, S)."""
        if isinstance(rows, int):
            return self[torch.arange(len(self))[rows, None]][0]
        chosen = rows if isinstance(rows, slice) else torch.as_tensor(rows).cpu().numpy()
        source, own = self._source[chosen], self._rows[chosen]
        if len(self._sources) == 1:
            squares = self._sources[0].take(own)
        else:
            size = self._sources[0].size
            squares = np.empty((len(own), size, size, 3), dtype=np.uint8)
            for number, photos in enumerate(self._sources):
                places = np.flatnonzero(source == number)
                squares[places] = photos.take(own[places])
        return torch.from_numpy(squares).permute(0, 3, 1, 2).contiguous()

    def then(self, others: PhotoRows) -> PhotoRows:
        """These rows, then those."""
        source = np.concatenate([self._source, others._source.astype(np.int64) + len(self._sources)])
        return PhotoRows([*self._sources, *others._sources], source, np.concatenate([self._rows, others._rows]))


def joined(first: Images, second: Images) -> Images:
    """The rows of one after those of the other; both tensors, or neither."""
    if isinstance(first, PhotoRows) and isinstance(second, PhotoRows):
        return first.then(second)
    return torch.cat([first[:], second[:]])
