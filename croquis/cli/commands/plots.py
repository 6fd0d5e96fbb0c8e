"""Commands `plots | sheet`: the page of results, DVC's page of charts without a network, and the catalogue's contact sheet.

DVC's own page loads vega from a content delivery network; offline its charts stay blank. With `--dvc` the same page gets
the libraries from the `vl-convert` package, as one file beside it.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import click

from croquis.cli.command_line import PATH, Invocation, command, option
from croquis.files import write_bytes
from croquis.params import load_params
from croquis.refusals import RefusedError

SOURCE = "rendered"
FOLDER, LIBRARIES = Path("dvc_plots"), "vega.js"
VEGA_LITE = "5.8"  # the schema of DVC's templates is version 5
FROM_NETWORK = re.compile(r"(?:\s*<script[^>]*src=\"https://cdn\.jsdelivr\.net/npm/vega[^\"]*\"[^>]*></script>)+")


class PlotsError(RuntimeError):
    """DVC gave no page, or one of another form than is known."""


def draw_plots(root: Path) -> Path:
    """Writes `dvc_plots/index.html` and the libraries beside it; returns the page's path.

    Raises:
        PlotsError: when DVC draws no page, or one that is not known.
    """
    from croquis.report_page.results_page import vega_libraries

    page = root / FOLDER / "index.html"
    done = subprocess.run(
        [sys.executable, "-m", "dvc", "plots", "show", "--out", str(FOLDER)], cwd=root, capture_output=True, text=True
    )
    if done.returncode or not page.is_file():
        raise PlotsError(f"`dvc plots show` failed; run `dvc repro` first\n{done.stderr.strip()}")
    write_bytes(page.with_name(LIBRARIES), vega_libraries(VEGA_LITE).encode())
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


@command("""Writes reports/results.html: one page of what the pipeline found, to be read in a browser without a network.

A section for each question: which method is best, on which categories, at what cost, and what does it get wrong (worst
queries, near-identical confusions, two methods side by side); galleries, re-ranking before and after, a map of the photos,
training curves. With --dvc it writes DVC's own page instead, the one of `dvc plots show`, with its libraries beside it.""")
@option("--dvc", is_flag=True, help="write the page of `dvc plots show` to dvc_plots/ instead")
@click.pass_obj
def plots_command(invocation: Invocation, dvc: bool) -> int:
    if dvc:
        print(f"wrote {draw_plots(invocation.project)}; open it in a browser")
        return 0
    from croquis.report_page.results_page import write_results_page

    page = write_results_page(invocation.project, load_params(invocation.project / "params.yaml"))
    print(f"wrote {page} ({page.stat().st_size / 1e6:.1f} MB); open it in a browser")
    return 0


@command("""Draws a contact sheet of the rendered catalogue into PNG, e.g. docs/images/catalogue.png.""")
@click.argument("picture", metavar="PNG", type=PATH)
@option("--items", default=8, help="items shown, each of another category")
@option("--side", default=112, help="side of one picture on the sheet, pixels")
@click.pass_obj
def sheet_command(invocation: Invocation, picture: Path, items: int, side: int) -> int:
    from croquis.sources.rendered.item_sheet import write_sheet

    params = load_params(invocation.project / "params.yaml")
    block = getattr(params.ingest, SOURCE, None)
    if block is None:
        raise RefusedError(f"params.yaml has no block ingest.{SOURCE}: the sheet shows that source")
    write_sheet(str(picture), block, params.base.seed, items, side)
    return 0
