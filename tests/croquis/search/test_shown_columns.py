"""Which columns are shown as title, price, brand and link; the page has the same names."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from croquis.search.shown_columns import SHOWN_NAMES, shown_columns


@pytest.mark.parametrize(
    ("product", "shown"),
    [
        ({"Title": "Coat", "Vendor": "Ada", "Variant Price": 20.0, "Handle": "coat"}, ("Coat", 20.0, "Ada", None)),
        ({"productDisplayName": "Coat", "year": 2017.0}, ("Coat", None, None, None)),
        ({"prod_name": "Coat", "URL": "https://a.example"}, ("Coat", None, None, "https://a.example")),
        ({"Name": "Coat", "Regular price": 30.0, "Sale price": 20.0}, ("Coat", 20.0, None, None)),
        ({"ProductName": "Coat", "ProductBrand": "Ada", "Price (INR)": 10.0}, ("Coat", 10.0, "Ada", None)),
        ({"name": "coat-7", "title": "Coat", "price": 1.0, "sale_price": 2.0}, ("Coat", 1.0, None, None)),
        ({"image_link": "https://a.example/a.jpg", "brand id": "7", "subtitle": "x"}, (None, None, None, None)),
    ],
)
def test_usual_names_count_whatever_their_case_and_signs(product: dict[str, Any], shown: tuple[Any, ...]) -> None:
    expected = dict(zip(("title", "price", "brand", "link"), shown, strict=True))
    assert shown_columns(product) == {part: value for part, value in expected.items() if value is not None}


def test_the_page_has_the_same_names_in_the_same_order() -> None:
    page = Path("croquis/serving/page/product.js").read_text(encoding="utf-8")
    block = re.search(r"^const NAMES = (\{.*?^\});$", page, re.DOTALL | re.MULTILINE)
    assert block is not None
    written = re.sub(r",(\s*[\]}])", r"\1", re.sub(r"(\w+):", r'"\1":', block[1]))
    assert json.loads(written) == {part: " ".join(names) for part, names in SHOWN_NAMES.items()}
