"""DeepFashion In-shop Clothes Retrieval (Liu et al., CVPR 2016), the official split.

Below `ingest.deepfashion_inshop.root`: `Eval/list_eval_partition.txt`, the photos in `img/` (or `img_highres/`; also
below `Img/`), and in `Anno/`, where present, boxes, the item list and attributes. Official query and gallery photos
are `test`. The official train items lend `val_share` of themselves to `val`; there about half of an item's photos,
front views first, are `gallery` and the rest `query`; the photo of a single-photo item is a gallery distractor.
"""

from __future__ import annotations

import io
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image

from params.data import DeepfashionInshop
from sources.annotations import Line, read_lines
from sources.errors import SourceError, refuse
from sources.inshop_attributes import read_attributes
from sources.splits import position

STATUSES = ("train", "query", "gallery")
OFFICIAL_IMAGES = 52_712
OFFICIAL_COUNTS = {"train": 25_882, "query": 14_218, "gallery": 12_612}
OFFICIAL_ITEMS = {"train": 3_997, "test": 3_985}
BOX_FRAME = 256
"""Boxes refer to photos that were shrunk to fit 256 x 256 pixels and centred."""


@dataclass(frozen=True)
class Photo:
    """One row of the partition file; `series` numbers the item's colour variants."""

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
    photos = _carve_val(_read_partition(root / "Eval/list_eval_partition.txt"), block.val_share, seed)
    _check_items(root / "Anno/list_item_inshop.txt", photos)
    boxes = _read_boxes(root / "Anno/list_bbox_inshop.txt")
    attributes = read_attributes(root / "Anno")
    files = _find_files(root, "img_highres" if block.high_resolution else "img", photos)
    for photo, file in zip(photos, files, strict=True):
        image = file.read_bytes()
        box = boxes.get(photo.name)
        yield {
            "image_id": photo.name,
            "item_id": photo.item_id,
            "domain": "shop",
            "split": photo.split,
            "role": photo.role,
            "category": photo.category,
            "view": photo.view,
            "attributes": attributes.of(photo.name, photo.item_id),
            "bbox": _to_high_resolution(box, image) if box and block.high_resolution else box,
            "image": image,
        }


def _read_partition(path: Path) -> list[Photo]:
    lines = read_lines(path)
    photos = [_photo(line) for line in lines]
    repeated = [name for name, count in Counter(photo.name for photo in photos).items() if count > 1]
    refuse(str(path), [f"{name} is listed more than once" for name in repeated])
    if len(photos) == OFFICIAL_IMAGES:
        _check_official(path, photos)
    return photos


def _photo(line: Line) -> Photo:
    """`img/WOMEN/Dresses/id_00000002/02_1_front.jpg id_00000002 train` as a Photo."""
    name, item_id, status = line.fields(3)
    parts = PurePosixPath(name).parts
    if len(parts) != 5 or parts[0] != "img" or ".." in parts:
        raise line.error("holds a path that is not img/GENDER/CATEGORY/ITEM/FILE")
    if status not in STATUSES:
        raise line.error(f"has the status {status!r}, which is none of {', '.join(STATUSES)}")
    split = "train" if status == "train" else "test"
    return Photo(name, item_id, split, status, parts[2], _view(parts[4]))


def _view(file: str) -> str | None:
    """`front` of `02_1_front.jpg` and `additional` of `01_7_additional_2.jpg`."""
    parts = PurePosixPath(file).stem.split("_")
    return next((part for part in parts[2:] if not part.isdigit()), None)


def _check_official(path: Path, photos: Sequence[Photo]) -> None:
    counts = dict(Counter(photo.role for photo in photos))
    items = {split: len({photo.item_id for photo in photos if photo.split == split}) for split in OFFICIAL_ITEMS}
    if counts != OFFICIAL_COUNTS or items != OFFICIAL_ITEMS:
        found = f"{counts} photos and {items} items"
        raise SourceError(
            f"{path}: {found}, the official split has {OFFICIAL_COUNTS} and {OFFICIAL_ITEMS}; fetch it again"
        )


def _check_items(path: Path, photos: Sequence[Photo]) -> None:
    if not path.is_file():
        return
    known = {line.fields(1)[0] for line in read_lines(path, header=False)}
    unknown = sorted({photo.item_id for photo in photos} - known)
    refuse(str(path), [f"item {item} of the partition file is not listed" for item in unknown])


def _read_boxes(path: Path) -> dict[str, list[int]]:
    if not path.is_file():
        return {}
    boxes = {}
    for line in read_lines(path):
        name, _clothes_type, _pose_type, *corners = line.fields(7)
        boxes[name] = [line.integer(corner) for corner in corners]
    return boxes


def _to_high_resolution(box: Sequence[int], image: bytes) -> list[int]:
    """The box in pixels of the large photo; the small one is the large one shrunk to fit 256 x 256 and centred.

    A photo that cannot be opened keeps the box as it is: validation sets such a photo aside.
    """
    try:
        with Image.open(io.BytesIO(image)) as photo:
            width, height = photo.size
    except (OSError, Image.DecompressionBombError):
        return list(box)
    scale = max(width, height) / BOX_FRAME
    margins = ((BOX_FRAME - width / scale) / 2, (BOX_FRAME - height / scale) / 2) * 2
    limits = (width, height, width, height)
    scaled = (round((edge - margin) * scale) for edge, margin in zip(box, margins, strict=True))
    return [min(max(edge, 0), limit) for edge, limit in zip(scaled, limits, strict=True)]


def _find_files(root: Path, folder: str, photos: Sequence[Photo]) -> list[Path]:
    bases = [base for base in (root / folder, root / "Img" / folder) if base.is_dir()]
    if not bases:
        raise SourceError(f"{root / folder} does not exist; unpack the photos there (also looked in {root / 'Img'})")
    files = [bases[0].joinpath(*PurePosixPath(photo.name).parts[1:]) for photo in photos]
    missing = [f"{file} does not exist; unpack the archive again" for file in files if not file.is_file()]
    refuse(str(bases[0]), missing)
    return files


def _carve_val(photos: Sequence[Photo], share: float, seed: int) -> list[Photo]:
    """Moves about `share` of the official train items to val, chosen by a seeded hash of the item."""
    of_item: dict[str, list[Photo]] = defaultdict(list)
    for photo in photos:
        if photo.split == "train" and position(photo.item_id, seed) < share:
            of_item[photo.item_id].append(photo)
    moved = {photo.name: photo for chosen in of_item.values() for photo in _val_roles(chosen)}
    return [moved.get(photo.name, photo) for photo in photos]


def _val_roles(photos: Sequence[Photo]) -> list[Photo]:
    """Half of an item's photos (at least one) as gallery, front views first, then by name; the rest as queries."""
    ordered = sorted(photos, key=lambda photo: (photo.view != "front", photo.name))
    gallery = max(1, len(ordered) // 2)
    return [
        replace(photo, split="val", role="gallery" if place < gallery else "query")
        for place, photo in enumerate(ordered)
    ]
