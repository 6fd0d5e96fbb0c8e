"""What a study has measured: one small JSON file per study, in git, that the tables are made of."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

from filelock import FileLock

from benchmarks.common.studies import BenchmarkError, Values
from croquis.files import read_json, write_json

SCHEMA_VERSION = 1


class Results:
    """Figures by `ROW/SEED`; several processes may add to one file.

    Args:
        path: the file, e.g. reports/benchmarks/negatives.json; made with the first figures.
        head: how all of its figures are made.
        locks: folder for the lock file, out of git.
    """

    def __init__(self, path: Path, head: Values, locks: Path) -> None:
        self.path, self.head = path, head
        locks.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(locks / f".{path.stem}.lock")

    @property
    def cells(self) -> dict[str, Values]:
        """What is in the file now.

        Raises:
            BenchmarkError: when it holds figures that were made otherwise.
        """
        if not self.path.is_file():
            return {}
        found = read_json(self.path)
        settings = found["settings"]
        differing = sorted(key for key in self.head | settings if self.head.get(key) != settings.get(key))
        if differing:
            raise BenchmarkError(
                f"{self.path} was made with other settings ({', '.join(differing)}): give this call another folder by "
                "--reports, or delete the file"
            )
        cells: dict[str, Values] = found["cells"]
        return cells

    def has(self, label: str, key: str) -> bool:
        """Whether this cell was measured with the params of that key."""
        return self.cells.get(label, {}).get("key") == key

    def add(self, label: str, figures: Values) -> None:
        with self._lock:
            cells = self.cells | {label: figures}
            kept = {name: cells[name] for name in sorted(cells)}
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_json(self.path, {"schema_version": SCHEMA_VERSION, "settings": self.head, "cells": kept})


def by_name(cells: dict[str, Values]) -> dict[str, dict[int, Values]]:
    """name -> seed -> figures, in the order of names and seeds."""
    grouped: dict[str, dict[int, Any]] = defaultdict(dict)
    for label in sorted(cells):
        name, _, seed = label.rpartition("/")
        grouped[name][int(seed)] = cells[label]
    return {name: dict(sorted(found.items())) for name, found in grouped.items()}
