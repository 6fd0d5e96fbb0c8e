"""What a catalogue looks like, in numbers: reported, never judged."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pandas as pd

LISTED_ATTRIBUTES = 1000
DIGITS = 6


def profile(frame: pd.DataFrame, attributes: pd.DataFrame, splits: pd.DataFrame) -> dict[str, Any]:
    """Counts, colour modes, category drift and attribute prevalence of the accepted rows.

    Args:
        frame: of `croquis.validation.image_columns.image_columns`.
        attributes: of `croquis.validation.labels.attribute_frame`.
        splits: of `croquis.validation.labels.split_frame`.
    """
    return {
        "images": _cells(frame),
        "items": {split: int(part["item_id"].nunique()) for split, part in frame.groupby("split")},
        "items_with_n_images": _histogram(frame),
        "categories": {name: _counts(part["split"]) for name, part in frame.groupby("category")},
        "category_drift_from_train": _by_name(splits, "split"),
        "colour_modes": _counts(frame["mode"]),
        "turned_by_exif": int(sum(isinstance(tag, int) and tag > 1 for tag in frame["orientation"])),
        "attributes": {
            "different": len(attributes),
            "images_without": int((frame["labels"] == 0).sum()),
            "share_of_items": _by_name(_most_common(attributes), "attribute"),
        },
    }


def _cells(frame: pd.DataFrame) -> dict[str, int]:
    keys = ("/".join(cell) for cell in zip(frame["split"], frame["domain"], frame["role"], strict=True))
    return dict(sorted(Counter(keys).items()))


def _counts(column: pd.Series) -> dict[str, int]:
    return {str(value): int(count) for value, count in column.value_counts().sort_index().items()}


def _histogram(frame: pd.DataFrame) -> dict[str, int]:
    sizes = frame.groupby("item_id").size()
    return {str(size): int(count) for size, count in sizes.value_counts().sort_index().items()}


def _most_common(attributes: pd.DataFrame) -> pd.DataFrame:
    """The rarest are left out beyond `LISTED_ATTRIBUTES`."""
    return attributes.sort_values(["train", "attribute"], ascending=[False, True]).head(LISTED_ATTRIBUTES)


def _by_name(frame: pd.DataFrame, name: str) -> dict[str, dict[str, float]]:
    lines = frame.set_index(name).round(DIGITS).to_dict(orient="index")
    return {str(key): {str(column): float(value) for column, value in line.items()} for key, line in lines.items()}
