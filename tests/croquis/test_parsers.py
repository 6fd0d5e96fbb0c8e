"""Whatever bytes come from outside, a parser reads them or raises an error of ours; minimal cases are kept."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from fastapi.exceptions import RequestValidationError
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError
from starlette.requests import Request

from croquis.bundle import BundleError, Manifest
from croquis.bundle.gallery_file import ItemsError
from croquis.bundle.gallery_table import GalleryTable
from croquis.catalog.base64_text import read_base64
from croquis.catalog.images import ImageError, read_image
from croquis.files import read_json
from croquis.formats.class_sets.idx_format import open_idx
from croquis.formats.deepfashion import (
    attribute_annotations,
    c2s_attributes,
    deepfashion2_files,
    fine_annotations,
    inshop_attributes,
    regions,
)
from croquis.formats.errors import SourceError
from croquis.formats.tables.table_reader import read_rows
from croquis.nets.graph_files import GraphFileError, check_stands_alone
from croquis.nets.session import ModelError
from croquis.serving.answers.problems import Problem
from croquis.serving.requests.request_body import read_fields
from croquis.serving.requests.request_models import SearchRequest
from croquis.serving.server_settings import Limits
from tests.support.costly_pictures import READ_AS_USUAL, REFUSED, directory, run_length_bmp
from tests.support.mutations import holds_for, mutated
from tests.support.sources.attributes_files import write_attributes
from tests.support.sources.c2s_files import write_c2s
from tests.support.sources.deepfashion2_files import write_deepfashion2
from tests.support.sources.idx_files import idx_bytes
from tests.support.sources.inshop_files import write_inshop
from tests.support.tiny_retriever import write_tiny_bundle

pytestmark = pytest.mark.filterwarnings("ignore")
NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 24, 3), dtype=np.uint8))


def saved(kind: str, image: Image.Image = NOISE, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


PICTURES = [
    saved("JPEG", exif=b"Exif\0\0" + directory(3, 10)),
    saved("JPEG", progressive=True, xmp=b'<tiff:Orientation="3"/>'),
    saved("PNG", NOISE.convert("P"), transparency=1, exif=directory(3, 10)),
    saved("PNG", NOISE.convert("L").convert("I;16")),
    saved("WEBP", exif=directory(3, 10)),
    saved("WEBP", NOISE.convert("RGBA"), lossless=True),
    saved("GIF", comment=b"x" * 300, transparency=1),
    saved("BMP"),
    run_length_bmp(24, 20, b"\x05\x01\0\0\0\x02\1\1\0\x04abcd\0\1"),
]


def test_pictures() -> None:
    def check(data: bytes) -> None:
        with contextlib.suppress(ImageError):
            read_image(data)

    for data in (*REFUSED.values(), *READ_AS_USUAL.values()):
        check(data[:5000])
    holds_for(mutated(PICTURES), check)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_bundle(tmp_path_factory.mktemp("fuzz") / "bundle")


def test_graphs(folder: Path) -> None:
    def check(data: bytes) -> None:
        with contextlib.suppress(GraphFileError):
            check_stands_alone(data)

    holds_for(mutated([path.read_bytes() for path in sorted(folder.glob("*.onnx"))]), check)


def test_a_graph_that_passes_is_one_without_external_data(folder: Path) -> None:
    """What the package `onnx` finds in a changed file, the walk has found too."""
    model = onnx.load(folder / "generator.onnx")
    model.graph.initializer[0].data_location = onnx.TensorProto.EXTERNAL

    def check(data: bytes) -> None:
        try:
            check_stands_alone(data)
        except GraphFileError:
            return
        try:
            read = onnx.load_from_string(data)
        except Exception:  # no message at all to `onnx`
            return
        assert not any(tensor.external_data or tensor.data_location for tensor in read.graph.initializer)

    holds_for(mutated([model.SerializeToString()]), check)


ODD_VALUES = [None, True, -1, 0, 10**400, 1e308, "", "..", "\ud800", [], {}, [[]], {"a": []}, ["a", 1], float("nan")]


def places(values: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    return [path, *(place for key, value in inner for place in places(value, (*path, key)))]


def replaced(values: Any, path: tuple[Any, ...], value: object) -> Any:
    if not path:
        return value
    changed = values.copy()
    changed[path[0]] = replaced(values[path[0]], path[1:], value)
    return changed


@pytest.mark.slow
def test_manifests(folder: Path, tmp_path: Path) -> None:
    values = read_json(folder / "manifest.json")

    def read(data: Any) -> None:
        with contextlib.suppress(BundleError, ModelError):
            manifest = Manifest.from_json(data)
            assert len(manifest.hash) == 64
            assert manifest.encoder_description.dim == manifest.index.dim

    def check(data: bytes) -> None:
        (tmp_path / "manifest.json").write_bytes(data)
        with contextlib.suppress(ValueError):
            read(read_json(tmp_path / "manifest.json"))

    for number, path in enumerate(places(values)):
        for value in ODD_VALUES[number % 4 :: 4]:
            read(replaced(values, path, value))
    holds_for(mutated([json.dumps(values).encode()]), check)


def test_gallery_tables(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "gallery.parquet"

    def check(data: bytes) -> None:
        file.write_bytes(data)
        with contextlib.suppress(ItemsError):
            GalleryTable.open(file)

    holds_for(mutated([(folder / "gallery.parquet").read_bytes()]), check)


def request_of(body: bytes, media: str) -> Request:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    return Request({"type": "http", "headers": [(b"content-type", media.encode("latin-1"))]}, receive)


FORM_BODY = (
    b'--b\r\nContent-Disposition: form-data; name="image"; filename="a"\r\nContent-Type: image/png\r\n\r\nabc\r\n'
    b'--b\r\nContent-Disposition: form-data; name="filters"\r\n\r\n{"colour": ["red"]}\r\n'
    b'--b\r\nContent-Disposition: form-data; name="crop"\r\n\r\n1,2,3.5,4\r\n--b--\r\n'
)
JSON_BODY = json.dumps({"image": "YWJj", "k": 3, "filters": {"category": ["a"]}, "crop": [1, 2, 3, 4]}).encode()


@pytest.mark.parametrize(
    ("body", "media"), [(FORM_BODY, "multipart/form-data; boundary=b"), (JSON_BODY, "application/json")]
)
def test_bodies_of_requests(body: bytes, media: str) -> None:
    def check(data: bytes) -> None:
        with contextlib.suppress(Problem, RequestValidationError, ValidationError):
            request = request_of(data, media)
            fields = asyncio.run(read_fields(request, 100_000, request.stream()))
            SearchRequest.model_validate(fields, context=Limits())

    for data in (b"[" * 50_000, b'{"k":' * 5000, b'{"image": "\\ud800"}', b'{"k": 1e999, "image": "YQ"}', b""):
        check(data)
    holds_for(mutated([body]), check)


def test_base64() -> None:
    def check(data: bytes) -> None:
        with contextlib.suppress(ValueError):
            read_base64(data.decode("utf-8", "surrogateescape"))

    holds_for(mutated([b"data:image/png;base64,YWJj", b"YW-_\r\nYQ==", b"====", b"data:,"]), check)


def test_idx_files(tmp_path: Path) -> None:
    file = tmp_path / "images"
    plain = idx_bytes(np.zeros((3, 4, 5), dtype=np.uint8))

    def check(data: bytes) -> None:
        file.write_bytes(data)
        with contextlib.suppress(SourceError):
            opened = open_idx(file, (1, 3))
            assert sum(1 for _ in opened.entries()) == opened.shape[0]

    holds_for(mutated([plain, gzip.compress(plain, mtime=0), idx_bytes(np.arange(9, dtype=np.uint8))]), check)


def test_an_idx_file_is_unpacked_no_further_than_it_states(tmp_path: Path) -> None:
    file = tmp_path / "images.gz"
    file.write_bytes(gzip.compress(idx_bytes(np.zeros(9, dtype=np.uint8)) + bytes(20_000_000), mtime=0))
    with pytest.raises(SourceError, match="holds 1048576 or more"):
        open_idx(file, (1,))


def test_tables(tmp_path: Path) -> None:
    file = tmp_path / "table.csv"

    def check(data: bytes) -> None:
        file.write_bytes(data)
        with contextlib.suppress(SourceError):
            read_rows(file)

    holds_for(mutated([b'image,item,category\na.jpg,1,"dress, long"\nb.jpg,2,coat\n']), check)


READERS: dict[str, tuple[Callable[[Path], Path], Callable[[Path], object], str]] = {
    "categories and attributes": (
        write_attributes,
        lambda root: attribute_annotations.read_tables(
            next(root.rglob("list_attr_img.txt")).parent, next(root.rglob("list_eval_partition.txt"))
        ),
        "*.txt",
    ),
    "fine annotations": (
        lambda root: write_attributes(root, annotations="fine"),
        lambda root: fine_annotations.read_split_files(next(root.rglob("train.txt")).parent),
        "*.txt",
    ),
    "attributes of consumers and shops": (
        write_c2s,
        lambda root: c2s_attributes.read_attributes(next(root.rglob("list_attr_items.txt")).parent),
        "list_attr*.txt",
    ),
    "boxes": (write_c2s, lambda root: regions.read_boxes(next(root.rglob("list_bbox*.txt")), types=2), "list_bbox*"),
    "landmarks": (
        write_inshop,
        lambda root: regions.read_landmarks(next(root.rglob("list_landm*.txt"))),
        "list_landm*",
    ),
    "attributes of the shop": (
        write_inshop,
        lambda root: inshop_attributes.read_attributes(next(root.rglob("list_attr_items.txt")).parent),
        "list_*",
    ),
    "DeepFashion2": (
        write_deepfashion2,
        lambda root: deepfashion2_files.read_garments(root, "train"),
        "00000[12].json",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_annotation_files(name: str, tmp_path: Path) -> None:
    write, read, pattern = READERS[name]
    root = tmp_path / "set"
    write(root)
    files = [path for path in sorted(root.rglob(pattern)) if path.is_file()][:8]
    read(root)
    whole = [path.read_bytes()[:4000] for path in files]
    number = st.integers(0, len(files) - 1)

    def check(data: bytes) -> None:
        target, content = files[data[0]], data[1:]
        before = target.read_bytes()
        target.write_bytes(content)
        with contextlib.suppress(SourceError):
            read(root)
        target.write_bytes(before)

    for place in range(len(files)):
        for content in (b"", b"\xff", "\u00b2\nx\n".encode(), b"9" * 5000, b"[" * 50_000, b'{"a":' * 50_000):
            check(bytes([place]) + content)
    holds_for(number.flatmap(lambda place: mutated([whole[place]]).map(lambda data: bytes([place]) + data)), check)
    shutil.rmtree(root)
