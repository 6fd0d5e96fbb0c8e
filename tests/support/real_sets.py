"""What the tests on real pictures share."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path("../shared/data")
MARKS = [
    pytest.mark.realdata,
    pytest.mark.slow,
    pytest.mark.skipif(not SHARED.is_dir(), reason="the real pictures are not here"),
]
