"""The thumbnails in the file of a gallery, read when asked for."""

from __future__ import annotations

import threading
from functools import lru_cache
from pathlib import Path

import pyarrow.parquet as pq

ROW_GROUP = 512  # rows that are read to show one thumbnail


class ThumbnailFile:
    """Row number -> JPEG, of what `retrieval.items.write_gallery` wrote; safe to use from several threads."""

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._lock = threading.Lock()
        self._groups = lru_cache(maxsize=16)(self._read)

    def __call__(self, row: int) -> bytes:
        """The JPEG of a row."""
        return self._groups(row // ROW_GROUP)[row % ROW_GROUP]

    def _read(self, group: int) -> list[bytes]:
        with self._lock, pq.ParquetFile(self._path) as file:
            thumbnails: list[bytes] = file.read_row_group(group, columns=["thumbnail"]).column("thumbnail").to_pylist()
        return thumbnails
