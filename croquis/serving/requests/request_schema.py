"""Request bodies in OpenAPI's words: a form, or a JSON object with pictures as base64."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from croquis.serving.requests.request_body import FORM, JSON


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
