"""What a manifest of schema version 1 meant where it left a value out: each that equalled the default of its day."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MEANT_WHEN_LEFT_OUT: Mapping[str, Mapping[str, Any]] = {
    "rerank": {
        "standing": "rank",
        "steps": ["attributes"],
        "compare": [],
        "k_reciprocal": {"neighbours": 20, "expansion": 6, "distance_weight": 0.3},
        "alpha_qe": {"neighbours": 3, "power": 3.0},
    },
    "classifier": {"exclusive": []},
}
"""Part of the manifest -> key -> value. Version 2 leaves nothing out, so no entry may ever change."""


def completed(values: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON object of a manifest of version 1 with what it left out."""
    whole = dict(values)
    for part, meant in MEANT_WHEN_LEFT_OUT.items():
        if isinstance(whole.get(part), Mapping):
            whole[part] = _filled(whole[part], meant)
    return whole


def _filled(values: Mapping[str, Any], meant: Mapping[str, Any]) -> dict[str, Any]:
    filled = {**meant, **values}
    for key, inner in meant.items():
        if isinstance(inner, Mapping) and isinstance(filled[key], Mapping):
            filled[key] = {**inner, **filled[key]}
    return filled
