"""Prepared photos: the pixels of the runtime, made once, whole or absent, by any number of processes."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from croquis.catalog import prepared_photos
from croquis.catalog.drawings import crop_to_ink
from croquis.catalog.gallery_photos import gallery_rows, open_thumbnails
from croquis.catalog.images import crop, decode_image, encode_jpeg, prepare_image
from croquis.catalog.prepared_photos import DecodedPhotos, Preparation, PreparedError, StoredPhotos, open_photos
from croquis.catalog.table import Catalog, CatalogWriter

SIZE = 24
BOXES = (None, [5, 2, 30, 40], [-3, 10, 500, 70])


def file(number: int, kind: str = "JPEG", turned: int = 1) -> bytes:
    """A picture of noise with its EXIF orientation."""
    generator = np.random.default_rng(number)
    pixels = np.kron(generator.integers(0, 256, (9, 7, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = turned
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind, exif=exif)
    return stream.getvalue()


def rows(count: int = 11) -> list[dict]:
    common = {"item_id": "a", "domain": "shop", "split": "train", "role": "train", "category": "c", "attributes": []}
    return [
        common
        | {
            "image_id": f"{(7 * i) % count}",
            "bbox": BOXES[i % 3],
            "image": file(i, "PNG" if i % 2 else "JPEG", 1 + i % 8),
        }
        for i in range(count)
    ]


def write(folder: Path, listed: list[dict]) -> Catalog:
    with CatalogWriter(folder, shard_rows=3) as writer:
        writer.write_all(listed)
    return Catalog.open(folder)


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return write(tmp_path / "catalog", rows())


def expected(catalog: Catalog, size: int = SIZE) -> np.ndarray:
    files = catalog.images(range(len(catalog)))
    pictures = zip(files, catalog.column("bbox"), strict=True)
    return np.stack([prepare_image(decode_image(data), size, box) for data, box in pictures])


@pytest.mark.parametrize("cache", [True, False])
def test_the_squares_are_those_of_the_runtime(catalog: Catalog, cache: bool):
    photos = open_photos(catalog, SIZE, how=Preparation(cache=cache))
    assert isinstance(photos, StoredPhotos if cache else DecodedPhotos)
    assert (len(photos), photos.size) == (len(catalog), SIZE)
    chosen = np.array([7, 0, 7, 10])
    np.testing.assert_array_equal(photos.take(chosen), expected(catalog)[chosen])


@pytest.mark.slow
def test_several_processes_make_the_same_bytes(catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    alone = open_photos(catalog, SIZE, how=Preparation(processes=1)).take(np.arange(len(catalog)))
    monkeypatch.setattr(prepared_photos, "IMAGES_WORTH_A_PROCESS", 1)
    other = write(tmp_path / "other/catalog", rows())
    told: list[int] = []
    photos = open_photos(other, SIZE, how=Preparation(processes=2, progress=told.append))
    np.testing.assert_array_equal(photos.take(np.arange(len(other))), alone)
    assert told == [3, 3, 3, 2]


def test_drawings_are_looked_at_inside_their_lines(catalog: Catalog):
    data = next(catalog.images([4]))
    drawn = open_photos(catalog, SIZE, "ink").take(np.array([4]))[0]
    np.testing.assert_array_equal(drawn, prepare_image(crop_to_ink(decode_image(data)), SIZE))


def test_they_are_made_once_and_again_for_other_photos(catalog: Catalog, monkeypatch: pytest.MonkeyPatch):
    open_photos(catalog, SIZE)
    with monkeypatch.context() as patch:
        patch.setattr(prepared_photos, "square_of", None)  # what decodes
        open_photos(Catalog.open(catalog.folder), SIZE)
    changed = write(catalog.folder, [*rows()[:-1], {**rows()[-1], "image": file(99)}])
    np.testing.assert_array_equal(open_photos(changed, SIZE).take(np.arange(11)), expected(changed))


def test_a_photo_that_cannot_be_decoded_is_named_and_nothing_is_left(tmp_path: Path):
    catalog = write(tmp_path / "catalog", [*rows(), {**rows()[0], "image_id": "broken", "image": file(1)[:200]}])
    with pytest.raises(PreparedError, match="broken: the image is truncated"):
        open_photos(catalog, SIZE)
    assert [path.name for path in (tmp_path / "prepared").iterdir() if path.is_dir()] == []


def test_a_full_disk_is_told_before_anything_is_written(catalog: Catalog, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(
        prepared_photos.shutil, "disk_usage", lambda _: prepared_photos.shutil._ntuple_diskusage(9, 9, 0)
    )
    with pytest.raises(PreparedError, match=r"needs 0.0 GB .* set prepare.cache to false"):
        open_photos(catalog, SIZE)


def test_thumbnails_are_those_of_the_gallery_in_the_order_of_its_ids(catalog: Catalog):
    kept = open_thumbnails(catalog, 16, Preparation()).column("thumbnail").to_pylist()
    gallery = gallery_rows(catalog)
    assert gallery.tolist() != sorted(gallery.tolist())
    wanted = [
        encode_jpeg(prepare_image(crop(decode_image(next(catalog.images([row]))), catalog.column("bbox")[row]), 16))
        for row in gallery.tolist()
    ]
    assert kept == wanted
