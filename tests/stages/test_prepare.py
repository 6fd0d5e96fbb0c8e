"""The stage `prepare`: what it makes is what the other stages would have made, and is made once."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from croquis.catalog.gallery_photos import gallery_rows, open_thumbnails
from croquis.catalog.images import crop, decode_image, encode_jpeg, prepare_image
from croquis.catalog.prepared_photos import WHOLE, open_photos
from croquis.catalog.table import Catalog
from croquis.evaluation.gallery_edges import edges_of, find_gallery_edges
from croquis.files import write_json
from croquis.params.loader import read_yaml
from stages import prepare
from tests.support.catalogues import blob_catalogue as world
from tests.support.environment import REPOSITORY

EDGE_SIZE, THUMBNAIL = 64, 40


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    monkeypatch.chdir(tmp_path)
    values = read_yaml(REPOSITORY / "params.yaml")
    values["base"]["image_size"] = world.SIZE
    values["index"]["thumbnail"], values["sketch"]["size"] = THUMBNAIL, EDGE_SIZE
    write_json(tmp_path / "params.yaml", values)
    world.write_catalogue(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_photos_thumbnails_and_edges_are_those_of_the_files(project: Path, monkeypatch: pytest.MonkeyPatch):
    prepare.main(project)
    catalog = Catalog.open(project / "data/catalog")
    assert json.loads((project / "data/prepared.json").read_text()) == {
        "catalog": catalog.fingerprint(),
        "images": len(catalog),
        "size": world.SIZE,
    }
    monkeypatch.setattr("croquis.catalog.prepared_photos.over_pieces", None)  # nothing is made from here on
    pictures = zip(catalog.images(range(len(catalog))), catalog.column("bbox"), strict=True)
    photos = [crop(decode_image(data), box) for data, box in pictures]
    squares = open_photos(catalog, world.SIZE).take(np.arange(len(catalog)))
    np.testing.assert_array_equal(squares, [prepare_image(photo, world.SIZE) for photo in photos])
    gallery = gallery_rows(catalog)
    thumbnails = open_thumbnails(catalog, THUMBNAIL, WHOLE).column("thumbnail").to_pylist()
    assert thumbnails == [encode_jpeg(prepare_image(photos[row], THUMBNAIL)) for row in gallery]
    chosen = gallery[::-2]
    edges = find_gallery_edges(catalog, chosen, EDGE_SIZE, "canny")
    assert edges is not None
    np.testing.assert_array_equal(edges, edges_of([photos[row] for row in chosen], EDGE_SIZE, "canny"))


@pytest.mark.slow
def test_a_draft_is_told_to_other_stages_and_stands_in_every_name(project: Path):
    values = read_yaml(project / "params.yaml")
    values["prepare"]["draft"] = 2 * EDGE_SIZE
    write_json(project / "params.yaml", values)
    prepare.main(project)
    assert json.loads((project / "data/prepared.json").read_text())["draft"] == 2 * EDGE_SIZE
    made = [path.name for path in (project / "data/prepared").iterdir() if path.is_dir()]
    assert len(made) == 3
    assert all(name.endswith(f"-draft{2 * EDGE_SIZE}") for name in made)
    catalog = Catalog.open(project / "data/catalog")
    rows = gallery_rows(catalog)
    assert find_gallery_edges(catalog, rows, EDGE_SIZE, "canny", 2 * EDGE_SIZE) is not None
    assert find_gallery_edges(catalog, rows, EDGE_SIZE, "canny") is None


@pytest.mark.slow
def test_edges_of_another_kind_or_catalogue_are_not_taken(project: Path):
    prepare.main(project)
    catalog = Catalog.open(project / "data/catalog")
    rows = gallery_rows(catalog)
    assert find_gallery_edges(catalog, rows, EDGE_SIZE, "xdog") is None
    assert find_gallery_edges(catalog, rows, EDGE_SIZE + 8, "canny") is None
