"""Which of a product's own columns are its title, price, brand and link, by the names that shops' tables use.

Those of exports of Shopify and WooCommerce, of feeds for Google Merchant Center, and of data sets such as Fashion Product
Images (`productDisplayName`) and H&M's (`prod_name`), and German, French, Spanish and Italian ones.
"""

from __future__ import annotations

import re
import unicodedata

from croquis.catalog.product_columns import Columns, Value

# Without case, accents, spaces and signs; the first name that a product has counts.
# croquis/serving/page/product.js has the same.
SHOWN_NAMES = {
    "title": (
        "title", "name", "producttitle", "productname", "productdisplayname", "displayname", "prodname", "itemtitle",
        "itemname",
        "bezeichnung", "artikelbezeichnung", "produktname", "titel", "libelle", "nom", "titre", "nombre", "titulo",
        "nome", "titolo",
    ),
    "price": (
        "price", "variantprice", "productprice", "sellingprice", "currentprice", "saleprice", "regularprice", "listprice",
        "priceusd", "priceeur", "pricegbp", "priceinr",
        "preis", "verkaufspreis", "prix", "prixttc", "precio", "prezzo",
    ),
    "brand": (
        "brand", "brandname", "productbrand", "vendor", "manufacturer", "designer",
        "marke", "hersteller", "marque", "marca",
    ),
    "link": ("link", "url", "productlink", "producturl", "itemurl", "pageurl", "permalink"),
}  # fmt: skip


def shown_columns(product: Columns) -> dict[str, Value]:
    """The title, price, brand and link of a product, those that it has, by these words.

    >>> shown_columns({"productDisplayName": "Red dress", "Price (USD)": 20.0, "colour": "red"})
    {'title': 'Red dress', 'price': 20.0}
    """
    named: dict[str, Value] = {}
    for name, value in product.items():
        named.setdefault(re.sub(r"[\W_]", "", unicodedata.normalize("NFKD", name)).lower(), value)
    found = {part: next((named[name] for name in names if name in named), None) for part, names in SHOWN_NAMES.items()}
    return {part: value for part, value in found.items() if value is not None}
