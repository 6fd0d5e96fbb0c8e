"""The registry of sources agrees with what params.yaml may say."""

from __future__ import annotations

import pytest

from croquis.params.block import Block
from croquis.params.loader import read_yaml
from croquis.plugins import SOURCES


def test_every_source_of_the_shipped_params_is_registered_and_the_other_way_round() -> None:
    assert set(SOURCES.built_in) == set(read_yaml("params.yaml")["ingest"]) - {"source", "shard_rows"}


@pytest.mark.parametrize("name", SOURCES.built_in)
def test_every_source_has_a_block_and_a_summary(name: str) -> None:
    assert issubclass(SOURCES.entry(name).params, Block)
    assert len(SOURCES.summary(name)) > 20
