"""DeepFashion Category and Attribute Prediction (Liu et al., CVPR 2016), the official split.

Below `ingest.deepfashion_attributes.root`: the photos in `img/` (also below `Img/`), and the annotations, `coarse` (1,000
attributes of 289,222 images, in `Anno_coarse/` or `Anno/`, split in `Eval/`) or `fine` (26 attributes of 20,000 images, in
`Anno_fine/`). No two images are known to show one garment, so every image is an item of its own, and the set goes with
`base.protocol: category`: photos of val and test are queries, the gallery is the train split.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from croquis.formats.deepfashion.attribute_annotations import Annotations, read_tables
from croquis.formats.deepfashion.benchmark_files import check_counts, find_photos
from croquis.formats.deepfashion.fine_annotations import read_split_files
from croquis.formats.errors import SourceError, refuse
from croquis.params.block import Block
from croquis.sources import Source


class DeepfashionAttributes(Block):
    """DeepFashion Category and Attribute Prediction, the official split."""

    root: str
    annotations: Literal["coarse", "fine"] = Field(description="1,000 attributes of 289,222 images, or 26 of 20,000")
    merge_dresses: bool = Field(description="count Cape, Nightdress, Shirtdress and Sundress as Dress")


OFFICIAL_IMAGES = 289_222
OFFICIAL_COUNTS = {
    "train photos": 209_222,
    "val photos": 40_000,
    "test photos": 40_000,
    "categories": 50,
    "attributes": 1_000,
}
DRESSES = ("Cape", "Nightdress", "Shirtdress", "Sundress")


def rows(block: DeepfashionAttributes, seed: int) -> Iterator[dict[str, Any]]:  # noqa: ARG001 (the split is the official one)
    """Catalogue rows in the order of the partition; image bytes are read one at a time.

    Raises:
        SourceError: before any image is read, when an annotation file is missing, cut off or contradicts itself.
    """
    root = Path(block.root)
    notes = _read(root, block.annotations)
    if block.annotations == "coarse" and len(notes.splits) == OFFICIAL_IMAGES:
        check_counts(f"{root}/Eval/list_eval_partition.txt", _counts(notes), OFFICIAL_COUNTS)
    for name, file in zip(notes.splits, find_photos(root, "img", list(notes.splits)), strict=True):
        category, split = notes.category_names[notes.categories[name] - 1], notes.splits[name]
        yield {
            "image_id": name,
            "item_id": name,
            "domain": "shop",
            "split": split,
            "role": "train" if split == "train" else "query",
            "category": "Dress" if block.merge_dresses and category in DRESSES else category,
            "view": None,
            "attributes": notes.attributes[name],
            "unknown_attributes": notes.unknown.get(name),
            "bbox": notes.boxes.get(name),
            "landmarks": notes.landmarks.get(name),
            "image": file.read_bytes(),
        }


def _read(root: Path, annotations: str) -> Annotations:
    folders = {"coarse": ("Anno_coarse", "Anno"), "fine": ("Anno_fine",)}[annotations]
    folder = next((root / name for name in folders if (root / name).is_dir()), None)
    if folder is None:
        raise SourceError(f"{root} has no {' or '.join(folders)}; unpack the {annotations} annotations there")
    fine = annotations == "fine"
    notes = read_split_files(folder) if fine else read_tables(folder, root / "Eval/list_eval_partition.txt")
    refuse(str(folder), _contradictions(notes))
    return notes


def _contradictions(notes: Annotations) -> list[str]:
    known = len(notes.category_names)
    problems = []
    for name in notes.splits:
        if name not in notes.categories:
            problems.append(f"{name} of the partition has no category")
        elif not 1 <= notes.categories[name] <= known:
            problems.append(f"{name} has the category {notes.categories[name]}, the list knows 1 to {known}")
        if name not in notes.attributes:
            problems.append(f"{name} of the partition has no attributes")
    return problems


def _counts(notes: Annotations) -> dict[str, int | None]:
    splits = Counter(notes.splits.values())
    counts: dict[str, int | None] = {f"{split} photos": splits[split] for split in ("train", "val", "test")}
    return counts | {"categories": len(notes.category_names), "attributes": notes.attribute_count}


SOURCE = Source(params=DeepfashionAttributes, rows=rows)
