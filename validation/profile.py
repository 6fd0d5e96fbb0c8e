"""What a catalogue looks like, in numbers: reported, never judged."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pandas as pd

from retrieval.catalog import SPLITS, Catalog

LISTED_ATTRIBUTES = 1000


def profile(frame: pd.DataFrame, catalog: Catalog) -> dict[str, Any]:
    """Counts, category drift and attribute prevalence of the accepted rows; `frame` is indexed by the catalogue's rows."""
    return {
        "images": _cells(frame),
        "items": {split: int(part["item_id"].nunique()) for split, part in frame.groupby("split")},
        "items_with_n_images": _histogram(frame),
        "categories": {name: _counts(part["split"]) for name, part in frame.groupby("category")},
        "category_drift_from_train": category_drift(frame),
        "attributes": _attributes(frame, catalog),
    }


def category_drift(frame: pd.DataFrame) -> dict[str, float]:
    """Total variation distance between the category shares of train and those of val and test: 0 equal, 1 disjoint."""
    shares = {split: frame.loc[frame["split"] == split, "category"].value_counts(normalize=True) for split in SPLITS}
    return {
        split: round(float(shares["train"].sub(shares[split], fill_value=0.0).abs().sum() / 2), 6)
        for split in SPLITS[1:]
    }


def _cells(frame: pd.DataFrame) -> dict[str, int]:
    keys = ("/".join(cell) for cell in zip(frame["split"], frame["domain"], frame["role"], strict=True))
    return dict(sorted(Counter(keys).items()))


def _counts(column: pd.Series) -> dict[str, int]:
    return {str(value): int(count) for value, count in column.value_counts().sort_index().items()}


def _histogram(frame: pd.DataFrame) -> dict[str, int]:
    sizes = frame.groupby("item_id").size()
    return {str(size): int(count) for size, count in sizes.value_counts().sort_index().items()}


def _attributes(frame: pd.DataFrame, catalog: Catalog) -> dict[str, Any]:
    """Images per attribute, by split; the rarest are left out beyond `LISTED_ATTRIBUTES`."""
    labels = catalog.column("attributes")
    counts: dict[str, Counter[str]] = {}
    for row, split in zip(frame.index, frame["split"], strict=True):
        for label in labels[row]:
            counts.setdefault(label, Counter())[split] += 1
    common = sorted(counts, key=lambda label: (-counts[label].total(), label))[:LISTED_ATTRIBUTES]
    unlabelled = sum(not labels[row] for row in frame.index)
    return {
        "different": len(counts),
        "images_without": unlabelled,
        "prevalence": {label: dict(sorted(counts[label].items())) for label in common},
    }
