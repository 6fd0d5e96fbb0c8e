"""What a calculation gives with the linear algebra that other processors use."""

from __future__ import annotations

import os
import subprocess
import sys

KERNELS = ("Prescott", "Nehalem", "Haswell")  # sets of OpenBLAS's kernels; the first runs on every x86-64


def printed_with_other_kernels(code: str) -> list[str]:
    """What `code` prints in a process of its own for each set of kernels."""
    return [
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "OPENBLAS_CORETYPE": kernels},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for kernels in KERNELS
    ]
