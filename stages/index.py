"""Stage `index@METHOD`: packs a retriever and the gallery into the bundle `models/bundles/METHOD/`.

An encoder of lines is packed without the generator: it takes a drawing for what it is. `index.drawing_maps` gives drawings
maps of their own (`lightning_modules/maps/query_map.py`); the encoder in `models/METHOD/` stays what it is.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa

from croquis.arrays import Vectors
from croquis.bundle import write_bundle
from croquis.bundle.gallery_file import GALLERY_SCHEMA, PROBABILITIES
from croquis.catalog.gallery_photos import gallery_rows, open_thumbnails
from croquis.catalog.prepared_photos import open_photos
from croquis.catalog.product_columns import PRODUCT
from croquis.catalog.table import Catalog
from croquis.evaluation.protocol import PROTOCOLS
from croquis.index.build import build_index
from croquis.index.coding import read_codebooks
from croquis.index.kinds import chosen_comparison, chosen_settings
from croquis.index.vector_index import VectorIndex
from croquis.nets.classifier import AttributeClassifier
from croquis.nets.encoder import LinesDescription, describe_encoder, load_encoder
from croquis.nets.generator import Generator
from croquis.params import Params, load_params
from croquis.refusals import RefusedError
from croquis.rerank.rerank_settings import check_depth
from croquis.search.gallery_facts import gallery_labels, gallery_vectors
from croquis.tracking.stage_run import StageRun, stage_run
from stages import run_stage


def main(method: str, root: Path = Path()) -> None:
    params = load_params(root / "params.yaml")
    with stage_run("index", method, params=used_params(params), root=root) as run:
        catalog = Catalog.open(root / "data/catalog")
        vectors, table = describe_gallery(catalog, method, params, root)
        check_depth(params.rerank.depth, len(vectors))
        index = build(vectors, method, params, root)
        models = root / "models"
        described = describe_encoder(models / method)
        sees_lines = isinstance(described, LinesDescription)
        painter = None if sees_lines else present(models / "sketch_gan", Generator.filename)
        with TemporaryDirectory() as scratch:
            encoder_folder = models / method
            if params.index.drawing_maps:
                encoder_folder = Path(shutil.copytree(encoder_folder, Path(scratch) / method))
                learn_drawings(encoder_folder, painter, catalog, params, root, run)
            bundle = write_bundle(
                models / "bundles" / method,
                method=method,
                encoder_folder=encoder_folder,
                generator_folder=painter,
                classifier_folder=present(models / "attributes", AttributeClassifier.filename),
                index=index,
                gallery_table=table,
                rerank=params.rerank.model_dump(),
                image_size=described.size,
                draft=params.preparation.draft,
                words=params.index.words.model_dump(),
                drawings=params.parts.sketch,
            )
        run.metric("images", len(index))
        run.metric("bytes_per_image", index.nbytes)
        run.tag("bundle", bundle.hash)
    print(f"{method}: {index.kind} index of {len(index)} images, {index.nbytes} bytes each; bundle {bundle.hash[:12]}")


def used_params(params: Params) -> dict[str, Any]:
    return {
        "base": {"protocol": params.base.protocol, "threads": params.base.threads},
        "parts": {"sketch": params.parts.sketch},
        "index": params.index.model_dump(),
        "rerank": params.rerank.model_dump(),
    }


def learn_drawings(
    encoder_folder: Path, painter: Path | None, catalog: Catalog, params: Params, root: Path, run: StageRun
) -> None:
    """Puts the maps that `index.drawing_maps` names into the encoder's folder, where val gains by them.

    Raises:
        RefusedError: when there are no drawings.
    """
    from lightning_modules.sketch_gan.drawing_maps import Looks, add_drawing_maps

    sketches, threads = Catalog.open_if_any(root / "data/sketches"), params.base.threads
    if sketches is None:
        raise RefusedError("index.drawing_maps learns from drawings, and there are none: set parts.sketch: true, or []")
    generator = None if painter is None else Generator(painter, threads)
    encoder, protocol = load_encoder(encoder_folder, threads), PROTOCOLS[params.base.protocol]
    seen = Looks(encoder, generator, sketches, catalog, protocol, params.preparation)
    for name, value in add_drawing_maps(encoder_folder, params.index.drawing_maps, seen).items():
        run.metric(f"drawing_maps/{name}", value)


def present(folder: Path, description: str) -> Path | None:
    """`folder`, or None where it lacks the file that describes the model: its part is off, or a benchmark has none."""
    return folder if (folder / description).is_file() else None


def describe_gallery(catalog: Catalog, method: str, params: Params, root: Path) -> tuple[Vectors, pa.Table]:
    """Vectors (rows, D), and the gallery table with predicted attributes and thumbnails, which stay in their files."""
    how, threads, rows = params.preparation, params.base.threads, gallery_rows(catalog)
    encoder = load_encoder(root / "models" / method, threads)
    vectors = gallery_vectors(encoder, open_photos(catalog, encoder.size, how=how), rows)
    seen = gallery_labels(
        present(root / "models/attributes", AttributeClassifier.filename), catalog, rows, threads, how
    )
    schema = GALLERY_SCHEMA.append(PROBABILITIES)
    if PRODUCT in catalog.table.column_names:
        schema = schema.append(catalog.table.schema.field(PRODUCT))
    known = catalog.table.select([name for name in schema.names if name in catalog.table.column_names])
    columns = known.take(pa.array(rows)), seen, open_thumbnails(catalog, params.index.thumbnail, how)
    held = {name: column for table in columns for name, column in zip(table.column_names, table.columns, strict=True)}
    return vectors, pa.table([held[name] for name in schema.names], schema=schema)


def build(vectors: Vectors, method: str, params: Params, root: Path) -> VectorIndex:
    asked, folder = params.index.model_dump(), root / "models" / method
    described = describe_encoder(folder)
    codebooks = read_codebooks(folder, described.dim) if described.head == "pq" else None
    return build_index(
        vectors,
        chosen_settings(described.head, asked),
        metric=described.metric,
        head=described.head,
        comparison=chosen_comparison(described.head, asked),
        codebooks=codebooks,
    )


if __name__ == "__main__":
    sys.exit(run_stage(main, __doc__, "METHOD"))
