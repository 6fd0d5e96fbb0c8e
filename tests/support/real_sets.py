"""What the tests on real pictures share; where those are not there, a file that imports this is skipped as one."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path("../shared/data")
MARKS = [pytest.mark.realdata, pytest.mark.slow]

if not SHARED.is_dir():
    pytest.skip("the real pictures, ../shared/data, are not here", allow_module_level=True)
