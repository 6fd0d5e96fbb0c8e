"""The measurement of draft mode: which photos it takes, and what it calls the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.scale.draft_rates import compared, enlarged, main, vectors
from croquis.bundle import Bundle
from croquis.catalog.images import decode_image
from tests.support.catalogues.drafted_photos import saved
from tests.support.tiny_retriever import write_tiny_bundle


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "photos").mkdir()
    for seed in range(5):
        (tmp_path / f"photos/{seed}.jpg").write_bytes(saved(seed, (96, 64)))
    return tmp_path / "photos"


def test_an_enlarged_photo_has_whole_blocks():
    assert decode_image(enlarged(saved(1, (90, 70)), 0.1, 1)).shape == (272, 352, 3)


def test_photos_that_draft_mode_leaves_alone_are_the_same(folder: Path):
    bundle = Bundle.load(write_tiny_bundle(folder.parent / "bundle"))
    files = [enlarged(path.read_bytes(), 0.1, 1) for path in sorted(folder.iterdir())]
    found = compared(bundle, files, [2, 100])
    assert found["100 times the pixels"]["cosine"] == [1, 1]
    assert found["100 times the pixels"]["same first neighbour"] == 1
    assert found["2 times the pixels"]["cosine"][1] > 0.9
    assert (vectors(bundle, files, 32) != vectors(bundle, files, 0)).any()


def test_the_report_is_written(folder: Path, capsys: pytest.CaptureFixture[str]):
    report = folder.parent / "report.json"
    asked = [str(folder), "--photos", "3", "--timed", "2", "--megapixels", "0.1", "--sizes", "16", "--repeats", "2"]
    main([*asked, "--report", str(report)])
    written = json.loads(report.read_text())
    assert json.loads(capsys.readouterr().out) == written
    assert set(written["cpu_ms"]["enlarged"]["16"]) == {"full", "draft", "full / draft"}
    assert "vectors" not in written
