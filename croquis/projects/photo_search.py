"""A bundle of a person's photos by nets that are there already, and its photos changed afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from croquis.arrays import Uint8Image, Vectors
from croquis.bundle import Bundle
from croquis.bundle.gallery_file import GALLERY_SCHEMA, PROBABILITIES
from croquis.catalog.image_errors import ImageError
from croquis.catalog.images import decode_inside
from croquis.catalog.product_columns import PRODUCT, kinds_in
from croquis.projects.given_nets import GivenNets, nets_of, with_map
from croquis.projects.search_rows import FoundPhotos, Row
from croquis.refusals import RefusedError
from croquis.search.photo_facts import PhotoFacts, photo_facts, thumbnail_side
from croquis.validation.fingerprints import as_thumbnails
from croquis.validation.measure import measure
from croquis.validation.near_duplicates import near_pairs

MEGAPIXELS = 50.0
NEAR_BITS, NEAR_DIFFERENCE = 4, 0.08  # as validate.near_duplicate_bits and _difference are shipped
THUMBNAIL = 96
Watch = Callable[[Sequence[Row]], Iterable[Row]]
"""Gives the rows back one by one, and shows how far it is."""


@dataclass
class Told:
    """The outcome for the photos.

    Attributes:
        photos, products: in the bundle now.
        broken: file -> why it cannot be read; these are left out.
        copies: pairs of files that show the same photo; both are in.
        mapped: whether a map was fitted on the photos.
    """

    photos: int = 0
    products: int = 0
    broken: dict[str, str] = field(default_factory=dict)
    copies: list[tuple[str, str]] = field(default_factory=list)
    mapped: bool = False


def index_photos(photos: FoundPhotos, nets: GivenNets, target: Path, scratch: Path, watch: Watch) -> Told:
    """Writes a bundle of all photos; broken ones are left out and told.

    Args:
        scratch: the folder that `nets` were made in.

    Raises:
        RefusedError: when no photo can be read.
    """
    told = Told()
    table, vectors = _looked_at(photos, nets, THUMBNAIL, told, watch)
    mapped, vectors = with_map(nets, vectors, table["item_id"].to_pylist(), scratch)
    mapped.write(target, table, vectors)
    told.mapped = mapped is not nets
    return _counted(told, table)


def add_photos(bundle: Bundle, photos: FoundPhotos, scratch: Path, watch: Watch) -> Told:
    """Adds photos to a bundle of floats; those that are there under the same image_id are replaced.

    Raises:
        RefusedError: when the bundle's vectors cannot be taken out again, no photo can be read, or a column of the products
            is of another type than in the bundle.
    """
    told = Told()
    nets = _changeable(bundle, scratch)
    table, vectors = _looked_at(photos, nets, thumbnail_side(bundle.items), told, watch)
    added = set(table["image_id"].to_pylist())
    kept = [row for row, name in enumerate(bundle.items.image_ids) if name not in added]
    return _changed(nets, bundle, kept, table, vectors, told)


def remove_photos(bundle: Bundle, names: Sequence[str], scratch: Path) -> Told:
    """Takes products, or single photos, out of a bundle.

    Args:
        names: item_ids or image_ids.

    Raises:
        RefusedError: for a name that the bundle does not have, or when nothing would be left.
    """
    ids = bundle.items.image_ids
    items = bundle.items.table["item_id"].to_pylist()
    unknown = sorted(set(names) - set(ids) - set(items))
    if unknown:
        raise RefusedError(f"{bundle.folder} has no product and no photo {unknown[0]!r}")
    kept = [row for row, (name, item) in enumerate(zip(ids, items, strict=True)) if not {name, item} & set(names)]
    if not kept:
        raise RefusedError(f"{bundle.folder} would be empty: delete the folder instead")
    nothing = np.empty((0, bundle.index.dim), np.float32)
    return _changed(_changeable(bundle, scratch), bundle, kept, GALLERY_SCHEMA.empty_table(), nothing, Told())


def _looked_at(photos: FoundPhotos, nets: GivenNets, side: int, told: Told, watch: Watch) -> tuple[pa.Table, Vectors]:
    """The gallery's columns and vectors, in the order of the rows."""
    good: list[Row] = []
    seen: list[tuple[int, int, bytes]] = []

    def opened() -> Iterator[Uint8Image]:
        for row in watch(photos.rows):
            try:
                data = photos.read(row)
                found = measure(data, MEGAPIXELS)
                photo = decode_inside(data, row.get("bbox"), draft=nets.draft)
            except (ImageError, OSError) as error:
                told.broken[str(row["path"])] = str(error)
                continue
            good.append(row)
            if found.phash is not None and found.mirror_phash is not None and found.thumbnail is not None:
                seen.append((found.phash, found.mirror_phash, found.thumbnail))
            else:
                seen.append((0, 0, b""))
            yield photo

    facts = photo_facts(nets, opened(), side)
    if not good:
        why = next((f"{name}: {why}" for name, why in told.broken.items()), "there is none")
        raise RefusedError(f"none of {len(photos.rows)} photos can be read: {why}")
    told.copies = _copies([str(row["path"]) for row in good], seen)
    return _gallery(good, facts, nets.classifier is not None), facts.vectors


def _gallery(rows: Sequence[Row], facts: PhotoFacts, labelled: bool) -> pa.Table:
    schema = GALLERY_SCHEMA.append(PROBABILITIES) if labelled else GALLERY_SCHEMA
    product = next((row[PRODUCT] for row in rows if PRODUCT in row), None)
    if product is not None:
        schema = schema.append(pa.field(PRODUCT, product.type))
    fixed = {"split": "test", "role": "gallery"}
    seen = zip(facts.predicted, facts.probabilities, facts.thumbnails, strict=True)
    own = [
        {
            **{name: row.get(name) for name in ("image_id", "item_id", "category", "view", PRODUCT)},
            **fixed,
            "domain": row.get("domain") or "shop",
            "attributes": row.get("attributes") or [],
            "predicted_attributes": names,
            PROBABILITIES.name: cell,
            "thumbnail": thumbnail,
        }
        for row, (names, cell, thumbnail) in zip(rows, seen, strict=True)
    ]
    return pa.Table.from_pylist(own, schema=schema)


def _copies(paths: Sequence[str], seen: Sequence[tuple[int, int, bytes]]) -> list[tuple[str, str]]:
    with_hash = [place for place, (_, _, thumbnail) in enumerate(seen) if thumbnail]
    if len(with_hash) < 2:
        return []
    codes, mirrored = (np.array([seen[place][each] for place in with_hash], dtype=np.uint64) for each in (0, 1))
    thumbnails = as_thumbnails([seen[place][2] for place in with_hash])
    pairs = near_pairs(codes, mirrored, thumbnails, NEAR_BITS, NEAR_DIFFERENCE)
    both = zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)
    return [(paths[with_hash[a]], paths[with_hash[b]]) for a, b in both if a < b]


def _changeable(bundle: Bundle, scratch: Path) -> GivenNets:
    if bundle.manifest.encoder.head != "dense" or bundle.index.kind == "ivfpq":
        raise RefusedError(f"{bundle.folder} keeps codes, which give no vectors back: index its photos again")
    return nets_of(bundle, scratch / "nets")


def _changed(
    nets: GivenNets, bundle: Bundle, kept: Sequence[int], table: pa.Table, vectors: Vectors, told: Told
) -> Told:
    """Writes the bundle again from its kept rows and of new ones."""
    rows = np.array(kept, dtype=np.int64)
    held = pq.read_table(bundle.folder / bundle.manifest.items.file).take(pa.array(rows))
    _check_types(bundle, held, table)
    whole = pa.concat_tables([held, table], promote_options="permissive")
    nets.write(bundle.folder, whole, np.concatenate([bundle.index.vectors(rows), vectors]))
    return _counted(told, whole)


def _check_types(bundle: Bundle, held: pa.Table, table: pa.Table) -> None:
    kinds = [kinds_in(each.schema.field(PRODUCT).type) for each in (held, table) if PRODUCT in each.column_names]
    known = kinds[0] if kinds else {}
    wrong = [name for each in kinds[1:] for name, kind in each.items() if known.get(name, kind) != kind]
    if wrong:
        name = wrong[0]
        raise RefusedError(
            f"the column {name!r} holds a {known[name]} in {bundle.folder} and a {kinds[1][name]} in the new table: "
            "correct the table, or index all photos again"
        )


def _counted(told: Told, table: pa.Table) -> Told:
    told.photos, told.products = len(table), len(set(table["item_id"].to_pylist()))
    return told
