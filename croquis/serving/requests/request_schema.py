"""Request bodies in OpenAPI's words: a form, or a JSON object with pictures as base64."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from croquis.catalog.product import LONGEST_WORD, MOST_ATTRIBUTES, MOST_PICTURES
from croquis.serving.requests.request_body import FORM, JSON
from croquis.serving.requests.search_request import DEFAULT_K
from croquis.serving.server_settings import Limits


def body_schema(
    as_form: Mapping[str, Any], as_json: Mapping[str, Any], common: Mapping[str, Any], required: Sequence[str]
) -> dict[str, Any]:
    """An OpenAPI request body of the fields of either media type and those `common` to both."""
    return {
        "required": True,
        "content": {
            media: {
                "schema": {
                    "type": "object",
                    "properties": {**own, **common},
                    "required": list(required),
                    "additionalProperties": False,
                }
            }
            for media, own in ((FORM, as_form), (JSON, as_json))
        },
    }


def search_body(limits: Limits) -> dict[str, Any]:
    """The body in OpenAPI's words: a form, or a JSON object with the picture as base64."""
    flags = {name: {"type": "boolean"} for name in ("rerank", "timings", "generated", "describe")}
    common = {
        "k": {"type": "integer", "minimum": 1, "maximum": limits.k, "default": DEFAULT_K},
        "mode": {"type": "string", "enum": ["photo", "sketch", "sketch-direct"], "default": "photo"},
        **flags,
    }
    words = {"type": "array", "items": {"type": "string"}}
    filters = {
        "type": "object",
        "properties": {"category": words, "attributes": words, "colour": words, "domain": words},
        "additionalProperties": False,
    }
    as_form = {
        "image": {"type": "string", "format": "binary"},
        "filters": {"type": "string", "description": "JSON text", "examples": ['{"category": ["dress"]}']},
        "crop": {"type": "string", "description": "x1,y1,x2,y2 in pixels of the upright picture"},
    }
    as_json = {
        "image": {"type": "string", "format": "byte", "description": "base64 of the picture file"},
        "filters": filters,
        "crop": {"type": "array", "items": {"type": "number"}, "minItems": 4, "maxItems": 4},
    }
    return body_schema(as_form, as_json, common, ["image"])


def item_body(limits: Limits, **more: Any) -> dict[str, Any]:
    """The body in OpenAPI's words; `more` are further fields, which are needed."""
    words = {"type": "array", "items": text(LONGEST_WORD), "maxItems": MOST_ATTRIBUTES}
    several = {"minItems": 1, "maxItems": MOST_PICTURES}
    size = f"all together at most {limits.body_bytes} bytes"
    common = {"category": text(LONGEST_WORD), "version": {"type": "integer", "minimum": 1}, **more}
    as_form = {
        "image": {"type": "array", "items": {"type": "string", "format": "binary"}, "description": size, **several},
        "attributes": {"type": "string", "description": "JSON text", "examples": ['["colour:red", "sleeve:long"]']},
        "crop": {"type": "string", "description": "x1,y1,x2,y2 in pixels of the upright picture"},
    }
    as_json = {
        "image": {
            "type": "array",
            "items": {"type": "string", "format": "byte", "description": "base64 of the picture file"},
            **several,
        },
        "attributes": words,
        "crop": {"type": "array", "items": {"type": "number"}, "minItems": 4, "maxItems": 4},
    }
    return body_schema(as_form, as_json, common, ["image", "category", *more])


def text(longest: int) -> dict[str, Any]:
    """A word or an id, in OpenAPI's words."""
    return {"type": "string", "minLength": 1, "maxLength": longest}
