"""The frame that the rules look at: metadata and measurements, one line per image, indexed by row number.

Columns that end in `_problem` or tell of a relation hold a text where something is wrong and None where nothing is, so
that a rule reads "must be null" and the text becomes the row's reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from retrieval.catalog import ROLES, SPLITS, Catalog
from validation.measure import Measured
from validation.near_duplicates import unlike_twins

COPIED = ("image_id", "item_id", "domain", "split", "role", "category")
MEASURED = ("width", "height", "decode_problem", "size_problem", "sha256", "phash", "mirror_phash")


def image_frame(catalog: Catalog, measured: Sequence[Measured]) -> pd.DataFrame:
    """What can be said of each image on its own."""
    columns: dict[str, Any] = {name: catalog.column(name) for name in COPIED}
    columns |= {name: pd.Series([getattr(m, name) for m in measured], dtype=object) for name in MEASURED}
    frame = pd.DataFrame(columns)
    sides = frame[["width", "height"]].astype(float)
    frame["short_side"], frame["long_side"] = sides.min(axis=1), sides.max(axis=1)
    frame["role_problem"] = _objects(_role_problem(s, r) for s, r in zip(frame["split"], frame["role"], strict=True))
    boxes = zip(catalog.column("bbox"), frame["width"], frame["height"], strict=True)
    frame["box_problem"] = _objects(_box_problem(box, width, height) for box, width, height in boxes)
    return frame


def _objects(values: Iterable[Any]) -> pd.Series:
    return pd.Series(list(values), dtype=object)


def _role_problem(split: str, role: str) -> str | None:
    if split not in SPLITS or role not in ROLES or (role == "train") == (split == "train"):
        return None
    return f"{role} in split {split}"


def _box_problem(box: Sequence[int] | None, width: int | None, height: int | None) -> str | None:
    if box is None or width is None or height is None:
        return None
    inside = len(box) == 4 and 0 <= box[0] < box[2] <= width and 0 <= box[1] < box[3] <= height
    return None if inside else f"{list(box)} in an image of {width} x {height}"


def relation_frame(images: pd.DataFrame, near_duplicate_bits: int) -> pd.DataFrame:
    """What can be said of the images among each other; `images` are the rows that passed every rule of their own."""
    frame = images.copy()
    frame["split_conflict"] = _split_conflicts(frame)
    frame["later_copy"] = _later_copies(frame)
    frame["gallery_problem"] = _missing_gallery(frame)
    kept = frame["later_copy"].isna() & frame["gallery_problem"].isna()
    frame["query_split"] = frame["split"].where(kept & (frame["role"] == "query"))
    frame["shared_photo"] = _shared_photos(frame)
    frame["near_item"] = _near_duplicates(frame, "item_id", near_duplicate_bits)
    frame["near_split"] = _near_duplicates(frame, "split", near_duplicate_bits)
    lone = (frame["split"] == "train") & (frame.groupby(["item_id", "split"])["image_id"].transform("size") == 1)
    frame["lone_train_photo"] = _column(frame, ("the item's only photo" if only else None for only in lone))
    return frame


def _column(frame: pd.DataFrame, values: Iterable[Any]) -> pd.Series:
    return pd.Series(list(values), index=frame.index, dtype=object)


def _split_conflicts(frame: pd.DataFrame) -> pd.Series:
    """Items with photos in more than one split."""
    held: dict[str, set[str]] = {}
    for item, split in zip(frame["item_id"], frame["split"], strict=True):
        held.setdefault(item, set()).add(split)
    texts = {
        item: f"item {item} is in {' and '.join(sorted(splits))}" for item, splits in held.items() if len(splits) > 1
    }
    return _column(frame, (texts.get(item) for item in frame["item_id"]))


def _later_copies(frame: pd.DataFrame) -> pd.Series:
    """Copies, byte for byte, of a photo in a later split: out of train for val, out of both for test."""
    rank = frame["split"].map(SPLITS.index)
    ordered = frame.assign(rank=rank).sort_values("rank", ascending=False, kind="stable")
    columns = ordered.drop_duplicates("sha256")[["sha256", "image_id", "split", "rank"]]
    last = {digest: tuple(copy) for digest, *copy in columns.itertuples(index=False)}
    texts = []
    for digest, own in zip(frame["sha256"], rank, strict=True):
        image, split, latest = last[digest]
        texts.append(f"same bytes as {image} in {split}" if latest > own else None)
    return _column(frame, texts)


def _missing_gallery(frame: pd.DataFrame) -> pd.Series:
    """Queries whose item has no shop photo in the gallery of their split, once copies are out."""
    offered = frame[(frame["role"] == "gallery") & (frame["domain"] == "shop") & frame["later_copy"].isna()]
    pairs = set(zip(offered["item_id"], offered["split"], strict=True))
    asks = (frame["role"] == "query") & frame["later_copy"].isna()
    texts = [
        f"item {item} has no shop photo in the gallery of {split}" if asking and (item, split) not in pairs else None
        for item, split, asking in zip(frame["item_id"], frame["split"], asks, strict=True)
    ]
    return _column(frame, texts)


def _shared_photos(frame: pd.DataFrame) -> pd.Series:
    held: dict[str, list[tuple[str, str]]] = {}
    once = frame.drop_duplicates(["sha256", "item_id"])[["sha256", "image_id", "item_id"]]
    for digest, image, item in once.itertuples(index=False):
        held.setdefault(digest, []).append((image, item))
    texts = []
    for digest, own in zip(frame["sha256"], frame["item_id"], strict=True):
        others = (f"same bytes as {image} of item {item}" for image, item in held[digest] if item != own)
        texts.append(next(others, None))
    return _column(frame, texts)


def _near_duplicates(frame: pd.DataFrame, label: str, bits: int) -> pd.Series:
    """Photos that look like a photo of another item, or of another split, mirrored or not."""
    codes, mirrored = (np.array(frame[name].tolist(), dtype=np.uint64) for name in ("phash", "mirror_phash"))
    twins, distances = unlike_twins(codes, mirrored, frame[label].tolist(), bits)
    ids, labels = frame["image_id"].tolist(), frame[label].tolist()
    texts = [
        None if twin < 0 else f"{distance} bits from {ids[twin]} ({label} {labels[twin]})"
        for twin, distance in zip(twins, distances, strict=True)
    ]
    return _column(frame, texts)
