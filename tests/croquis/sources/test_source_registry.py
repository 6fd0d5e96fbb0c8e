"""The registry of sources agrees with what params.yaml may say."""

from __future__ import annotations

from typing import get_args

import pytest

from croquis.params.data_blocks import Ingest
from croquis.sources import SOURCES


def test_registry_holds_every_choice_of_the_params() -> None:
    assert set(SOURCES) == set(get_args(Ingest.model_fields["source"].annotation))


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_every_source_has_a_block_of_its_own(name: str) -> None:
    assert name in Ingest.model_fields
