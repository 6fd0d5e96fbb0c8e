"""Stage `index@METHOD`: packs a retriever and the gallery into the bundle `models/bundles/METHOD/`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from croquis.arrays import Rows, Uint8Image
from croquis.bundle import write_bundle
from croquis.bundle.gallery_table import GALLERY_SCHEMA, PROBABILITIES
from croquis.catalog.images import crop, decode_image, encode_jpeg, prepare_image, to_batch
from croquis.catalog.table import Catalog
from croquis.index.build import build_index
from croquis.index.coding import read_codebooks
from croquis.index.kinds import chosen_comparison, chosen_settings
from croquis.index.vector_index import VectorIndex
from croquis.nets.classifier import AttributeClassifier
from croquis.nets.encoder import describe_encoder, load_encoder
from croquis.params import Params, load_params
from croquis.rerank.overlap import to_bytes
from croquis.tracking.stage_run import stage_run
from stages import run_stage

CHUNK = 64
Labels = tuple[frozenset[str], bytes | None]


def main(method: str, root: Path = Path()) -> None:
    params = load_params(root / "params.yaml")
    with stage_run("index", method, params=used_params(params), root=root) as run:
        catalog = Catalog.open(root / "data/catalog")
        vectors, table = describe_gallery(catalog, gallery_rows(catalog), method, params, root)
        index = build(vectors, method, params, root)
        models = root / "models"
        bundle = write_bundle(
            models / "bundles" / method,
            method=method,
            encoder_folder=models / method,
            generator_folder=present(models / "sketch_gan"),
            classifier_folder=present(models / "attributes"),
            index=index,
            gallery_table=table,
            rerank=params.rerank.model_dump(),
            image_size=params.base.image_size,
        )
        run.metric("images", len(index))
        run.metric("bytes_per_image", index.nbytes)
        run.tag("bundle", bundle.hash)
    print(f"{method}: {index.kind} index of {len(index)} images, {index.nbytes} bytes each; bundle {bundle.hash[:12]}")


def used_params(params: Params) -> dict[str, Any]:
    base = {"image_size": params.base.image_size, "threads": params.base.threads}
    return {"base": base, "index": params.index.model_dump(), "rerank": params.rerank.model_dump()}


def present(folder: Path) -> Path | None:
    """`folder`, or None where nobody trained that model: DVC always does, a benchmark of photo search need not."""
    return folder if folder.is_dir() else None


def gallery_rows(catalog: Catalog) -> Rows:
    """Every shop photo but the shop queries of val and test, so all that a protocol may search; in order of image_id."""
    rows = catalog.select(domain="shop", role=["gallery", "train"])
    return rows[np.argsort(catalog.column("image_id")[rows].astype(str), kind="stable")]


def describe_gallery(
    catalog: Catalog, rows: Rows, method: str, params: Params, root: Path
) -> tuple[npt.NDArray[np.float32], pa.Table]:
    """Vectors (rows, D), and the gallery table with predicted attributes and thumbnails; a chunk of photos at a time."""
    encoder = load_encoder(root / "models" / method, params.base.threads)
    labels_of = attribute_labels(present(root / "models/attributes"), params)
    records = catalog.table.take(pa.array(rows)).to_pylist()
    vectors: list[npt.NDArray[np.float32]] = []
    for start, photos in photo_chunks(catalog, rows):
        batch = to_batch([prepare_image(photo, encoder.size) for photo in photos])
        vectors.append(encoder.encode(batch))
        for record, photo, found in zip(records[start : start + CHUNK], photos, labels_of(photos), strict=True):
            record["predicted_attributes"], record[PROBABILITIES.name] = sorted(found[0]), found[1]
            record["thumbnail"] = encode_jpeg(prepare_image(photo, params.index.thumbnail))
    schema = GALLERY_SCHEMA.append(PROBABILITIES)
    columns = {name: [record[name] for record in records] for name in schema.names}
    return np.concatenate(vectors), pa.table(columns, schema=schema)


def attribute_labels(folder: Path | None, params: Params) -> Callable[[list[Uint8Image]], list[Labels]]:
    """From photos to what the classifier in `folder` sees in each: its attributes, and all probabilities in bytes; nothing
    without a classifier."""
    if folder is None:
        return lambda photos: [(frozenset[str](), None)] * len(photos)
    classifier = AttributeClassifier(folder, params.base.threads)

    def labels(photos: list[Uint8Image]) -> list[Labels]:
        found = classifier.probabilities(to_batch([prepare_image(photo, classifier.size) for photo in photos]))
        held = [row.tobytes() for row in to_bytes(found)]
        return list(zip(classifier.decide(found), held, strict=True))

    return labels


def photo_chunks(catalog: Catalog, rows: Rows) -> Iterator[tuple[int, list[Uint8Image]]]:
    """Decoded photos, cropped to their boxes, with the number of the first one."""
    boxes = catalog.column("bbox")
    for start in range(0, len(rows), CHUNK):
        chunk = rows[start : start + CHUNK]
        pictures = zip(chunk, catalog.images(chunk), strict=True)
        yield start, [crop(decode_image(data), boxes[row]) for row, data in pictures]


def build(vectors: npt.NDArray[np.float32], method: str, params: Params, root: Path) -> VectorIndex:
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
