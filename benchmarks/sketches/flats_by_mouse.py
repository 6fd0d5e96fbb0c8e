"""Drawings made with the mouse on the search page, in a headless Chromium: do they find their garment?

    python -m benchmarks.sketches.flats_by_mouse --bundle models/bundles/sketch_map

The mouse retraces the lines of flats of test items that the catalogue brings, simplified to straight pieces of some
pixels. The real server answers with the whole index, among the products of all splits; a drawing is found when its product
is among the first ten of the page's answer. Needs a Chromium (`make engines`).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from croquis.catalog.images import decode_image, prepare_image
from croquis.catalog.table import Catalog
from croquis.refusals import RefusedError
from croquis.serving.app import create_app
from croquis.serving.models.bundle_sources import BundleSource
from croquis.serving.server_settings import Settings
from croquis.sketching.skeleton import Stroke, thin, trace
from tests.support.chromium import open_browser
from tests.support.engines import BROWSERS, chromium
from tests.support.serving.live_server import listening
from tests.support.serving.page_actions import drag, one_search

SHEET = 256  # pixels that a flat is traced at
TOLERANCE = 1.5  # of those: how far a straight piece may be off the line
INSIDE = 0.8  # share of the pad's side that the sheet takes
FIRST = 10
PATIENCE_MS = 60_000


def main(arguments: Sequence[str] | None = None) -> None:
    asked = parser().parse_args(arguments)
    if chromium() is None:
        sys.exit(f"error: none of {', '.join(BROWSERS)} is here: make engines")
    try:
        drawn = flats(Catalog.open(asked.catalog), asked.split, asked.drawings, asked.seed)
    except RefusedError as error:
        sys.exit(f"error: {error}")
    source = BundleSource(asked.bundle)
    with listening(create_app({"champion": source}, Settings(threads=1))) as address, open_browser() as browser:
        ranks = {item: searched(browser, address, item, strokes) for item, strokes in drawn.items()}
    for item, rank in ranks.items():
        print(f"{item}: {'not among those found' if rank is None else f'place {rank}'}")
    found = sum(rank is not None and rank <= FIRST for rank in ranks.values())
    print(f"{found} of {len(ranks)} drawings find their garment among the first {FIRST} products")


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m benchmarks.sketches.flats_by_mouse",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--bundle", type=Path, required=True, help="whose index is searched")
    made.add_argument("--catalog", type=Path, default=Path("data/catalog"), help="with the flats (default %(default)s)")
    made.add_argument("--split", choices=["val", "test"], default="test", help="of the items (default %(default)s)")
    made.add_argument("--drawings", type=int, default=10, help="how many items (default %(default)s)")
    made.add_argument("--seed", type=int, default=7, help="which items (default %(default)s)")
    return made


def flats(catalog: Catalog, split: str, count: int, seed: int) -> dict[str, list[Stroke]]:
    """Item of a split -> the strokes of its flat, of `count` items drawn by the seed.

    Raises:
        RefusedError: when the catalogue brings no drawings of such items.
    """
    rows = catalog.select(split=split, domain="sketch")
    if not len(rows):
        raise RefusedError(f"{catalog.folder} brings no drawings of {split} items: name one that does, with --catalog")
    rows = np.sort(np.random.default_rng(seed).permutation(rows)[:count])
    pictures = (prepare_image(decode_image(data), SHEET) for data in catalog.images(rows.tolist()))
    items = catalog.column("item_id")[rows]
    return {str(item): strokes_of(picture) for item, picture in zip(items, pictures, strict=True)}


def strokes_of(picture: np.ndarray[Any, Any]) -> list[Stroke]:
    """Lines of a drawing uint8 (S, S, 3), dark on white, as corners of straight pieces (n, 2), x and y in [0, 1]."""
    lines = trace(thin(picture.min(axis=2) < 128))
    corners = (cv2.approxPolyDP(line[:, None], TOLERANCE, closed=False)[:, 0] for line in lines)
    return [np.asarray(line / len(picture), dtype=np.float32) for line in corners if len(line) > 1]


def searched(browser: Any, address: str, item: str, strokes: Sequence[Stroke]) -> int | None:
    """The place of an item, from 1, among the products that the page gets for its drawing; None where it is not there."""
    context = browser.new_context(viewport={"width": 1280, "height": 1000})
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    page.goto(address)
    page.get_by_role("tab", name="Sketch").click()
    with page.expect_response("**/search*") as answered, one_search(page):
        for stroke in strokes:
            drag(page, "#pad", *((0.5 + (stroke - 0.5) * INSIDE).tolist()))
    shown = list(dict.fromkeys(result["item_id"] for result in answered.value.json()["results"]))
    context.close()
    return shown.index(item) + 1 if item in shown else None


if __name__ == "__main__":
    main()
