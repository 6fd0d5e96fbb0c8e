"""Pictures of the page: each once, and smaller where they would take more than their share."""

from __future__ import annotations

from pathlib import Path

from croquis.evaluation.protocol import open_gallery
from croquis.report_page.thumbnails import SIZES, Thumbnails
from tests.support.catalogues import blob_catalogue


def test_a_picture_is_kept_once_and_shrinks_until_all_fit(tmp_path: Path) -> None:
    gallery = open_gallery(blob_catalogue.write_catalogue(tmp_path), "test")
    pictures = Thumbnails()
    assert [pictures.number(gallery, place) for place in (4, 2, 4, 9)] == [0, 1, 0, 2]
    large = pictures.sources(10**9)
    assert len(large) == len(set(large)) == 3
    total = sum(map(len, large))
    smaller = pictures.sources(total - 1)
    assert sum(map(len, smaller)) < total
    smallest = pictures.sources(0)
    assert sum(map(len, smallest)) < sum(map(len, smaller))
    assert len(SIZES) > 2
