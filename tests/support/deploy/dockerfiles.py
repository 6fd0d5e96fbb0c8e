"""The linter of Dockerfiles, which the extra `dev` brings."""

from __future__ import annotations

import shutil
import subprocess
import sysconfig

import pytest

from tests.support.environment import REPOSITORY


def assert_clean(dockerfile: str) -> None:
    """Fails with what hadolint finds in a file, named from the project's root."""
    linter = shutil.which("hadolint") or shutil.which("hadolint", path=sysconfig.get_path("scripts"))
    if linter is None:
        pytest.skip("hadolint is not installed")
    done = subprocess.run(
        [linter, "--no-color", dockerfile], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
