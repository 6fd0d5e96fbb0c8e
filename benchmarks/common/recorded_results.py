"""What a benchmark has measured: one small JSON file per benchmark, in git, that the tables are made of."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

from filelock import FileLock

from benchmarks.common.benchmark_command import BenchmarkError, Values
from croquis.files import read_json, write_json

SCHEMA_VERSION = 1


class Results:
    """Figures by `NAME/SEED`; several processes may add to one file.

    Args:
        path: the file, e.g. reports/benchmarks/negatives.json; made with the first figures.
        head: how all of its figures are made.
        locks: folder for the lock file, out of git.

    Raises:
        BenchmarkError: when the file holds figures that were made otherwise.
    """

    def __init__(self, path: Path, head: Values, locks: Path) -> None:
        self.path = path
        self._head = head
        locks.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(locks / f".{path.stem}.lock")
        self.cells: dict[str, Values] = self._read()

    def has(self, label: str, key: str) -> bool:
        """Whether this cell was measured with the params of that key."""
        return label in self.cells and self.cells[label]["key"] == key

    def add(self, label: str, figures: Values) -> None:
        with self._lock:
            self.cells = self._read() | {label: figures}
            cells = {name: self.cells[name] for name in sorted(self.cells)}
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_json(self.path, {"schema_version": SCHEMA_VERSION, "settings": self._head, "cells": cells})

    def _read(self) -> dict[str, Values]:
        if not self.path.is_file():
            return {}
        found = read_json(self.path)
        if found["settings"] != self._head:
            differing = sorted(
                k for k in self._head | found["settings"] if self._head.get(k) != found["settings"].get(k)
            )
            raise BenchmarkError(
                f"{self.path} was made with other settings ({', '.join(differing)}): give this call another folder by "
                "--reports, or delete the file"
            )
        cells: dict[str, Values] = found["cells"]
        return cells


def by_name(cells: dict[str, Values]) -> dict[str, dict[int, Values]]:
    """name -> seed -> figures, in the order of names and seeds."""
    grouped: dict[str, dict[int, Any]] = defaultdict(dict)
    for label in sorted(cells):
        name, _, seed = label.rpartition("/")
        grouped[name][int(seed)] = cells[label]
    return {name: dict(sorted(found.items())) for name, found in grouped.items()}
