"""Words, pictures, and both, on photos of products with real titles: precision@5 of three kinds of queries.

    python -m benchmarks.words.word_gains ../shared/data/attr_products
    python -m benchmarks.words.word_gains ../shared/data/attr_products --encoder pretrained
    python -m benchmarks.words.word_gains ../shared/data/attr_products --encoder openclip/ViT-B-32

The gallery are the photos of the split `train`. Its words are the shop's titles; the columns of type and colour, by which
results are judged, are not among them. A result is right when it has the wanted colour and type, which at least `LEAST`
photos of the gallery have. Of each colour and type there is at most one query of each kind, with a photo of `val` or `test`:

    whole    a photo of both, and the words of both: `Navy Blue Tshirts`
    type     a photo of both, and the word of the type alone: `Tshirts`
    colour   a photo of the type in another colour, and the word of the wanted one: `Navy Blue`

The encoder is the one that `croquis index` takes; no map is fitted. The weight of the words is the best mean of the three on
`val`; the figures are those of `test`. Where the encoder has a text tower, its weight within the words' share is chosen on
val before that, by words alone, and the tables have the words themselves and the tower alone, too.
"""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from croquis.bundle import Bundle, write_bundle
from croquis.bundle.gallery_file import GALLERY_SCHEMA
from croquis.catalog.images import decode_image, encode_jpeg, prepare_image, to_batch
from croquis.catalog.product_columns import PRODUCT, product_type
from croquis.index.build import build_index
from croquis.projects.given_nets import HISTOGRAM, RERANK, GivenNets, given_nets
from croquis.search.answer import Hit
from croquis.search.bundle_nets import Nets
from croquis.search.gallery import BundleGallery
from croquis.search.local_retriever import LocalRetriever
from croquis.words.word_settings import DEFAULT_WORDS

LEAST = 5
FOUND = 5
WEIGHTS = (0.1, 0.25, 0.5, 0.75, 0.9, 0.97)
Row = dict[str, str]
Pair = tuple[str, str]


@dataclass(frozen=True)
class Wished:
    """A query: a photo and words, and the colour and type that are wanted."""

    photo: str
    text: str
    wanted: Pair


Found = Callable[[Wished], list[Hit]]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, help="the folder of attr_products: styles.csv and images/")
    parser.add_argument("--encoder", default=HISTOGRAM, help="as `croquis index` has it (default: %(default)s)")
    given = parser.parse_args(arguments)
    root: Path = given.root
    if not (root / "styles.csv").is_file():
        sys.exit(f"error: {root} has no styles.csv: give the folder of attr_products")
    with (root / "styles.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    with tempfile.TemporaryDirectory() as folder:
        nets = given_nets(given.encoder, Path(folder))
        report(root, rows, pack(root, rows, Path(folder) / "bundle", nets))


def pack(root: Path, rows: Sequence[Row], folder: Path, nets: GivenNets) -> Bundle:
    """A bundle of the gallery."""
    encoder = nets.encoder
    gallery = sorted((row for row in rows if row["split"] == "train"), key=lambda row: row["image"])
    squares = [prepare_image(decode_image((root / row["image"]).read_bytes()), encoder.size) for row in gallery]
    vectors = np.concatenate([encoder.encode(to_batch([square])) for square in squares])
    table = pa.Table.from_pylist(
        [described(row, square) for row, square in zip(gallery, squares, strict=True)],
        schema=GALLERY_SCHEMA.append(pa.field(PRODUCT, product_type({"title": "text"}))),
    )
    return write_bundle(
        folder,
        method=nets.method,
        encoder_folder=nets.folder,
        generator_folder=None,
        classifier_folder=None,
        index=build_index(vectors, metric="cosine"),
        gallery_table=table,
        rerank=RERANK,
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


def queries(rows: Sequence[Row], split: str) -> dict[str, list[Wished]]:
    """Kind -> its queries with photos of the split, one for each colour and type that the gallery has `LEAST` times."""
    known = Counter(pair(row) for row in rows if row["split"] == "train")
    own = [row for row in rows if row["split"] == split]
    asked: dict[str, list[Wished]] = {"whole": [], "type": [], "colour": []}
    for colour, kind in [wanted for wanted, count in known.items() if count >= LEAST]:
        alike = next((row["image"] for row in own if pair(row) == (colour, kind)), None)
        other = next((row["image"] for row in own if row["articleType"] == kind and row["baseColour"] != colour), None)
        if alike is not None:
            asked["whole"].append(Wished(alike, f"{colour} {kind}", (colour, kind)))
            asked["type"].append(Wished(alike, kind, (colour, kind)))
        if other is not None:
            asked["colour"].append(Wished(other, colour, (colour, kind)))
    return asked


def pair(row: Row) -> Pair:
    return row["baseColour"], row["articleType"]


def report(root: Path, rows: Sequence[Row], bundle: Bundle) -> None:
    """Prints the table, and the weights on val."""
    of = {row["image"]: pair(row) for row in rows}

    def by_picture(asked: Wished) -> list[Hit]:
        return retriever.search(root / asked.photo, k=FOUND)

    def by_words(asked: Wished) -> list[Hit]:
        return retriever.search(text=asked.text, k=FOUND)

    def by_both(weight: float) -> Found:
        def found(asked: Wished) -> list[Hit]:
            gallery.words = replace(gallery.words, weight=weight, tower_weight=share)
            return retriever.search(root / asked.photo, k=FOUND, text=asked.text)

        return found

    def by_tower(weight: float) -> Found:
        def found(asked: Wished) -> list[Hit]:
            gallery.words = replace(gallery.words, tower_weight=weight)
            return by_words(asked)

        return found

    gallery = BundleGallery.of(bundle)
    retriever = LocalRetriever(Nets(bundle), gallery, bundle.manifest.rerank)
    ways: dict[str, Found] = {}
    share = gallery.words.tower_weight
    if retriever.nets.has_text_tower:
        share = best_weight(queries(rows, "val"), by_tower, of, (0.0, *WEIGHTS, 1.0))
        ways = {"words themselves": by_tower(0.0), "tower": by_tower(1.0), f"words, tower {share}": by_tower(share)}
    best = best_weight(queries(rows, "val"), by_both, of, WEIGHTS)
    test = queries(rows, "test")
    counts = ", ".join(f"{len(asked)} {kind}" for kind, asked in test.items())
    print(f"test: queries {counts}; gallery {len(gallery.items)} photos; {bundle.manifest.method}; weight {best}")
    print(f"| by | {' | '.join(test)} | mean |\n|---|{'---|' * (len(test) + 1)}")
    ways = ways or {"words": by_words}
    ways |= {"picture": by_picture} | {f"both, weight {each}": by_both(each) for each in WEIGHTS}
    for name, find in ways.items():
        print(line(name, [precision(find, asked, of) for asked in test.values()]))


def best_weight(
    val: dict[str, list[Wished]], by_both: Callable[[float], Found], of: dict[str, Pair], weights: Sequence[float]
) -> float:
    """The best mean of all kinds, printed with the others."""
    means: dict[float, float] = {}
    print(f"| val: weight | {' | '.join(val)} | mean |\n|---|{'---|' * (len(val) + 1)}")
    for weight in weights:
        told = [precision(by_both(weight), asked, of) for asked in val.values()]
        means[weight] = sum(told) / len(told)
        print(line(str(weight), told))
    return max(means, key=lambda weight: means[weight])


def line(name: str, told: Sequence[float]) -> str:
    """Of a table: the figures and their mean."""
    return f"| {name} | {' | '.join(f'{each:.3f}' for each in [*told, sum(told) / len(told)])} |"


def precision(find: Found, asked: Sequence[Wished], of: dict[str, Pair]) -> float:
    """Share of the first `FOUND` that have the wanted colour and type; a list that is shorter has the rest wrong."""
    right = sum(of[hit.image_id] == each.wanted for each in asked for hit in find(each))
    return right / (FOUND * max(1, len(asked)))


if __name__ == "__main__":
    main()
