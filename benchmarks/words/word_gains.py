"""Words, pictures, and both, on photos of products with real titles: precision@5 of queries such as `Navy Blue Tshirts`.

    python -m benchmarks.words.word_gains ../shared/data/attr_products

The gallery are the photos of the split `train`. Its words are the shop's titles; the columns of type and colour, by
which results are judged, are not among them. A query is a colour and a type that at least `LEAST` photos of the
gallery have; its picture is the first photo of the split `val` or `test` that has both. The encoder is the histogram,
which is not trained: its figures do not tell what trained encoders find. The weight of the words is chosen on `val`
and told on `test`.
"""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from croquis.bundle import Bundle, write_bundle
from croquis.bundle.gallery_file import GALLERY_SCHEMA
from croquis.catalog.images import decode_image, encode_jpeg, prepare_image, to_batch
from croquis.catalog.product_columns import PRODUCT, product_type
from croquis.files import write_json
from croquis.index.build import build_index
from croquis.nets.encoder import describe_fixed, load_encoder
from croquis.nets.histogram_encoder import HistogramEncoder
from croquis.params import load_params
from croquis.search.answer import Hit
from croquis.search.bundle_nets import Nets
from croquis.search.gallery import BundleGallery
from croquis.search.local_retriever import LocalRetriever
from croquis.words.word_settings import DEFAULT_WORDS

LEAST = 5
FOUND = 5
WEIGHTS = (0.1, 0.25, 0.5, 0.75, 0.9)
Row = dict[str, str]
Found = Callable[[Row], list[Hit]]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, help="the folder of attr_products: styles.csv and images/")
    root: Path = parser.parse_args(arguments).root
    if not (root / "styles.csv").is_file():
        sys.exit(f"error: {root} has no styles.csv: give the folder of attr_products")
    with (root / "styles.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    with tempfile.TemporaryDirectory() as folder:
        report(root, rows, pack(root, rows, Path(folder) / "bundle"))


def pack(root: Path, rows: Sequence[Row], folder: Path) -> Bundle:
    """A bundle of the gallery with the histogram of params.yaml."""
    params = load_params(methods=True)
    encoder = HistogramEncoder(**params.method("histogram").model_dump(), size=params.base.image_size)
    models = folder.with_name(f"{folder.name}-models")
    write_json(models / "encoder.json", describe_fixed(encoder))
    gallery = sorted((row for row in rows if row["split"] == "train"), key=lambda row: row["image"])
    squares = [prepare_image(decode_image((root / row["image"]).read_bytes()), encoder.size) for row in gallery]
    vectors = np.concatenate([load_encoder(models).encode(to_batch([square])) for square in squares])
    table = pa.Table.from_pylist(
        [described(row, square) for row, square in zip(gallery, squares, strict=True)],
        schema=GALLERY_SCHEMA.append(pa.field(PRODUCT, product_type({"title": "text"}))),
    )
    return write_bundle(
        folder,
        method="histogram",
        encoder_folder=models,
        generator_folder=None,
        classifier_folder=None,
        index=build_index(vectors, metric="cosine"),
        gallery_table=table,
        rerank=params.rerank.model_dump(),
        image_size=encoder.size,
        words={"tokenizer": "unicode", "weight": DEFAULT_WORDS.weight},
    )


def described(row: Row, square: Any) -> dict[str, Any]:
    """A row of the gallery; what the queries ask for is in its title alone."""
    return {
        "image_id": row["image"],
        "item_id": row["id"],
        "category": row["masterCategory"],
        "domain": "shop",
        "split": "test",
        "role": "gallery",
        "view": None,
        "attributes": [],
        "predicted_attributes": [],
        "thumbnail": encode_jpeg(square),
        PRODUCT: {"title": row["productDisplayName"]},
    }


def queries(rows: Sequence[Row], split: str) -> list[Row]:
    """One photo of the split for each colour and type that the gallery has `LEAST` times."""
    known = Counter(pair(row) for row in rows if row["split"] == "train")
    asked: dict[tuple[str, str], Row] = {}
    for row in rows:
        if row["split"] == split and known[pair(row)] >= LEAST:
            asked.setdefault(pair(row), row)
    return list(asked.values())


def pair(row: Row) -> tuple[str, str]:
    return row["baseColour"], row["articleType"]


def report(root: Path, rows: Sequence[Row], bundle: Bundle) -> None:
    """Prints the table, and the weights on val."""
    of = {row["image"]: row for row in rows}

    def by_picture(row: Row) -> list[Hit]:
        return retriever.search(root / row["image"], k=FOUND)

    def by_words(row: Row) -> list[Hit]:
        return retriever.search(text=" ".join(pair(row)), k=FOUND)

    def by_both(row: Row) -> list[Hit]:
        return retriever.search(root / row["image"], k=FOUND, text=" ".join(pair(row)))

    gallery = BundleGallery.of(bundle)
    retriever = LocalRetriever(Nets(bundle), gallery, bundle.manifest.rerank)
    val = queries(rows, "val")
    chosen: dict[float, float] = {}
    for weight in WEIGHTS:
        gallery.words = replace(gallery.words, weight=weight)
        chosen[weight] = precision(by_both, val, of)["both"]
    best = max(chosen, key=lambda weight: chosen[weight])
    gallery.words = replace(gallery.words, weight=best)
    print(f"weight on val ({len(val)} queries): " + ", ".join(f"{w}: {p:.3f}" for w, p in chosen.items()))
    test = queries(rows, "test")
    print(f"test: {len(test)} queries, gallery {len(gallery.items)} photos, weight {best}")
    print("| by | type and colour | type | colour |\n|---|---|---|---|")
    for name, find in (("words", by_words), ("picture", by_picture), ("both", by_both)):
        told = precision(find, test, of)
        print(f"| {name} | {told['both']:.3f} | {told['type']:.3f} | {told['colour']:.3f} |")


def precision(find: Found, asked: Sequence[Row], of: dict[str, Row]) -> dict[str, float]:
    """Shares of the first `FOUND` that have the colour, the type, or both; a list that is shorter has the rest wrong."""
    right: Counter[str] = Counter()
    for row in asked:
        for hit in find(row):
            colour, kind = (found == wanted for found, wanted in zip(pair(of[hit.image_id]), pair(row), strict=True))
            right.update({"colour": colour, "type": kind, "both": colour and kind})
    return {name: right[name] / (FOUND * max(1, len(asked))) for name in ("both", "type", "colour")}


if __name__ == "__main__":
    main()
