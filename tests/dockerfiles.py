"""The linter of Dockerfiles, which the extra `dev` brings."""

from __future__ import annotations

import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def assert_clean(dockerfile: str) -> None:
    """Fails with what hadolint finds in a file, named from the project's root."""
    linter = shutil.which("hadolint") or shutil.which("hadolint", path=sysconfig.get_path("scripts"))
    if linter is None:
        pytest.skip("hadolint is not installed")
    done = subprocess.run([linter, "--no-color", dockerfile], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
