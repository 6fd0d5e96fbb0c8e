"""Stage `sketch`: line drawings of photos for the generator to learn from, and the drawings that ask in val and test."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from params import Params, load_params
from retrieval.catalog import Catalog, CatalogWriter
from retrieval.edges import edge_map
from retrieval.files import write_bytes
from retrieval.images import Uint8Image, decode_image, encode_png, prepare_image
from sources.strokes import Hand, draw_by_hand, generator_for
from tracking.runs import stage_run

CATALOG, SKETCHES = Path("data/catalog"), Path("data/sketches")
PREFIX = "sketch-of/"
DETAIL_VIEWS = ("detail", "additional")  # close-ups show no garment outline
SHEET_ROWS, SHEET_COLUMNS = 6, 3

Triple = tuple[Uint8Image, Uint8Image, Uint8Image]  # photo, edges, drawing


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
            asked = (_query_photo(rows, roles, views) for rows in of_item[split].values())
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


def _query_photo(rows: Sequence[int], roles: Any, views: Any) -> int | None:
    """The photo to draw as an item's query. It will not count as an answer, so another one must be in the gallery:
    the first gallery photo when there are two or more, else a query photo; None where the item has a single photo.
    """
    gallery = [row for row in rows if roles[row] == "gallery"]
    others = [row for row in rows if roles[row] != "gallery"]
    candidates = gallery if len(gallery) > 1 else others if gallery else []
    return next(iter(_outlines(candidates, views)), candidates[0] if candidates else None)


def draw(catalog: Catalog, rows: Sequence[int], params: Params) -> Iterator[tuple[int, Triple]]:
    """Photo, edge map and drawing of each row, one at a time; all uint8 (size, size, 3)."""
    settings = params.sketch
    hand = Hand(settings.jitter, settings.drop, settings.line_width)
    ids, boxes = catalog.column("image_id"), catalog.column("bbox")
    for row, data in zip(rows, catalog.images(rows), strict=True):
        photo = prepare_image(decode_image(data), settings.size, boxes[row])
        edges = edge_map(photo, settings.edges)
        drawing = draw_by_hand(edges, settings.size, hand, generator_for(ids[row], params.base.seed))
        yield row, (photo, _grey_to_rgb(edges), _grey_to_rgb(drawing))


def _grey_to_rgb(grey: Any) -> Uint8Image:
    return np.repeat(np.asarray(grey, dtype=np.uint8)[:, :, None], 3, axis=2)


def sketch_row(photo: Mapping[str, Any], role: str, drawing: Uint8Image) -> dict[str, Any]:
    """The catalogue row of a drawing: the photo's labels, the drawing's own picture."""
    image = encode_png(drawing)
    height, width = drawing.shape[:2]
    own = {"image_id": PREFIX + photo["image_id"], "domain": "sketch", "role": role, "image": image}
    own |= {"bbox": None, "landmarks": None, "also_gallery_of": None}
    size = {"width": width, "height": height, "sha256": hashlib.sha256(image).hexdigest(), "phash": None}
    return {**photo, **own, **size}


def write_sketches(catalog: Catalog, params: Params, root: Path) -> tuple[Counter[str], Uint8Image | None]:
    """Writes `data/sketches/`; returns counts per split and role, and the contact sheet."""
    roles = plan(catalog)
    rows = list(roles)
    shown = set(rows[:: max(1, len(rows) // (SHEET_ROWS * SHEET_COLUMNS))])
    triples: list[Triple] = []
    counts: Counter[str] = Counter()
    with CatalogWriter(root / SKETCHES, params.ingest.shard_rows) as writer:
        for row, triple in tqdm(draw(catalog, rows, params), "sketch", len(rows), unit=" drawings", mininterval=1.0):
            photo = catalog.table.slice(row, 1).to_pylist()[0]
            writer.write(sketch_row(photo, roles[row], triple[2]))
            counts[f"{photo['split']}/{roles[row]}"] += 1
            if row in shown:
                triples.append(triple)
        for own in catalog.rows(catalog.select(split=["val", "test"], domain="sketch").tolist()):
            writer.write({**own, "role": "query"})
            counts[f"{own['split']}/query"] += 1
    return counts, contact_sheet(triples)


def contact_sheet(triples: Sequence[Triple]) -> Uint8Image | None:
    """Photo, edges and drawing side by side, three such groups to a line; None when there is nothing to show."""
    if not triples:
        return None
    groups = [np.hstack(triple) for triple in triples[: SHEET_ROWS * SHEET_COLUMNS]]
    groups += [np.full_like(groups[0], 255)] * (-len(groups) % SHEET_COLUMNS)
    lines = [np.hstack(groups[start : start + SHEET_COLUMNS]) for start in range(0, len(groups), SHEET_COLUMNS)]
    return np.vstack(lines)


def main(root: Path = Path()) -> None:
    params = load_params(root / "params.yaml")
    with stage_run("sketch", params={"seed": params.base.seed, **params.sketch.model_dump()}, root=root) as run:
        counts, sheet = write_sketches(Catalog.open(root / CATALOG), params, root)
        for name, count in sorted(counts.items()):
            run.metric(f"sketches/{name}", count)
        if sheet is not None:
            write_bytes(run.artifacts / "photo_edges_sketch.png", encode_png(sheet))
    print(f"{counts.total()} sketches: " + ", ".join(f"{name} {count}" for name, count in sorted(counts.items())))


if __name__ == "__main__":
    main()
