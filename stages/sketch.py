"""Stage `sketch`: line drawings of photos to learn from, and the drawings that the catalogue brings, which ask in val and
test."""

from __future__ import annotations

import hashlib
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from croquis.arrays import Uint8Image
from croquis.catalog.drawings import drawing_id
from croquis.catalog.edge_maps import EDGE_METHODS, HED, edge_map
from croquis.catalog.images import decode_image, encode_png, prepare_image
from croquis.catalog.product_columns import PRODUCT
from croquis.catalog.table import Catalog, CatalogWriter
from croquis.files import write_bytes
from croquis.params import Params, load_params
from croquis.sketching.linework import BEGINNINGS, Detect, linework
from croquis.sketching.strokes import Hand, draw_by_hand, generator_for
from croquis.tracking.stage_run import stage_run
from stages import leave_off, run_stage

if TYPE_CHECKING:
    from croquis.nets.edge_detector import EdgeDetector

CATALOG, SKETCHES = Path("data/catalog"), Path("data/sketches")
DETAIL_VIEWS = ("detail", "additional")  # close-ups show no garment outline
SURROUNDINGS = 0.06  # share of the longer side of a garment's box
SHEET_ROWS, SHEET_COLUMNS = 8, 3

Pictures = tuple[Uint8Image, ...]  # photo, its edges in both ways, drawings


def plan(catalog: Catalog) -> dict[int, str]:
    """Catalogue row of each photo to be drawn -> role of its drawing.

    - train: every shop photo from the front (or of unknown view); where an item has none, its first that is no close-up.
    - val: the same photos, with role `gallery`; they are the generator's validation pairs.
    - val and test, where the catalogue brings no drawings of its own: one photo per item with role `query`. In val that
      takes the place of role `gallery`; the drawing is a pair of the generator all the same.
    """
    of_item = _shop_photos(catalog)
    views = catalog.column("view")
    drawn: dict[int, str] = {}
    for split, role in (("train", "train"), ("val", "gallery")):
        for rows in of_item[split].values():
            drawn |= dict.fromkeys(_outlines(rows, views), role)
    for split in ("val", "test"):
        if not len(catalog.select(split=split, domain="sketch")):
            roles = catalog.column("role")
            searches_train = not len(catalog.select(split=split, role="gallery"))
            asked = (_query_photo(rows, roles, views, searches_train) for rows in of_item[split].values())
            drawn |= {row: "query" for row in asked if row is not None}
    return dict(sorted(drawn.items()))


def _shop_photos(catalog: Catalog) -> Mapping[str, Mapping[str, list[int]]]:
    """split -> item -> rows of its shop photos, in catalogue order."""
    found: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    splits, items = catalog.column("split"), catalog.column("item_id")
    for row in catalog.select(domain="shop").tolist():
        found[splits[row]][items[row]].append(row)
    return found


def _outlines(rows: Sequence[int], views: Any) -> list[int]:
    front = [row for row in rows if views[row] in ("front", None)]
    return front or [row for row in rows if views[row] not in DETAIL_VIEWS][:1]


def _query_photo(rows: Sequence[int], roles: Any, views: Any, searches_train: bool) -> int | None:
    """The photo to draw as an item's query. It will not count as an answer, so another one must be in the gallery:
    the first gallery photo when there are two or more, else a query photo; None where the item has a single photo. Where
    the train split is searched, the first query photo.
    """
    gallery = [row for row in rows if roles[row] == "gallery"]
    others = [row for row in rows if roles[row] != "gallery"]
    if not searches_train:
        others = others if gallery else []
    candidates = gallery if len(gallery) > 1 else others
    return next(iter(_outlines(candidates, views)), candidates[0] if candidates else None)


def edge_detector(params: Params, folder: Path) -> EdgeDetector | None:
    """The net of the edges `hed`, written into `folder`; None where no drawing begins with them."""
    settings = params.sketch
    if not settings.begin_with.hed:
        return None
    from croquis.nets.edge_detector import EdgeDetector
    from lightning_modules.nets.hed_graph import add_detector
    from lightning_modules.nets.hed_weights import check_hed

    check_hed("sketch", HED, settings.hed_weights, settings.size)
    files = add_detector(HED, settings.hed_weights, settings.size, folder)
    return EdgeDetector(folder / files["detector"], settings.size)


def draw(
    catalog: Catalog, roles: Mapping[int, str], params: Params, detector: EdgeDetector | None = None
) -> Iterator[tuple[int, Pictures]]:
    """Photo, its edge maps and its drawings (several of a train photo, else one), a row at a time; uint8 (size, size, 3)."""
    settings = params.sketch
    hand = Hand(**settings.model_dump(include={field.name for field in fields(Hand)}))
    weights = np.array([getattr(settings.begin_with, name) for name in BEGINNINGS])
    ids, boxes, rows = catalog.column("image_id"), catalog.column("bbox"), list(roles)
    for row, data in zip(rows, catalog.images(rows), strict=True):
        image = decode_image(data)
        photo = prepare_image(image, settings.size, with_surroundings(boxes[row], image))
        drawings, detect = [], _detected(detector, photo)
        for number in range(settings.drawings_per_photo if roles[row] == "train" else 1):
            chance = generator_for(drawing_id(ids[row], number), params.base.seed)
            lines = linework(photo, chance.choice(BEGINNINGS, p=weights / weights.sum()), detect)
            drawings.append(_grey_to_rgb(draw_by_hand(lines, settings.size, hand, chance)))
        edges = (_grey_to_rgb(edge_map(photo, method)) for method in EDGE_METHODS)
        yield row, (photo, *edges, *drawings)


def _detected(detector: EdgeDetector | None, photo: Uint8Image) -> Detect | None:
    """Gives the edges that the net finds in a photo, sought when first asked for."""
    return None if detector is None else cache(lambda: detector.lines([photo])[0])


def with_surroundings(box: Sequence[int] | None, image: Uint8Image) -> list[int] | None:
    """A garment's box x1, y1, x2, y2 with a little around it, for an outline to show; None for the whole image."""
    if box is None:
        return None
    x1, y1, x2, y2 = (int(value) for value in box)
    more = max(2, round(SURROUNDINGS * max(x2 - x1, y2 - y1)))
    height, width = image.shape[:2]
    return [max(0, x1 - more), max(0, y1 - more), min(width, x2 + more), min(height, y2 + more)]


def _grey_to_rgb(grey: Any) -> Uint8Image:
    return np.repeat(np.asarray(grey, dtype=np.uint8)[:, :, None], 3, axis=2)


def sketch_row(photo: Mapping[str, Any], role: str, drawing: Uint8Image, number: int = 0) -> dict[str, Any]:
    """The catalogue row of a drawing: the photo's labels, the drawing's own picture."""
    image = encode_png(drawing)
    height, width = drawing.shape[:2]
    own: dict[str, Any] = {"image_id": drawing_id(photo["image_id"], number), "domain": "sketch", "role": role}
    own |= {"image": image, "bbox": None, "landmarks": None, "also_gallery_of": None}
    size = {"width": width, "height": height, "sha256": hashlib.sha256(image).hexdigest(), "phash": None}
    return {**without_product(photo), **own, **size}


def without_product(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row without the columns of the product's own, which only answers show: a drawing is a query."""
    return {name: value for name, value in row.items() if name != PRODUCT}


def write_sketches(catalog: Catalog, params: Params, root: Path) -> tuple[Counter[str], dict[str, Uint8Image]]:
    """Writes `data/sketches/`; returns counts per split and role, and contact sheets by name."""
    roles = plan(catalog)
    trained = [row for row, role in roles.items() if role == "train"]
    shown = set(trained[:: max(1, len(trained) // SHEET_ROWS)][:SHEET_ROWS])
    lines: list[Pictures] = []
    beside: list[Pictures] = []
    counts: Counter[str] = Counter()
    brought = brought_drawings(catalog)
    with TemporaryDirectory() as scratch, CatalogWriter(root / SKETCHES, params.ingest.shard_rows) as writer:
        drawn = draw(catalog, roles, params, edge_detector(params, Path(scratch)))
        for row, pictures in tqdm(drawn, "sketch", len(roles), unit=" photos", mininterval=1.0):
            photo = catalog.table.slice(row, 1).to_pylist()[0]
            drawings = pictures[1 + len(EDGE_METHODS) :]
            for number, drawing in enumerate(drawings):
                writer.write(sketch_row(photo, roles[row], drawing, number))
                counts[f"{photo['split']}/{roles[row]}"] += 1
            if row in shown:
                lines.append(pictures)
            if photo["item_id"] in brought and len(beside) < SHEET_ROWS * SHEET_COLUMNS:
                beside.append((pictures[0], drawings[0], brought[photo["item_id"]](params.sketch.size)))
        for own in catalog.rows(catalog.select(domain="sketch").tolist()):
            role = "train" if own["split"] == "train" else "query"
            writer.write({**without_product(own), "role": role})
            counts[f"{own['split']}/{role}"] += 1
    sheets = {"photo_edges_sketch": contact_sheet(lines, 1), "sketch_beside_query": contact_sheet(beside)}
    return counts, {name: sheet for name, sheet in sheets.items() if sheet is not None}


def brought_drawings(catalog: Catalog) -> dict[str, Callable[[int], Uint8Image]]:
    """Val item -> the drawing that the catalogue brings of it, to be opened at a size: what the hand is compared with."""
    rows = catalog.select(split="val", domain="sketch").tolist()

    def opener(row: int) -> Callable[[int], Uint8Image]:
        return lambda size: prepare_image(decode_image(next(iter(catalog.images([row])))), size)

    return {catalog.column("item_id")[row]: opener(row) for row in reversed(rows)}


def contact_sheet(groups: Sequence[Pictures], columns: int = SHEET_COLUMNS) -> Uint8Image | None:
    """The pictures of each group side by side, `columns` groups to a line; None when there is nothing to show."""
    if not groups:
        return None
    strips = [np.hstack(group) for group in groups]
    strips += [np.full_like(strips[0], 255)] * (-len(strips) % columns)
    return np.vstack([np.hstack(strips[start : start + columns]) for start in range(0, len(strips), columns)])


def main(root: Path = Path()) -> None:
    params = load_params(root / "params.yaml")
    if not params.parts.sketch:
        with stage_run("sketch", params={"parts": params.parts.model_dump()}, root=root):
            leave_off(root / SKETCHES, "parts.sketch")
        return
    with stage_run("sketch", params={"seed": params.base.seed, **params.sketch.model_dump()}, root=root) as run:
        counts, sheets = write_sketches(Catalog.open(root / CATALOG), params, root)
        for name, count in sorted(counts.items()):
            run.metric(f"sketches/{name}", count)
        for name, sheet in sheets.items():
            write_bytes(run.artifacts / f"{name}.png", encode_png(sheet))
    print(f"{counts.total()} sketches: " + ", ".join(f"{name} {count}" for name, count in sorted(counts.items())))


if __name__ == "__main__":
    sys.exit(run_stage(main, __doc__))
