"""A bundle of a person's photos by nets that need no training on them, and its photos changed afterwards."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from croquis.arrays import Uint8Image, Vectors
from croquis.bundle import Bundle, write_bundle
from croquis.bundle.gallery_file import GALLERY_SCHEMA
from croquis.catalog.image_errors import ImageError
from croquis.catalog.images import crop, decode_image
from croquis.files import write_json
from croquis.index.build import build_index
from croquis.nets.encoder import Encoder, load_encoder
from croquis.refusals import RefusedError
from croquis.search.photo_facts import photo_facts, thumbnail_side
from croquis.validation.fingerprints import as_thumbnails
from croquis.validation.measure import measure
from croquis.validation.near_duplicates import near_pairs

MEGAPIXELS = 50.0
NEAR_BITS, NEAR_DIFFERENCE = 4, 0.08  # as validate.near_duplicate_bits and _difference are shipped
THUMBNAIL = 96
RERANK: dict[str, Any] = {
    "enabled": False, "steps": ["alpha_qe"], "compare": [], "depth": 100, "alpha": 1.0, "beta": 0.05, "standing": "score",
    "overlap": "count", "gallery_attributes": "predicted", "alpha_qe": {"neighbours": 1, "power": 0.0},
}  # fmt: skip
Row = Mapping[str, Any]
Watch = Callable[[Sequence[Row]], Iterable[Row]]
"""Gives the rows back one by one, and shows how far it is."""


@dataclass
class Told:
    """The outcome for the photos.

    Attributes:
        photos, products: in the bundle now.
        broken: file -> why it cannot be read; these are left out.
        copies: pairs of files that show the same photo; both are in.
    """

    photos: int = 0
    products: int = 0
    broken: dict[str, str] = field(default_factory=dict)
    copies: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class _Nets:
    """What `photo_facts` looks with."""

    encoder: Encoder
    classifier: None = None


def index_photos(
    rows: Sequence[Row], images: Path, encoder_folder: Path, method: str, target: Path, watch: Watch
) -> Told:
    """Writes a bundle of all rows' photos; broken ones are left out and told.

    Args:
        rows: with `path` (relative to `images`), `item_id`, and what `croquis.sources.folder.planned_rows` knows besides.
        encoder_folder: holds encoder.json and its graph.
        method: the name in the manifest.

    Raises:
        RefusedError: when no photo can be read.
    """
    told, encoder = Told(), load_encoder(encoder_folder, len(os.sched_getaffinity(0)))
    table, vectors = _looked_at(rows, images, encoder, THUMBNAIL, told, watch)
    if not len(vectors):
        raise RefusedError(f"none of {len(rows)} photos can be read: {_first(told.broken)}")
    _write(target, method, encoder_folder, encoder, table, vectors)
    return _counted(told, table)


def add_photos(bundle: Bundle, rows: Sequence[Row], images: Path, scratch: Path, watch: Watch) -> Told:
    """Adds photos to a bundle of floats; those that are there under the same image_id are replaced.

    Raises:
        RefusedError: when the bundle's vectors cannot be taken out again, or no photo can be read.
    """
    told = Told()
    table, vectors = _looked_at(rows, images, bundle.encoder, thumbnail_side(bundle.items), told, watch)
    if not len(vectors):
        raise RefusedError(f"none of {len(rows)} photos can be read: {_first(told.broken)}")
    added = set(table["image_id"].to_pylist())
    kept = [row for row, name in enumerate(_ids(bundle)) if name not in added]
    return _changed(bundle, kept, table, vectors, scratch, told)


def remove_photos(bundle: Bundle, names: Sequence[str], scratch: Path) -> Told:
    """Takes products, or single photos, out of a bundle.

    Args:
        names: item_ids or image_ids.

    Raises:
        RefusedError: for a name that the bundle does not have, or when nothing would be left.
    """
    ids = _ids(bundle)
    items = bundle.items.table["item_id"].to_pylist()
    unknown = sorted(set(names) - set(ids) - set(items))
    if unknown:
        raise RefusedError(f"{bundle.folder} has no product and no photo {unknown[0]!r}")
    kept = [row for row, (name, item) in enumerate(zip(ids, items, strict=True)) if not {name, item} & set(names)]
    if not kept:
        raise RefusedError(f"{bundle.folder} would be empty: delete the folder instead")
    empty = pa.Table.from_pylist([], schema=GALLERY_SCHEMA)
    return _changed(bundle, kept, empty, np.empty((0, bundle.index.dim), np.float32), scratch, Told())


def encoder_of(bundle: Bundle, folder: Path) -> Path:
    """The bundle's encoder as a folder of its own, as training leaves it."""
    described = asdict(bundle.manifest.encoder_description)
    folder.mkdir(parents=True, exist_ok=True)
    for key in ("file", "map"):
        if described.get(key) is not None:
            shutil.copyfile(bundle.folder / described[key], folder / described[key])
    write_json(folder / "encoder.json", {key: value for key, value in described.items() if value is not None})
    return folder


def _looked_at(
    rows: Sequence[Row], images: Path, encoder: Encoder, side: int, told: Told, watch: Watch
) -> tuple[pa.Table, Vectors]:
    """The gallery's columns and vectors, in the order of image_id."""
    ordered = sorted(rows, key=lambda row: str(row["image_id"]))
    good: list[Row] = []
    seen: list[tuple[int, int, bytes]] = []

    def photos() -> Iterator[Uint8Image]:
        for row in watch(ordered):
            try:
                data = (images / row["path"]).read_bytes()
                found = measure(data, MEGAPIXELS)
                photo = crop(decode_image(data), row.get("bbox"))
            except (ImageError, OSError) as error:
                told.broken[str(row["path"])] = str(error)
                continue
            good.append(row)
            if found.phash is not None and found.mirror_phash is not None and found.thumbnail is not None:
                seen.append((found.phash, found.mirror_phash, found.thumbnail))
            else:
                seen.append((0, 0, b""))
            yield photo

    facts = photo_facts(_Nets(encoder), photos(), side)
    told.copies = _copies([str(row["path"]) for row in good], seen)
    own = [_gallery_row(row, thumbnail) for row, thumbnail in zip(good, facts.thumbnails, strict=True)]
    return pa.Table.from_pylist(own, schema=GALLERY_SCHEMA), facts.vectors


def _gallery_row(row: Row, thumbnail: bytes) -> dict[str, Any]:
    known = {name: row.get(name) for name in ("image_id", "item_id", "category", "view", "attributes")}
    fixed: dict[str, Any] = {"domain": row.get("domain") or "shop", "split": "test", "role": "gallery", "predicted_attributes": []}
    return {**known, **fixed, "attributes": row.get("attributes") or [], "thumbnail": thumbnail}


def _copies(paths: Sequence[str], seen: Sequence[tuple[int, int, bytes]]) -> list[tuple[str, str]]:
    with_hash = [place for place, (_, _, thumbnail) in enumerate(seen) if thumbnail]
    if len(with_hash) < 2:
        return []
    codes, mirrored = (np.array([seen[place][each] for place in with_hash], dtype=np.uint64) for each in (0, 1))
    thumbnails = as_thumbnails([seen[place][2] for place in with_hash])
    pairs = near_pairs(codes, mirrored, thumbnails, NEAR_BITS, NEAR_DIFFERENCE)
    both = zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)
    return [(paths[with_hash[a]], paths[with_hash[b]]) for a, b in both if a < b]


def _changed(bundle: Bundle, kept: Sequence[int], table: pa.Table, vectors: Vectors, scratch: Path, told: Told) -> Told:
    """Writes the bundle again from its kept rows and of new ones."""
    if bundle.manifest.encoder.head != "dense" or bundle.index.kind == "ivfpq":
        raise RefusedError(f"{bundle.folder} keeps codes, which give no vectors back: index its photos again")
    if bundle.classifier is not None:
        raise RefusedError(
            f"{bundle.folder} has a classifier, which has not seen the new photos: serve it with --changes"
        )
    encoder_folder = encoder_of(bundle, scratch / "encoder")
    rows = np.array(kept, dtype=np.int64)
    records = bundle.items.records(list(kept)) if kept else []
    own = [
        {**{name: record.get(name) for name in GALLERY_SCHEMA.names}, "thumbnail": bundle.items.thumbnail(row)}
        for row, record in zip(kept, records, strict=True)
    ]
    whole = pa.concat_tables([pa.Table.from_pylist(own, schema=GALLERY_SCHEMA), table])
    held = bundle.index.vectors(rows) if kept else np.empty((0, bundle.index.dim), np.float32)
    both = np.concatenate([held, vectors])
    order = np.argsort(np.array(whole["image_id"].to_pylist(), dtype=str), kind="stable")
    encoder = bundle.encoder
    _write(bundle.folder, bundle.manifest.method, encoder_folder, encoder, whole.take(pa.array(order)), both[order])
    return _counted(told, whole)


def _write(
    target: Path, method: str, encoder_folder: Path, encoder: Encoder, table: pa.Table, vectors: Vectors
) -> None:
    write_bundle(
        target,
        method=method,
        encoder_folder=encoder_folder,
        generator_folder=None,
        classifier_folder=None,
        index=build_index(vectors, metric=encoder.metric),
        gallery_table=table,
        rerank=RERANK,
        image_size=encoder.size,
    )


def _counted(told: Told, table: pa.Table) -> Told:
    told.photos, told.products = len(table), len(Counter(table["item_id"].to_pylist()))
    return told


def _ids(bundle: Bundle) -> list[str]:
    found: list[str] = bundle.items.table["image_id"].to_pylist()
    return found


def _first(broken: Mapping[str, str]) -> str:
    return next((f"{name}: {why}" for name, why in broken.items()), "there is none")
