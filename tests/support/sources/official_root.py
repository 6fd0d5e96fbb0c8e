"""Where the official data sets lie, for those who have them."""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "CROQUIS_DEEPFASHION"


def official_root(name: str) -> Path | None:
    """The folder `name` below the one that the environment variable CROQUIS_DEEPFASHION names; None where it is absent.

    Names: `inshop`, `c2s`, `attributes`, `deepfashion2`.
    """
    folder = Path(os.environ.get(VARIABLE, "")) / name
    return folder if os.environ.get(VARIABLE) and folder.is_dir() else None
