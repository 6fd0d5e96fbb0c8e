"""Reading a table of one's own by the source `folder`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from croquis.sources.folder import Folder, rows


def read_folder(table: Path, images: Path, **settings: Any) -> list[dict[str, Any]]:
    """All rows; `settings` change a block that takes the table as it is, without val and test."""
    values: dict[str, Any] = {
        "table": str(table),
        "images": str(images),
        "columns": {},
        "splits": {},
        "domains": {},
        "roles": "by_item",
        "share": 1.0,
        "val_share": 0.0,
        "test_share": 0.0,
    }
    return list(rows(Folder(**(values | settings)), seed=3))
