"""A project with a bundle that can be re-ranked."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.catalogues import blob_catalogue as world
from tests.support.tuning.study_projects import own_project, write_params, write_reranked_bundle


@pytest.fixture(scope="session")
def reranked_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 val gallery photos and 60 consumer queries whose bundle knows attributes; treat it as read-only."""
    root = tmp_path_factory.mktemp("reranked")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world, "SHAPES", {"val": 30, "test": 2, "train": 2})
        catalog = world.write_catalogue(root)
        write_reranked_bundle(root, catalog)
    write_params(root, base__threads=1, evaluate__depth=100, evaluate__chunk=16, rerank__depth=60)
    return root


@pytest.fixture
def reranked(reranked_world: Path, empty_store: Path, tmp_path: Path) -> Path:
    """A project of one's own on the data of `reranked_world`."""
    return own_project(reranked_world, empty_store, tmp_path, "data", "models")
