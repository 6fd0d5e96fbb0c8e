"""DeepFashion In-shop Clothes Retrieval (Liu et al., CVPR 2016), the official split.

Below `ingest.deepfashion_inshop.root`: `Eval/list_eval_partition.txt`, the photos in `img/` (or `img_highres/`; also
below `Img/`), and in `Anno/`, where present, boxes, landmarks, the item list and attributes. Official query and gallery
photos are `test`. The official train items lend `val_share` of themselves to `val`; there about half of an item's photos,
front views first, are `gallery` and the rest `query`; the photo of a single-photo item is a gallery distractor.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import Field

from croquis.formats.deepfashion.annotation_lines import AnnotationLine, read_lines
from croquis.formats.deepfashion.benchmark_files import check_counts, check_items, find_photos, photo_parts
from croquis.formats.deepfashion.inshop_attributes import read_attributes
from croquis.formats.deepfashion.regions import LargePhoto, read_boxes, read_landmarks
from croquis.formats.errors import refuse
from croquis.formats.tables.hashed_split import position
from croquis.params.block import Block
from croquis.sources import Source


class DeepfashionInshop(Block):
    """DeepFashion In-shop Clothes Retrieval, the official split."""

    root: str
    val_share: float = Field(gt=0.0, lt=0.5, description="share of the official train items held out as val")
    high_resolution: bool


STATUSES = ("train", "query", "gallery")
OFFICIAL_IMAGES = 52_712
OFFICIAL_COUNTS = {
    "train photos": 25_882,
    "query photos": 14_218,
    "gallery photos": 12_612,
    "train items": 3_997,
    "test items": 3_985,
    "listed items": 7_982,
    "attributes": 463,
}
PHOTO_SIDE = 256
"""Boxes and landmarks refer to photos that were shrunk to fit 256 x 256 pixels and centred."""


@dataclass(frozen=True)
class InshopPhoto:
    """One row of the partition file."""

    name: str
    item_id: str
    split: str
    role: str
    category: str
    view: str | None


def rows(block: DeepfashionInshop, seed: int) -> Iterator[dict[str, Any]]:
    """Catalogue rows in the order of the partition file; image bytes are read one at a time.

    Raises:
        SourceError: before any image is read, when an annotation file is missing, cut off or contradicts itself.
    """
    root = Path(block.root)
    official = _read_partition(root / "Eval/list_eval_partition.txt")
    listed_items = check_items(root / "Anno/list_item_inshop.txt", (photo.item_id for photo in official))
    boxes = read_boxes(root / "Anno/list_bbox_inshop.txt", types=2)
    landmarks = read_landmarks(root / "Anno/list_landmarks_inshop.txt")
    attributes = read_attributes(root / "Anno")
    if len(official) == OFFICIAL_IMAGES:
        found = _counts(official) | {"listed items": listed_items, "attributes": attributes.names}
        check_counts(f"{root}/Eval/list_eval_partition.txt", found, OFFICIAL_COUNTS)
    photos = _carve_val(official, block.val_share, seed)
    files = find_photos(root, "img_highres" if block.high_resolution else "img", [photo.name for photo in photos])
    for photo, file in zip(photos, files, strict=True):
        image = file.read_bytes()
        box, points = boxes.get(photo.name), landmarks.get(photo.name)
        large = LargePhoto.of_square(image, PHOTO_SIDE) if block.high_resolution else None
        yield {
            "image_id": photo.name,
            "item_id": photo.item_id,
            "domain": "shop",
            "split": photo.split,
            "role": photo.role,
            "category": photo.category,
            "view": photo.view,
            "attributes": attributes.of(photo.name, photo.item_id),
            "unknown_attributes": attributes.items.unknown.get(photo.item_id),
            "bbox": large.box(box.corners) if box and large else box and box.corners,
            "landmarks": large.landmarks(points) if points and large else points,
            "image": image,
        }


def _read_partition(path: Path) -> list[InshopPhoto]:
    photos = [_photo(line) for line in read_lines(path)]
    repeated = [name for name, count in Counter(photo.name for photo in photos).items() if count > 1]
    refuse(str(path), [f"{name} is listed more than once" for name in repeated])
    return photos


def _photo(line: AnnotationLine) -> InshopPhoto:
    """`img/WOMEN/Dresses/id_00000002/02_1_front.jpg id_00000002 train` as a Photo."""
    name, item_id, status = line.fields(3)
    _img, _gender, category, folder, file = photo_parts(line, name, "img/GENDER/CATEGORY/ITEM/FILE")
    if folder != item_id:
        raise line.error(f"has the item {item_id}, but the photo lies in the folder {folder}")
    if status not in STATUSES:
        raise line.error(f"has the status {status!r}, which is none of {', '.join(STATUSES)}")
    return InshopPhoto(name, item_id, "train" if status == "train" else "test", status, category, _view(file))


def _view(file: str) -> str | None:
    """`front` of `02_1_front.jpg` and `additional` of `01_7_additional_2.jpg`."""
    parts = PurePosixPath(file).stem.split("_")
    return next((part for part in parts[2:] if not part.isdigit()), None)


def _counts(photos: Sequence[InshopPhoto]) -> dict[str, int | None]:
    roles = Counter(photo.role for photo in photos)
    items = {split: len({photo.item_id for photo in photos if photo.split == split}) for split in ("train", "test")}
    counts: dict[str, int | None] = {f"{role} photos": roles[role] for role in STATUSES}
    return counts | {f"{split} items": count for split, count in items.items()}


def _carve_val(photos: Sequence[InshopPhoto], share: float, seed: int) -> list[InshopPhoto]:
    """Moves about `share` of the official train items to val, chosen by a seeded hash of the item."""
    of_item: dict[str, list[InshopPhoto]] = defaultdict(list)
    for photo in photos:
        if photo.split == "train" and position(photo.item_id, seed) < share:
            of_item[photo.item_id].append(photo)
    moved = {photo.name: photo for chosen in of_item.values() for photo in _val_roles(chosen)}
    return [moved.get(photo.name, photo) for photo in photos]


def _val_roles(photos: Sequence[InshopPhoto]) -> list[InshopPhoto]:
    """Half of an item's photos (at least one) as gallery, front views first, then by name; the rest as queries."""
    ordered = sorted(photos, key=lambda photo: (photo.view != "front", photo.name))
    gallery = max(1, len(ordered) // 2)
    return [
        replace(photo, split="val", role="gallery" if place < gallery else "query")
        for place, photo in enumerate(ordered)
    ]


SOURCE = Source(params=DeepfashionInshop, rows=rows)
