"""The frame that the rules for relations look at: what the images are to each other, one line per image.

What takes rows out is settled in steps - copies in a later split, one file under two labels, near copies in a later
split, queries without an answer - and each step looks only at what the steps before it left. So a fault has one
reason, and a query that loses its gallery photo is found.

The *label* is what makes two images count as the same under the protocol: the item, or the category.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from croquis.catalog.table import SPLITS
from croquis.evaluation.protocol import GALLERY_DOMAIN, Protocol
from croquis.params.data_blocks import Validate
from croquis.validation.fingerprints import as_thumbnails
from croquis.validation.measure import Measured
from croquis.validation.near_duplicates import CopyPairs, Numbers, near_pairs

LABELS = {"item": "item_id", "category": "category"}


class PictureComparison:
    """What the pictures look like, and what of it counts.

    Args:
        measured: of every row of the catalogue, by row number.
        settings: radius and tolerance of the near-duplicate search.
        protocol: what counts as the same, and whom a query searches.
    """

    def __init__(self, measured: Sequence[Measured], settings: Validate, protocol: Protocol) -> None:
        self.protocol = protocol
        self.label = LABELS[protocol.relevance]
        self._measured, self._settings = measured, settings
        self._pairs: CopyPairs | None = None

    def pairs(self, rows: pd.DataFrame) -> CopyPairs:
        """Near copies among `rows`, as row numbers. Searched once: later calls must ask for some of the first rows."""
        if self._pairs is None:
            self._pairs = self._search(rows)
        here = np.isin(self._pairs.first, rows.index) & np.isin(self._pairs.second, rows.index)
        return self._pairs.where(here)

    def _search(self, rows: pd.DataFrame) -> CopyPairs:
        # Later splits first: they are the ones that must stand for a hash that very many pictures share.
        numbers = rows.index.to_numpy()[np.argsort(-ranks(rows), kind="stable")]
        found = [self._measured[row] for row in numbers]
        codes, mirrored = (np.array([getattr(m, name) for m in found], np.uint64) for name in ("phash", "mirror_phash"))
        thumbnails = as_thumbnails([m.thumbnail or b"" for m in found])
        bits, tolerance = self._settings.near_duplicate_bits, self._settings.near_duplicate_difference
        return near_pairs(codes, mirrored, thumbnails, bits, tolerance).renumbered(numbers)


Step = Callable[[pd.DataFrame, PictureComparison], pd.Series]


def relation_frame(images: pd.DataFrame, sight: PictureComparison, off: Collection[str] = ()) -> pd.DataFrame:
    """What can be said of the images among each other.

    Args:
        images: of `croquis.validation.image_columns.image_columns`, the rows that passed every rule of their own.
        sight: what to compare, and how.
        off: columns that are left empty, for their rules are switched off and may take no row out.
    """
    frame, left = images.copy(), images
    frame["split_conflict"] = _split_conflicts(images)
    for name, step in STEPS.items():
        texts = (_nothing if name in off else step)(left, sight)
        frame[name] = texts.reindex(frame.index)
        left = left[texts.isna()]
    frame["near_label"] = (_nothing if "near_label" in off else near_labels)(left, sight).reindex(frame.index)
    return frame


def _column(rows: pd.DataFrame, values: Iterable[str | None]) -> pd.Series:
    return pd.Series(list(values), index=rows.index, dtype=object)


def _nothing(rows: pd.DataFrame, _: PictureComparison) -> pd.Series:
    return pd.Series(None, index=rows.index, dtype=object)


def _split_conflicts(rows: pd.DataFrame) -> pd.Series:
    """Items with photos in more than one split."""
    held: dict[str, set[str]] = {}
    for item, split in zip(rows["item_id"], rows["split"], strict=True):
        held.setdefault(item, set()).add(split)
    texts = {
        item: f"item {item} is in {' and '.join(sorted(splits))}" for item, splits in held.items() if len(splits) > 1
    }
    return _column(rows, (texts.get(item) for item in rows["item_id"]))


def ranks(rows: pd.DataFrame) -> Numbers:
    """0 for train, 1 for val, 2 for test; (rows,)."""
    return rows["split"].map(SPLITS.index).to_numpy(dtype=np.int64)


def later_copies(rows: pd.DataFrame, _: PictureComparison) -> pd.Series:
    """Copies, byte for byte, of a photo in a later split: out of train for val, out of both for test."""
    rank = ranks(rows)
    ordered = rows.assign(rank=rank).sort_values("rank", ascending=False, kind="stable")
    columns = ordered.drop_duplicates("sha256")[["sha256", "image_id", "split", "rank"]]
    last = {digest: tuple(copy) for digest, *copy in columns.itertuples(index=False)}
    texts = []
    for digest, own in zip(rows["sha256"], rank, strict=True):
        image, split, latest = last[digest]
        texts.append(f"same bytes as {image} in {split}" if latest > own else None)
    return _column(rows, texts)


def shared_photos(rows: pd.DataFrame, sight: PictureComparison) -> pd.Series:
    """One file, with the same box if any, under two labels."""
    label = sight.label
    held: dict[str, list[tuple[str, str]]] = {}
    once = rows.drop_duplicates(["picture", label])[["picture", "image_id", label]]
    for picture, image, own in once.itertuples(index=False):
        held.setdefault(picture, []).append((image, own))
    texts = []
    for picture, own in zip(rows["picture"], rows[label], strict=True):
        others = (f"same bytes as {image} ({label} {other})" for image, other in held[picture] if other != own)
        texts.append(next(others, None))
    return _column(rows, texts)


def later_near_copies(rows: pd.DataFrame, sight: PictureComparison) -> pd.Series:
    """Photos of which a later split holds a re-encoded, resized or mirrored copy."""
    pairs, rank = sight.pairs(rows), pd.Series(ranks(rows), index=rows.index)
    later = rank.reindex(pairs.second).to_numpy() > rank.reindex(pairs.first).to_numpy()
    return _closest(rows, pairs.where(later), "split")


def near_labels(rows: pd.DataFrame, sight: PictureComparison) -> pd.Series:
    """Photos that are near copies of another file in the same split under another label."""
    pairs = sight.pairs(rows)
    same = {name: _same(rows[name], pairs) for name in ("split", "sha256", sight.label)}
    return _closest(rows, pairs.where(same["split"] & ~same["sha256"] & ~same[sight.label]), sight.label)


def _same(values: pd.Series, pairs: CopyPairs) -> npt.NDArray[np.bool_]:
    first, second = (values.reindex(rows).to_numpy() for rows in (pairs.first, pairs.second))
    return np.asarray(first == second, dtype=np.bool_)


def _closest(rows: pd.DataFrame, pairs: CopyPairs, column: str) -> pd.Series:
    """A text for each row that is the first of a pair, about the closest second."""
    firsts, at = np.unique(pairs.first, return_index=True)
    names, values = (rows[name].reindex(pairs.second[at]) for name in ("image_id", column))
    texts = []
    for place, name, value in zip(at, names, values, strict=True):
        turned = ", mirrored" if pairs.mirrored[place] else ""
        apart = f"{pairs.bits[place]} bits and {pairs.difference[place]:.3f} apart{turned}"
        texts.append(f"looks like {name} ({column} {value}), {apart}")
    return pd.Series(texts, index=firsts, dtype=object).reindex(rows.index)


def missing_gallery(rows: pd.DataFrame, sight: PictureComparison) -> pd.Series:
    """Queries whose label has no photo, other than the query's own file and box, among what they search."""
    pictures = _offered_pictures(rows, sight)
    texts = []
    for name, split, role, picture in rows[[sight.label, "split", "role", "picture"]].itertuples(index=False):
        gallery = "train" if sight.protocol.gallery == "train" else split
        answered = role != "query" or bool(pictures.get((name, gallery), set()) - {picture})
        none = f"{sight.label} {name} has no other {GALLERY_DOMAIN} photo in the gallery of {gallery}"
        texts.append(None if answered else none)
    return _column(rows, texts)


def _offered_pictures(rows: pd.DataFrame, sight: PictureComparison) -> dict[tuple[str, str], set[str]]:
    """(label, split whose gallery it is) -> the photos, as `croquis.evaluation.protocol.open_gallery` picks them."""
    role = "train" if sight.protocol.gallery == "train" else "gallery"
    offered = rows[(rows["role"] == role) & (rows["domain"] == GALLERY_DOMAIN)]
    pictures: dict[tuple[str, str], set[str]] = {}
    columns = [sight.label, "split", "also_gallery_of", "picture"]
    for name, split, other, picture in offered[columns].itertuples(index=False):
        for gallery in (split, other):
            pictures.setdefault((name, gallery), set()).add(picture)
    return pictures


STEPS: dict[str, Step] = {
    "later_copy": later_copies,
    "shared_photo": shared_photos,
    "near_later": later_near_copies,
    "gallery_problem": missing_gallery,
}
