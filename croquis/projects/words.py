"""The words that people's tables and folders use for what a catalogue's columns hold."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

PICTURES = (".jpg", ".jpeg", ".jfif", ".png", ".webp", ".bmp", ".gif")
OTHER_PICTURES = (
    ".heic", ".heif", ".avif", ".tif", ".tiff", ".jxl", ".jp2", ".svg", ".psd", ".ai", ".eps", ".pdf", ".dng", ".cr2",
    ".nef", ".arw", ".raw",
)  # fmt: skip
TABLES = (".csv", ".tsv", ".parquet")
OTHER_TABLES = (".xlsx", ".xls", ".xlsm", ".ods", ".numbers", ".json", ".jsonl", ".ndjson", ".xml")
ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar")
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
# In the order in which they are looked for: those of the data sets and of shops' exports, then of other languages.
ITEM_NAMES = (
    "itemid", "itemgroupid", "item", "productid", "product", "handle", "parentsku", "sku", "articleid", "articlenumber",
    "article", "styleid", "style", "garmentid", "designid", "modelid", "groupid", "parentid", "asin", "ean", "gtin", "pid",
    "productcode", "itemcode", "itemnumber", "productnumber", "stylecode", "stylenumber",
    "artikelnummer", "artikelnr", "artikelid", "artnr", "produktnummer", "produktnr", "produktid", "bestellnummer",
    "artikel", "produkt", "modellnummer", "reference", "ref", "codearticle", "idproduit", "produit", "referencia", "codigo",
    "codigoarticulo", "idproducto", "producto", "articulo", "codice", "codicearticolo", "codiceprodotto", "riferimento",
    "articolo", "prodotto", "id",
)  # fmt: skip
CATEGORY_NAMES = (
    "category", "categories", "articletype", "producttype", "subcategory", "type", "productcategory", "class", "classname",
    "label", "kind", "mastercategory", "department", "section", "classid", "coarseid", "producttypename", "productgroup",
    "productgroupname", "garmenttype", "itemtype", "categoryname",
    "kategorie", "kategorien", "produktkategorie", "warengruppe", "produktgruppe", "produkttyp", "artikelart", "categorie",
    "souscategorie", "famille", "rayon", "categoria", "categorias", "subcategoria", "familia", "tipo", "reparto",
)  # fmt: skip
VIEW_NAMES = ("view", "pose", "angle")
BOX_NAMES = ("bbox", "box", "boundingbox")
ID_NAMES = ("imageid", "photoid", "pictureid")


def plain(name: str) -> str:
    """`Product ID` as `productid`, `Référence` as `reference`: how names are compared."""
    decomposed = unicodedata.normalize("NFKD", name)
    return re.sub(r"[\W_]", "", decomposed).lower()


def meaning(word: str, words: Mapping[str, tuple[str, ...]]) -> str | None:
    """What one of `SPLIT_WORDS` or `DOMAIN_WORDS` calls a person's word; None where it knows it not."""
    return next((ours for ours, theirs in words.items() if plain(word) in theirs), None)


def categories_in_words(count: int) -> str:
    """`1 category`, `3 categories`."""
    return "1 category" if count == 1 else f"{count} categories"
