"""Stores filled with bundles, and the comparison of a server's answers over a store with those over a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from croquis.bundle import Bundle
from croquis.store.fill import fill
from croquis.store.versions import open_stores
from tests.support.tiny_retriever import photo

PROBABLE = {"gallery_attributes": "predicted", "steps": ["probability", "k_reciprocal"], "standing": "score"}
FILTERS = (
    "",
    '{"category": ["coat"]}',
    '{"colour": ["red", "blue"], "attributes": ["sleeve:long"]}',
    '{"domain": ["shop"]}',
)


def filled(uri: str, *bundles: Path) -> list[str]:
    """A version for each bundle, published one after the other."""
    stores = open_stores(uri)
    names = []
    for folder in bundles:
        names.append(fill(stores, Bundle.load(folder)).name)
        stores.publish(names[-1])
    stores.close()
    return names


def asked(client: TestClient, path: str, **fields: Any) -> Any:
    response = client.post(path, files={"image": photo("green-07")}, data={name: str(v) for name, v in fields.items()})
    assert response.status_code == 200, response.text
    return response.json()


def same(ours: Any, theirs: Any) -> None:
    """Equal but for the store's name, and for scores to 1e-6."""
    assert ours.pop("model") | {"store": None} == theirs.pop("model")
    scores = [[result.pop("score") for result in answer["results"]] for answer in (ours, theirs)]
    assert scores[0] == pytest.approx(scores[1], abs=1e-6)
    assert ours == theirs
