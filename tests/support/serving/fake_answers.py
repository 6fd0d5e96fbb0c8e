"""A catalogue of plain garments and the answers of the search API on it: products are ranked by the mean colour of the
picture, so that another crop or drawing has other results."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

COLOURS = {"red": (190, 38, 44), "blue": (48, 88, 170), "yellow": (232, 190, 70), "black": (38, 38, 42)}
CATEGORIES = ("dress", "coat", "skirt")
PAINTED = (90, 140, 200)  # the colour of what the generator makes
MODELS = (("champion", "siamese"), ("dhd", "dhd"))


@dataclass(frozen=True)
class Product:
    item_id: str
    category: str
    colour: str
    sleeve: str

    @property
    def attributes(self) -> list[str]:
        return [f"sleeve:{self.sleeve}", f"colour:{self.colour}"]

    @property
    def columns(self) -> dict[str, Any]:
        """Of its own; every third product has none, and one has no link that may be opened."""
        number = int(self.item_id.removeprefix("item-"))
        if number % 3 == 0:
            return {}
        link = "javascript:alert(1)" if number == 4 else f"https://shop.example/{self.item_id}"
        return {
            "title": f"Soft {self.category} {number}",
            "price": 10 + number / 2,
            "sale": number % 2 == 0,
            "link": link,
        }

    def result(self, rank: int, score: float, seen: set[str]) -> dict[str, Any]:
        image_id = f"{self.item_id}/front"
        shared = [name for name in self.attributes if name in seen]
        return {
            "rank": rank,
            "item_id": self.item_id,
            "image_id": image_id,
            "score": score,
            "category": self.category,
            "attributes": self.attributes,
            "shared_attributes": shared,
            "product": self.columns,
            "image": f"/items/{self.item_id}/image?image_id={image_id}",
        }


PRODUCTS = [
    Product(f"item-{number:03d}", CATEGORIES[number % 3], list(COLOURS)[number % 4], ("long", "short")[number % 2])
    for number in range(24)
]


def jpeg(colour: tuple[int, int, int], side: int = 128) -> bytes:
    """A garment of one colour on white."""
    pixels = np.full((side, side, 3), 245, np.uint8)
    pixels[side // 8 : -side // 8, side // 4 : -side // 4] = colour
    return encoded(pixels, "JPEG")


def encoded(pixels: np.ndarray, kind: str) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind)
    return stream.getvalue()


def search(fields: dict[str, str], picture: np.ndarray, label: str) -> dict[str, Any]:
    """Products by the distance of their colour to the picture's mean; the second model likes the farthest."""
    mean = picture.reshape(-1, 3).mean(axis=0)
    filters = json.loads(fields.get("filters", "{}"))
    scored = [(1 - float(np.linalg.norm(mean - COLOURS[each.colour])) / 450, each) for each in PRODUCTS]
    kept = [(score, each) for score, each in scored if passes(each, filters)]
    kept.sort(key=lambda pair: pair[0], reverse=label == "champion")
    best = max(scored, key=lambda pair: pair[0])[1]
    body = answer(label, fields["mode"], kept[: int(fields["k"])], set(best.attributes))
    if fields.get("generated") == "true":
        painted = np.full((64, 64, 3), PAINTED, np.uint8)
        painted[picture[:: picture.shape[0] // 64, :: picture.shape[1] // 64, 0][:64, :64] < 128] = 0
        body["generated"] = "data:image/png;base64," + base64.b64encode(encoded(painted, "PNG")).decode()
    body["timings"] = {"decode_ms": 1.0, "encode_ms": 2.5, "search_ms": 0.5, "rerank_ms": 0.0}
    return body


def passes(product: Product, filters: dict[str, Any]) -> bool:
    category, colour = filters.get("category") or CATEGORIES, filters.get("colour") or COLOURS
    wanted = set(filters.get("attributes") or [])
    price, bounds = product.columns.get("price"), filters.get("product", {}).get("price", {})
    if bounds and (price is None or not bounds.get("min", 0) <= price <= bounds.get("max", 1000)):
        return False
    return product.category in category and product.colour in colour and wanted <= set(product.attributes)


def similar(product: Product, k: int, filters: dict[str, Any]) -> dict[str, Any]:
    alike = [each for each in PRODUCTS if each.colour == product.colour or filters.get("colour")]
    others = [(0.9, each) for each in alike if each != product and passes(each, filters)]
    return answer("champion", "similar", others[:k], set(product.attributes))


def answer(label: str, mode: str, scored: list[tuple[float, Product]], seen: set[str]) -> dict[str, Any]:
    return {
        "model": {"name": dict(MODELS)[label], "version": "3", "bundle": "ab" * 32},
        "mode": mode,
        "results": [each.result(rank, score, seen) for rank, (score, each) in enumerate(scored, 1)],
        "query_attributes": sorted(seen),
        "generated": None,
        "timings": None,
    }


def item(product: Product) -> dict[str, Any]:
    image_id = f"{product.item_id}/front"
    images = [{"image_id": image_id, "url": f"/items/{product.item_id}/image?image_id={image_id}"}]
    return {
        "item_id": product.item_id,
        "category": product.category,
        "attributes": product.attributes,
        "product": product.columns,
        "images": images,
    }


def filter_values() -> dict[str, Any]:
    def counts(values: list[str]) -> list[dict[str, Any]]:
        return [{"name": name, "count": values.count(name)} for name in sorted(set(values))]

    return {
        "category": counts([each.category for each in PRODUCTS]),
        "attributes": counts([name for each in PRODUCTS for name in each.attributes]),
        "colour": counts([each.colour for each in PRODUCTS]),
        "product": [
            {"name": "title", "kind": "text", "values": [], "min": None, "max": None},
            {"name": "price", "kind": "number", "values": [], "min": 10.5, "max": 21.5},
            {"name": "sale", "kind": "boolean", "values": counts(["true", "false", "true"]), "min": None, "max": None},
        ],
    }


def version(modes: list[str], colours: dict[str, str] | None) -> dict[str, Any]:
    named = {"version": "3", "bundle": "ab" * 32, "metrics": {}}
    models = [
        {**named, "label": label, "name": method, "method": method, "colours": colours if label == "champion" else None}
        for label, method in MODELS
    ]
    limits = {"k": 100, "image_bytes": 1_000_000, "pixels": 16_000_000, "formats": ["JPEG", "PNG"]}
    return {"models": models, "modes": modes, "limits": limits}
