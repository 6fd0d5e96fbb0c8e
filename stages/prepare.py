"""Stage `prepare`: decodes the catalogue once for all stages, and makes what a gallery has whatever the method.

The photos at `base.image_size`, and the thumbnails and edge maps of the gallery, go to `data/prepared/`. A stage that lacks
some of it makes it again. data/prepared.json, on which the other stages depend, says of which photos it is.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from croquis.catalog.gallery_photos import gallery_rows, open_thumbnails
from croquis.catalog.prepared_photos import open_photos, place_beside
from croquis.catalog.table import Catalog
from croquis.evaluation.gallery_edges import make_gallery_edges
from croquis.files import write_json
from croquis.params import Params, load_params
from croquis.tracking.stage_run import stage_run
from stages import run_stage

CATALOG, PREPARED = Path("data/catalog"), Path("data/prepared.json")


def main(root: Path = Path()) -> None:
    params = load_params(root / "params.yaml")
    with stage_run("prepare", params=used_params(params), root=root) as run:
        catalog = Catalog.open(root / CATALOG)
        gallery, size, drawn = len(gallery_rows(catalog)), params.base.image_size, params.parts.sketch
        total = len(catalog) + (2 if drawn else 1) * gallery
        with tqdm(desc="prepare", total=total, unit=" photos", mininterval=1.0) as bar:
            how = replace(params.preparation, progress=bar.update)
            photos = open_photos(catalog, size, how=how)
            open_thumbnails(catalog, params.index.thumbnail, how)
            if drawn:
                make_gallery_edges(catalog, params.sketch.size, params.sketch.edges, how)
        _, made = place_beside(catalog, str(size), how.draft, images=len(photos), size=size)
        write_json(root / PREPARED, made)
        run.metric("images", len(photos))
        run.metric("gallery", gallery)
    print(f"prepare: {len(photos)} photos at {size} pixels, {gallery} of them of the gallery")


def used_params(params: Params) -> dict[str, Any]:
    base = {"image_size": params.base.image_size}
    sketch = {"edges": params.sketch.edges, "size": params.sketch.size}
    own = params.prepare.model_dump()
    return {"base": base, "prepare": own, "index": {"thumbnail": params.index.thumbnail}, "sketch": sketch}


if __name__ == "__main__":
    sys.exit(run_stage(main, __doc__))
