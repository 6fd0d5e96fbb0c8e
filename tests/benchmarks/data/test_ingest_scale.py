"""The size benchmark runs both stages on what it draws."""

from __future__ import annotations

import pytest

from benchmarks.data import ingest_scale
from croquis.catalog.table import Catalog


@pytest.mark.slow
def test_so_many_images_go_through_both_stages(tmp_path, capsys):
    ingest_scale.main(["--images", "240", "--side", "40", "--keep", str(tmp_path)])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[:2] for line in lines[-2:]] == [["| ingest", "240"], ["| validate", "240"]]
    assert len(Catalog.open(tmp_path / "data/raw")) == 240
