"""Attributes and categories as distributions: how many items of each split hold them, and how far the splits differ.

Shares count items, not images, for an item's photos share their labels; under a category protocol every image is an
item of its own. A split of a few items differs from train by chance alone, so both measures of difference are corrected
for what chance gives.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from croquis.arrays import Floats
from croquis.catalog.table import SPLITS, Catalog

STANDARD_ERRORS = 3


def attribute_table(catalog: Catalog) -> pd.DataFrame:
    """One line per image and attribute that it has: `row` (number in the catalogue) and `attribute`."""
    lists = catalog.table.column("attributes").combine_chunks()
    flat = lists if isinstance(lists, pa.Array) else pa.concat_arrays(lists.chunks)
    values = pc.list_flatten(flat).fill_null("").dictionary_encode()
    names = np.array(values.dictionary.to_pylist(), dtype=object)
    codes = values.indices.to_numpy(zero_copy_only=False)
    labels = pd.Categorical.from_codes(codes.astype(np.int64), categories=pd.Index(names, dtype=object))
    return pd.DataFrame({"row": pc.list_parent_indices(flat).to_numpy(zero_copy_only=False), "attribute": labels})


def attribute_frame(rows: pd.DataFrame, attributes: pd.DataFrame) -> pd.DataFrame:
    """One line per attribute: `attribute`, the share of items that hold it in `train`, `val` and `test`, and `shift`.

    `shift` is the largest distance of the val or test share from that of train, less `STANDARD_ERRORS` standard errors
    of a difference of two shares; 0 at least.

    Args:
        rows: `item_id` and `split` of the rows that count, indexed by their row numbers.
        attributes: of `attribute_table`.
    """
    items = _items(rows)
    held = attributes.merge(rows[["item_id", "split"]], left_on="row", right_index=True)
    held = held.drop_duplicates(["item_id", "split", "attribute"])
    counts = pd.crosstab(held["attribute"].astype(str), held["split"]).reindex(columns=SPLITS, fill_value=0)
    shares = counts / items.replace(0, 1)
    shifts = [_shift(counts["train"], counts[split], items["train"], items[split]) for split in SPLITS[1:]]
    frame = shares.assign(shift=np.max(shifts, axis=0) if len(counts) else np.zeros(0))
    return frame.rename_axis("attribute").reset_index()


def _items(rows: pd.DataFrame) -> pd.Series:
    """Different items per split, 0 included."""
    return rows.groupby("split")["item_id"].nunique().reindex(list(SPLITS), fill_value=0)


def _shift(train: pd.Series, other: pd.Series, trained: int, others: int) -> Floats:
    if not trained or not others:
        return np.zeros(len(train))
    pooled = (train + other) / (trained + others)
    error = np.sqrt(pooled * (1 - pooled) * (1 / trained + 1 / others))
    apart = (train / trained - other / others).abs()
    return np.asarray(np.maximum(apart - STANDARD_ERRORS * error, 0.0), dtype=np.float64)


def split_frame(rows: pd.DataFrame) -> pd.DataFrame:
    """One line for val and one for test: `split`, `distance`, `chance` and `drift` of the categories against train.

    `distance` is the total variation distance between the category shares, half the sum of their absolute differences:
    0 equal, 1 disjoint. `chance` is what it would be on average were the items of both splits drawn alike (the mean
    absolute value of a normal variable is sqrt(2 / pi) of its standard deviation). `drift` is what remains, 0 at least.

    Args:
        rows: `item_id`, `split` and `category` of the rows that count.
    """
    counts = pd.crosstab(*_distinct(rows)).reindex(columns=SPLITS, fill_value=0)
    lines = [(split, *_variation(counts["train"], counts[split])) for split in SPLITS[1:]]
    frame = pd.DataFrame(lines, columns=["split", "distance", "chance"])
    return frame.assign(drift=(frame["distance"] - frame["chance"]).clip(lower=0.0))


def _distinct(rows: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    items = rows[["item_id", "split", "category"]].drop_duplicates()
    return items["category"], items["split"]


def _variation(train: pd.Series, other: pd.Series) -> tuple[float, float]:
    trained, others = int(train.sum()), int(other.sum())
    if not trained or not others:
        return 0.0, 0.0
    distance = (train / trained - other / others).abs().sum() / 2
    pooled = (train + other) / (trained + others)
    spread = np.sqrt(pooled * (1 - pooled) * (1 / trained + 1 / others))
    return float(distance), float(np.sqrt(2 / np.pi) * spread.sum() / 2)
