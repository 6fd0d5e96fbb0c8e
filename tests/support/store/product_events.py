"""Events about products that show pictures of the tiny gallery."""

from __future__ import annotations

from croquis.catalog.product import Product, ProductPicture
from croquis.events.event import ProductEvent
from tests.support.tiny_retriever import photo


def upsert(item_id: str, version: int, *names: str, category: str = "dress") -> ProductEvent:
    pictures = tuple(ProductPicture.of(item_id, photo(name)) for name in names)
    return ProductEvent(item_id, version, Product(item_id, category, ("colour:red",), pictures))
