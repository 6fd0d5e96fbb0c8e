"""DeepFashion Consumer-to-shop Clothes Retrieval (Liu et al., CVPR 2016), the official split.

Below `ingest.deepfashion_c2s.root`: `Eval/list_eval_partition.txt`, one row per pair of a consumer and a shop photo; the
photos in `img/` (or `img_highres/`; also below `Img/`), and in `Anno/`, where present, boxes, landmarks, the item list
and attributes. A photo is in many pairs and becomes one row. In val and test consumer photos are queries and shop photos
gallery. The official texts differ on what test queries search: the shop photos of test, or those of val and test; with
`gallery: val+test` the shop photos of val stay in val and are distractors of the test gallery besides.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from croquis.formats.deepfashion.annotation_lines import AnnotationLine, read_lines
from croquis.formats.deepfashion.benchmark_files import check_counts, check_items, find_photos, photo_parts
from croquis.formats.deepfashion.c2s_attributes import read_attributes
from croquis.formats.deepfashion.regions import Box, LargePhoto, read_boxes, read_landmarks
from croquis.formats.errors import refuse
from croquis.params.block import Block
from croquis.sources import Source


class DeepfashionC2s(Block):
    """DeepFashion Consumer-to-shop Clothes Retrieval, the official split."""

    root: str
    gallery: Literal["test", "val+test"] = Field(
        description="shop photos that test queries search; the official texts disagree, and val+test is the harder one"
    )
    high_resolution: bool


STATUSES = ("train", "val", "test")
SOURCE_TYPES = {"shop": 1, "consumer": 2}
OFFICIAL_PAIRS = 195_540
OFFICIAL_COUNTS = {"photos with a box": 239_557, "listed items": 33_881, "attributes": 303}
LONG_SIDE = 300
"""Boxes and landmarks refer to photos whose longer side is 300 pixels."""
RENAMED = ("CLOTHING/Summer_Wear", "CLOTHING/Summer_Suit")
"""A folder as the annotations call it, and as the archive of large photos does."""


@dataclass(frozen=True, slots=True)
class C2sPhoto:
    """One side of a pair."""

    name: str
    item_id: str
    domain: str
    split: str
    category: str

    @property
    def role(self) -> str:
        """In its split: `train`; in val and test shop photos are the gallery, consumer photos the queries."""
        if self.split == "train":
            return "train"
        return "gallery" if self.domain == "shop" else "query"


def rows(block: DeepfashionC2s, seed: int) -> Iterator[dict[str, Any]]:  # noqa: ARG001 (the split is the official one)
    """Catalogue rows in the order in which the pairs first name them; image bytes are read one at a time.

    Raises:
        SourceError: before any image is read, when an annotation file is missing, cut off or contradicts itself.
    """
    root = Path(block.root)
    partition = root / "Eval/list_eval_partition.txt"
    lines = read_lines(partition)
    photos = _read_pairs(partition, lines)
    listed_items = _check_items(root / "Anno", photos)
    boxes = read_boxes(root / "Anno/list_bbox_consumer2shop.txt", types=2)
    _check_sources(root / "Anno/list_bbox_consumer2shop.txt", photos, boxes)
    landmarks = read_landmarks(root / "Anno/list_landmarks_consumer2shop.txt")
    attributes = read_attributes(root / "Anno")
    if len(lines) == OFFICIAL_PAIRS:
        found = {
            "photos with a box": len(boxes) or None,
            "listed items": listed_items,
            "attributes": attributes.names,
        }
        check_counts(str(partition), found, OFFICIAL_COUNTS)
    for photo, file in zip(photos, _files(root, block.high_resolution, photos), strict=True):
        image = file.read_bytes()
        box, points = boxes.get(photo.name), landmarks.get(photo.name)
        large = LargePhoto.of_long_side(image, LONG_SIDE) if block.high_resolution else None
        distracts = block.gallery == "val+test" and photo.split == "val" and photo.role == "gallery"
        yield {
            "image_id": photo.name,
            "item_id": photo.item_id,
            "domain": photo.domain,
            "split": photo.split,
            "role": photo.role,
            "category": photo.category,
            "view": None,
            "attributes": attributes.items.has.get(photo.item_id, []),
            "unknown_attributes": attributes.items.unknown.get(photo.item_id),
            "bbox": large.box(box.corners) if box and large else box and box.corners,
            "landmarks": large.landmarks(points) if points and large else points,
            "also_gallery_of": "test" if distracts else None,
            "image": image,
        }


def _read_pairs(path: Path, lines: Sequence[AnnotationLine]) -> list[C2sPhoto]:
    """Every photo once; one that two pairs tell different things of is refused."""
    photos: dict[str, C2sPhoto] = {}
    problems = []
    for line in lines:
        for photo in _pair(line):
            first = photos.setdefault(photo.name, photo)
            if first != photo:
                was, now = (f"{each.domain} photo of {each.item_id} in {each.split}" for each in (first, photo))
                problems.append(f"line {line.number}: {photo.name} is a {now}, an earlier line has it as a {was}")
    refuse(str(path), problems)
    return list(photos.values())


def _pair(line: AnnotationLine) -> tuple[C2sPhoto, C2sPhoto]:
    """`img/DRESSES/Dress/id_00000001/comsumer_01.jpg img/.../shop_01.jpg id_00000001 train` as two photos.

    The column says which photo is the consumer's; the misspelt file name is not looked at.
    """
    consumer, shop, item_id, status = line.fields(4)
    if status not in STATUSES:
        raise line.error(f"has the status {status!r}, which is none of {', '.join(STATUSES)}")
    return _photo(line, consumer, "consumer", item_id, status), _photo(line, shop, "shop", item_id, status)


def _photo(line: AnnotationLine, name: str, domain: str, item_id: str, status: str) -> C2sPhoto:
    _img, _kind, category, folder, _file = photo_parts(line, name, "img/KIND/CATEGORY/ITEM/FILE")
    if folder != item_id:
        raise line.error(f"has the item {item_id}, but the photo {name} lies in the folder {folder}")
    return C2sPhoto(name, item_id, domain, status, category)


def _check_items(folder: Path, photos: Sequence[C2sPhoto]) -> int | None:
    """The list's name is spelt in two ways, by the release and by its own description."""
    names = ("list_item_consumer2shop.txt", "list_items_consumer2shop.txt")
    path = next((folder / name for name in names if (folder / name).is_file()), folder / names[0])
    return check_items(path, (photo.item_id for photo in photos))


def _check_sources(path: Path, photos: Sequence[C2sPhoto], boxes: Mapping[str, Box]) -> None:
    """The box file says too whether a photo is the shop's; where it disagrees, one of the two files is wrong."""
    refuse(
        str(path),
        [
            f"{photo.name} has the source type {box.types[1]}, the pairs have it as a {photo.domain} photo "
            f"({SOURCE_TYPES[photo.domain]})"
            for photo in photos
            if (box := boxes.get(photo.name)) and box.types[1] != SOURCE_TYPES[photo.domain]
        ],
    )


def _files(root: Path, high_resolution: bool, photos: Sequence[C2sPhoto]) -> list[Path]:
    folder = "img_highres" if high_resolution else "img"
    names = [photo.name for photo in photos]
    annotated, archived = RENAMED
    bases = (root / folder, root / "Img" / folder)
    if any((base / archived).is_dir() and not (base / annotated).is_dir() for base in bases):
        names = [name.replace(f"img/{annotated}/", f"img/{archived}/", 1) for name in names]
    return find_photos(root, folder, names)


SOURCE = Source(params=DeepfashionC2s, rows=rows)
