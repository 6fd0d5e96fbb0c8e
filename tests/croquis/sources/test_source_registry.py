"""The registry of sources agrees with what params.yaml may say."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from croquis.formats.errors import SourceError
from croquis.params.block import Block
from croquis.params.loader import read_yaml
from croquis.plugins import SOURCES
from croquis.sources import Source, source_rows


def test_every_source_of_the_shipped_params_is_registered_and_the_other_way_round() -> None:
    assert set(SOURCES.built_in) == set(read_yaml("params.yaml")["ingest"]) - {"source", "shard_rows"}


@pytest.mark.parametrize("name", SOURCES.built_in)
def test_every_source_has_a_block_and_a_summary(name: str) -> None:
    assert issubclass(SOURCES.entry(name).params, Block)
    assert len(SOURCES.summary(name)) > 20


@pytest.mark.parametrize("item_id", ["v/image", ".", "..", "a\0b", "a\nb", " a", "x" * 201, "", 5])
def test_ids_that_no_server_takes_are_refused_of_every_source(monkeypatch: pytest.MonkeyPatch, item_id: Any) -> None:
    ingest: Any = SimpleNamespace(source="parquet", block=None)
    rows = [{"image_id": "first", "item_id": "v/images"}, {"image_id": "second", "item_id": item_id}]
    monkeypatch.setattr(type(SOURCES), "entry", lambda *_: Source(Block, lambda *_: iter(rows)))
    read = source_rows(ingest, 0)
    assert next(read) == rows[0]
    with pytest.raises(SourceError, match=r"image 'second': item_id.* name the item otherwise"):
        next(read)
