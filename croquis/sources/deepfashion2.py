"""DeepFashion2 (Ge et al., CVPR 2019), clothes retrieval between consumers and shops.

Below `ingest.deepfashion2.root`: `train/` and `validation/`, each with `annos/000001.json` and `image/000001.jpg`. One row
is one garment: the whole image with the garment's box. Two garments are one item when their images have one `pair_id` and
they have one `style` above 0; a garment of style 0 matches nothing and is an item of its own. Answers of the official test
set are not public, so the official validation set is `test`; pairs of the official train set are lent to `val`, whole, so
that no image is in two splits.

In val and test shop garments are gallery, those of style 0 as distractors; consumer garments that a shop garment of the
split matches are queries, and the others, which can neither ask nor answer, are left out. Where `val_query.json` and
`val_gallery.json` are present, they say which garments of the official validation set ask and answer.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from croquis.formats.deepfashion.deepfashion2_files import AnnotatedGarment, read_garments, read_listed
from croquis.formats.errors import SourceWarning, refuse
from croquis.formats.tables.hashed_split import position
from croquis.params.block import Block
from croquis.sources import Source


class Deepfashion2(Block):
    """DeepFashion2, one row per garment box; the official validation set is our test."""

    root: str
    val_share: float = Field(gt=0.0, lt=0.5, description="share of the official train pairs held out as val")


@dataclass(frozen=True, slots=True)
class PlacedGarment:
    """A garment in its split; `role` is None for one that is left out."""

    garment: AnnotatedGarment
    split: str
    role: str | None


def rows(block: Deepfashion2, seed: int) -> Iterator[dict[str, Any]]:
    """Catalogue rows in the order of images and garments, train before validation; images are read one at a time.

    Raises:
        SourceError: before any image is read, when a folder, annotation or image is missing or malformed.
    """
    root = Path(block.root)
    train, official = read_garments(root, "train"), read_garments(root, "validation")
    places = [*_place_train(train, block.val_share, seed), *_place_test(root, official)]
    kept = [place for place in places if place.role]
    if len(kept) < len(places):
        left = f"{len(places) - len(kept)} of {len(places)} garments of DeepFashion2 are left out"
        warnings.warn(f"{left}: in val and test they neither ask nor answer", SourceWarning, stacklevel=2)
    files = [place.garment.file(root) for place in kept]
    missing = [f"{file} does not exist; unpack the images again" for file in dict.fromkeys(files) if not file.is_file()]
    refuse(str(root), missing)
    for place, file in zip(kept, files, strict=True):
        yield {
            "image_id": place.garment.image_id,
            "item_id": place.garment.item_id,
            "domain": place.garment.domain,
            "split": place.split,
            "role": place.role,
            "category": place.garment.category,
            "view": place.garment.view,
            "attributes": [],
            "bbox": place.garment.box,
            "landmarks": place.garment.landmarks or None,
            "image": file.read_bytes(),
        }


def _place_train(garments: Sequence[AnnotatedGarment], val_share: float, seed: int) -> list[PlacedGarment]:
    """About `val_share` of the pairs, chosen by a seeded hash, go to val."""
    val = [garment for garment in garments if position(f"pair {garment.pair}", seed) < val_share]
    role_of = _roles(val)
    return [
        PlacedGarment(garment, "val", role_of[garment.image_id])
        if garment.image_id in role_of
        else PlacedGarment(garment, "train", "train")
        for garment in garments
    ]


def _place_test(root: Path, garments: Sequence[AnnotatedGarment]) -> list[PlacedGarment]:
    listed = read_listed(root, garments)
    if listed is None:
        role_of = _roles(garments)
    else:
        role_of = {image_id: role for role, chosen in listed.items() for image_id in chosen}
    return [PlacedGarment(garment, "test", role_of.get(garment.image_id)) for garment in garments]


def _roles(garments: Sequence[AnnotatedGarment]) -> dict[str, str | None]:
    """Image id -> role in a split that asks and answers."""
    offered = {garment.item_id for garment in garments if garment.domain == "shop"}

    def role(garment: AnnotatedGarment) -> str | None:
        if garment.domain == "shop":
            return "gallery"
        return "query" if garment.item_id in offered else None

    return {garment.image_id: role(garment) for garment in garments}


SOURCE = Source(params=Deepfashion2, rows=rows)
