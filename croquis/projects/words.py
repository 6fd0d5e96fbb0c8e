"""The words that people's tables and folders use for what a catalogue's columns hold."""

from __future__ import annotations

import re
from collections.abc import Mapping

PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif")
TABLES = (".csv", ".parquet")
SPLIT_WORDS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing", "eval"),
}
DOMAIN_WORDS = {
    "shop": ("shop", "store", "studio", "catalog", "catalogue", "official", "iconic", "packshot", "product", "gallery"),
    "consumer": ("consumer", "customer", "user", "street", "phone", "wild", "natural", "query", "selfie"),
    "sketch": ("sketch", "drawing"),
}
ITEM_NAMES = (
    "itemid", "item", "productid", "product", "sku", "articleid", "articlenumber", "article", "styleid", "style",
    "garmentid", "designid", "modelid", "groupid", "parentid", "asin", "ean", "gtin", "pid", "id",
)  # fmt: skip
CATEGORY_NAMES = (
    "category", "articletype", "producttype", "subcategory", "type", "class", "classname", "label", "kind",
    "mastercategory", "department", "section", "classid", "coarseid",
)  # fmt: skip
VIEW_NAMES = ("view", "pose", "angle")
BOX_NAMES = ("bbox", "box", "boundingbox")
ID_NAMES = ("imageid", "photoid", "pictureid")


def plain(name: str) -> str:
    """`Product ID` as `productid`: how names are compared."""
    return re.sub(r"[\W_]", "", name).lower()


def meaning(word: str, words: Mapping[str, tuple[str, ...]]) -> str | None:
    """What one of `SPLIT_WORDS` or `DOMAIN_WORDS` calls a person's word; None where it knows it not."""
    return next((ours for ours, theirs in words.items() if plain(word) in theirs), None)
