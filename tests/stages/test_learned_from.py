"""Which methods depend on the drawings: those that learn from them, and nobody else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from croquis.files import read_json
from croquis.params import load_params
from stages import learned_from


def lists(root: Path, drawing: bytes | None) -> dict[str, Any]:
    """What the stage leaves for each method, of one shard of drawings or none."""
    folder = root / "data/sketches"
    folder.mkdir(parents=True, exist_ok=True)
    if drawing is None:
        (folder / "off.json").write_text("{}")
    else:
        (folder / "part-00000.parquet").write_bytes(drawing)
    learned_from.main(root)
    return {path.stem: read_json(path) for path in (root / "data/learned_from").iterdir()}


def test_who_learns_from_drawings_depends_on_them_and_nobody_else(project: Any) -> None:
    root = project()
    first, second = lists(root, b"one"), lists(root, b"two")
    assert set(first) == set(load_params().retrievers)
    assert {method for method in first if first[method] != second[method]} == {"joint"}


def test_without_drawings_nobody_depends_on_any(project: Any) -> None:
    assert set(map(str, lists(project(), None).values())) == {"{}"}
