"""BM25 by hand over the texts of the tiny bundle with products, for whole words without accents."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from croquis.catalog.filters import as_filters
from tests.support import tiny_retriever as tiny
from tests.support.tiny_products import columns_of

K1, B = 1.2, 0.75


def words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.lower().replace("é", "e"))


def texts_by_hand() -> dict[str, list[str]]:
    """Image -> the words of its category, attributes, title and brand."""
    found = {}
    for row in tiny.gallery_rows():
        columns = columns_of(row["item_id"])
        parts = [row["category"], *row["attributes"], columns["title"], columns.get("brand", "")]
        found[row["image_id"]] = words(" ".join(parts))
    return found


def bm25_by_hand(query: str, texts: Mapping[str, list[str]]) -> dict[str, float]:
    """Of the images that hold at least one word; terms are single words."""
    mean = sum(map(len, texts.values())) / len(texts)
    total: dict[str, float] = {}
    for term in dict.fromkeys(words(query)):
        held = {name: text.count(term) for name, text in texts.items() if term in text}
        weight = max(1e-6, math.log((len(texts) - len(held) + 0.5) / (len(held) + 0.5)))
        for name, count in held.items():
            part = weight * count * (K1 + 1) / (count + K1 * (1 - B + B * len(texts[name]) / mean))
            total[name] = total.get(name, 0.0) + part
    return total


def passing_ids(filters: Mapping[str, Any] | None) -> set[str]:
    """By category and colour."""
    asked = as_filters(filters)
    return {
        row["image_id"]
        for row in tiny.gallery_rows()
        if (not asked.category or row["category"] in asked.category)
        and (not asked.colour or any(f"colour:{name}" in row["attributes"] for name in asked.colour))
    }
