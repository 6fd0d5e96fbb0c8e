"""Draws the page of `dvc plots show` so that its charts show without a network.

    python -m croquis.cli.plots

DVC's own page loads vega from a content delivery network; offline its charts stay blank. Here the same page gets the
libraries from the `vl-convert` package, as one file beside it.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import vl_convert

from croquis.files import write_bytes

FOLDER, LIBRARIES = Path("dvc_plots"), "vega.js"
OFFER = "window.vegaEmbed = vegaEmbed;"
VEGA_LITE = "5.8"  # the schema of DVC's templates is version 5
FROM_NETWORK = re.compile(r"(?:\s*<script[^>]*src=\"https://cdn\.jsdelivr\.net/npm/vega[^\"]*\"[^>]*></script>)+")


class PlotsError(RuntimeError):
    """DVC gave no page, or one of another form than is known."""


def main(root: Path = Path()) -> Path:
    """Writes `dvc_plots/index.html` and the libraries beside it; returns the page's path."""
    page = root / FOLDER / "index.html"
    done = subprocess.run(
        [sys.executable, "-m", "dvc", "plots", "show", "--out", str(FOLDER)], cwd=root, capture_output=True, text=True
    )
    if done.returncode or not page.is_file():
        raise PlotsError(f"`dvc plots show` failed; run `dvc repro` first\n{done.stderr.strip()}")
    write_bytes(page.with_name(LIBRARIES), vl_convert.javascript_bundle(OFFER, vl_version=VEGA_LITE).encode())
    write_bytes(page, with_local_libraries(page.read_text(encoding="utf-8")).encode())
    return page


def with_local_libraries(page: str) -> str:
    """The page with its vega scripts taken from the file beside it.

    Raises:
        PlotsError: when the page loads no vega scripts that we know.
    """
    changed, count = FROM_NETWORK.subn(f'\n    <script src="{LIBRARIES}"></script>', page)
    if count != 1:
        raise PlotsError("the page of this DVC version loads vega in an unknown way; see dvc_plots/index.html")
    return changed


if __name__ == "__main__":
    try:
        print(f"wrote {main()}; open it in a browser")
    except PlotsError as error:
        sys.exit(str(error))
