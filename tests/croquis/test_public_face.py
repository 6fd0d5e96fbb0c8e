"""`from croquis import Retriever, Catalog, evaluate`: three sources, one answer; the examples run; errors name the fix."""

from __future__ import annotations

import doctest
import importlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

import croquis
from croquis import Catalog, Retriever, evaluate
from croquis.catalog.filters import Filters, QueryError
from croquis.catalog.images import ImageError, decode_image, encode_jpeg
from croquis.catalog.table import CatalogError
from croquis.evaluation.protocol import ProtocolError
from croquis.params import load_params
from croquis.params.loader import read_yaml
from croquis.retriever import RetrieverError
from croquis.search.local_retriever import LocalRetriever
from croquis.serving.app import create_app
from croquis.serving.client import Client, ServerError
from croquis.serving.models.bundle_sources import BundleSource
from croquis.serving.remote_retriever import RemoteRetriever
from croquis.serving.server_settings import Settings
from stages.evaluate import measure
from tests.support.environment import clear_environment
from tests.support.registry.evaluated_project import MODEL, SEES_COLOURS, SEES_LITTLE, begun_project, write_project
from tests.support.serving.live_server import listening
from tests.support.tiny_retriever import write_tiny_bundle

ROOT = Path(__file__).parents[2]
BUNDLE = "models/bundles/siamese"
WITH_EXAMPLES = (
    "croquis.retriever",
    "croquis.catalog.table",
    "croquis.evaluation.evaluate_retriever",
)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with two evaluated bundles and a picture, `photo.jpg`."""
    root = tmp_path_factory.mktemp("face")
    write_project(root, {"histogram": SEES_LITTLE, "siamese": SEES_COLOURS})
    (root / "photo.jpg").write_bytes(photo_file(root))
    return root


@pytest.fixture(autouse=True)
def inside(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clear_environment(monkeypatch)
    monkeypatch.chdir(project)


@pytest.fixture(scope="module")
def address(project: Path) -> Iterator[str]:
    app = create_app({"champion": BundleSource(project / BUNDLE)}, Settings(threads=2))
    with listening(app) as address:
        yield address


def photo_file(root: Path) -> bytes:
    """A JPEG of a query."""
    catalog = Catalog.open(root / "data/catalog")
    rows = catalog.select(split="test", role="query", domain="consumer")
    return encode_jpeg(decode_image(next(catalog.images(rows[:1]))))


def in_new_process(script: str, cwd: Path = ROOT) -> str:
    environ = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=cwd, env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.slow
def test_the_package_imports_nothing_until_a_name_is_used() -> None:
    script = "import sys; import croquis; print([name for name in sys.modules if name.startswith('croquis.')])"
    assert in_new_process(script) == "[]"
    heavy = "{'numpy', 'faiss', 'onnxruntime', 'pyarrow', 'torch', 'mlflow', 'pydantic'}"
    assert in_new_process(f"import croquis, sys; dir(croquis); print({heavy} & set(sys.modules))") == "set()"


@pytest.mark.slow
def test_the_face_needs_nothing_that_trains_tracks_or_serves() -> None:
    heavy = "{'torch', 'mlflow', 'pydantic', 'pandas', 'httpx', 'fastapi', 'dvc'}"
    script = f"import sys; from croquis import Retriever, Catalog, evaluate; print({heavy} & set(sys.modules))"
    assert in_new_process(script) == "set()"


@pytest.mark.slow
def test_who_asks_a_server_imports_neither_faiss_nor_onnxruntime() -> None:
    script = "import croquis.serving.remote_retriever, sys; print({'faiss', 'onnxruntime'} & set(sys.modules))"
    assert in_new_process(script) == "set()"


def test_names_and_version() -> None:
    assert {"Catalog", "Retriever", "evaluate", "__version__"} <= set(dir(croquis))
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", croquis.__version__)
    with pytest.raises(AttributeError, match="no attribute 'Retreiver'; it has Catalog, Retriever"):
        _ = croquis.Retreiver


def test_the_version_of_a_checkout_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.version", absent)
    assert f'\nversion = "{croquis._version()}"\n' in (ROOT / "pyproject.toml").read_text()
    monkeypatch.setattr(croquis, "__file__", str(Path("elsewhere/croquis/__init__.py").absolute()))
    assert croquis._version() == "unknown"


ASKED: list[dict[str, Any]] = [
    {},
    {"k": 3, "filters": {"category": "dress"}},
    {"filters": Filters(category=("coat", "skirt"))},
    {"mode": "sketch-direct"},
    {"rerank": False, "bbox": [2, 2, 30, 30]},
]


@pytest.mark.parametrize("asked", ASKED)
def test_bundle_and_server_give_one_answer(address: str, asked: dict[str, Any]) -> None:
    local, remote = Retriever.load(BUNDLE), Retriever.load(address)
    assert isinstance(local, LocalRetriever)
    assert isinstance(remote, RemoteRetriever)
    assert isinstance(local, Retriever)
    hits = local.search("photo.jpg", **asked)
    assert len(hits) == asked.get("k", 10)
    assert remote.search("photo.jpg", **asked) == hits


@pytest.mark.slow
@pytest.mark.parametrize("asked", [{"rerank": True}, {"rerank": False}, {"mode": "sketch"}, {"mode": "sketch-direct"}])
def test_with_generator_and_classifier_too(tmp_path: Path, asked: dict[str, Any]) -> None:
    folder = write_tiny_bundle(tmp_path / "tiny")
    app = create_app({"champion": BundleSource(folder)}, Settings(threads=2))
    with listening(app) as address:
        hits = Retriever.load(folder).search("photo.jpg", k=36, **asked)
        assert Retriever.load(address).search("photo.jpg", k=36, **asked) == hits
    assert any(hit.shared_attributes for hit in hits) == asked.get("rerank", False)


@pytest.fixture
def registered(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a champion, version 1, which is the current folder."""
    root = begun_project(tmp_path_factory)
    monkeypatch.chdir(root)
    return root


@pytest.mark.slow
def test_bundle_and_registry_give_one_answer(registered: Path) -> None:
    local, picture = Retriever.load(BUNDLE), photo_file(registered)
    for source in (f"models:/{MODEL}@champion", f"models:/{MODEL}/1"):
        kept = Retriever.load(source)
        for asked in ASKED:
            assert kept.search(picture, **asked) == local.search(picture, **asked)
        np.testing.assert_array_equal(kept.embed([picture]), local.embed([picture]))


@pytest.mark.slow
@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("models:/test-retriever@nobody", "test-retriever has no alias nobody"),
        ("models:/test-retriever/77", "77"),
    ],
)
def test_a_version_that_is_not_there_gives_one_line(source: str, words: str) -> None:
    with pytest.raises(RetrieverError, match=words) as caught:
        Retriever.load(source)
    assert "\n" not in str(caught.value)


def test_a_picture_comes_in_four_forms(project: Path, address: str) -> None:
    path = project / "photo.jpg"
    pixels = decode_image(path.read_bytes())
    forms = [path, str(path), path.read_bytes(), Image.open(path), Image.fromarray(pixels), pixels]
    for source in (BUNDLE, address):
        retriever = Retriever.load(source)
        first, *others = [retriever.search(form, k=5) for form in forms]
        assert others == [first] * 5


def test_vectors_are_those_of_the_index() -> None:
    retriever = Retriever.load(BUNDLE)
    assert isinstance(retriever, LocalRetriever)
    catalog = Catalog.open("data/catalog")
    rows = catalog.select(domain="shop", role=["gallery", "train"])
    places = [retriever.bundle.items.row(image_id) for image_id in catalog.column("image_id")[rows]]
    vectors = retriever.embed(list(catalog.images(rows)))
    assert len(rows) > 32  # more than one batch
    assert vectors.dtype == np.float32
    assert vectors.shape == (len(rows), retriever.bundle.index.dim)
    np.testing.assert_allclose(vectors, retriever.bundle.index.vectors(np.array(places)), atol=1e-6)
    assert retriever.embed([]).shape == (0, retriever.bundle.index.dim)
    with pytest.raises(QueryError, match=r"pictures = 'str' must be a list of pictures: write \[picture\]"):
        retriever.embed("photo.jpg")


def test_a_server_gives_no_vectors(address: str) -> None:
    with pytest.raises(RetrieverError, match=r"`embed` needs the bundle, Retriever.load\(folder\)"):
        Retriever.load(address).embed(["photo.jpg"])


@pytest.mark.parametrize(
    ("asked", "error", "words"),
    [
        ({"k": 0}, QueryError, "k = 0 must be a whole number from 1 to 1000"),
        ({"mode": "text"}, QueryError, "mode = 'text' must be one of photo, sketch, sketch-direct"),
        ({"filters": {"price": "low"}}, QueryError, "'price' is not a filter"),
        ({"filters": {"category": "hat"}}, QueryError, "filters.category = .*hat.* known: coat, dress, skirt"),
        ({"rerank": True}, QueryError, "rerank = True needs an attribute classifier"),
        ({"picture": "absent.jpg"}, ImageError, "'absent.jpg' cannot be read: No such file or directory"),
        ({"picture": b"GET / HTTP/1.1"}, ImageError, "none of JPEG"),
        ({"picture": 3}, ImageError, "must be a path, bytes, a Pillow image or an array, not int"),
        ({"picture": np.zeros((3, 3))}, ImageError, r"must be uint8 \(H, W, 3\), not float64 \(3, 3\)"),
    ],
)
def test_bundle_and_server_refuse_alike(
    address: str, asked: dict[str, Any], error: type[Exception], words: str
) -> None:
    for source in (BUNDLE, address):
        with pytest.raises(error, match=words) as caught:
            Retriever.load(source).search(**({"picture": "photo.jpg"} | asked))
        assert "\n" not in str(caught.value)


def test_a_server_has_its_own_largest_k(address: str) -> None:
    with pytest.raises(QueryError, match="k = 1000 should be less than or equal to 100"):
        Retriever.load(address).search("photo.jpg", k=1000)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (
            "models/bundles/siames",
            r"does not exist; bundles beside it: .*histogram.*siamese; did you mean siamese\?",
        ),
        ("models/bundles", "holds no bundle .*; bundles in it: models/bundles/histogram, models/bundles/siamese"),
        ("data/catalog", "holds no bundle .*; `croquis repro` builds bundles in models/bundles"),
        (
            "model:/test-retriever@champion",
            r"model:, which is not known; did you mean models\? a source is a bundle folder",
        ),
        ("htp://127.0.0.1:8000", r"did you mean http\?"),
        ("ftp://host/bundle", "begins with ftp:, which is not known"),
        ("models:test-retriever@champion", "lacks a slash after the colon"),
        ("models:/test-retriever", "write models:/NAME@ALIAS or models:/NAME/NUMBER"),
        ("http://127.0.0.1:9", "no search server answers at http://127.0.0.1:9 .*; `croquis serve` starts one"),
        ("http://[", "no search server answers at"),
    ],
)
def test_a_wrong_source_gives_one_line_with_the_fix(source: str, words: str) -> None:
    with pytest.raises(RetrieverError, match=words) as caught:
        Retriever.load(source)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "package", "extra"),
    [(f"models:/{MODEL}@champion", "mlflow", "registry"), ("http://127.0.0.1:9", "httpx", "serving")],
)
def test_a_missing_package_names_the_extra(project: Path, source: str, package: str, extra: str) -> None:
    script = (
        f"import sys; sys.modules[{package!r}] = None\n"
        "from croquis import Retriever\n"
        f"try: Retriever.load({source!r})\n"
        "except ValueError as error: print(error)"
    )
    said = in_new_process(script, project)
    assert said == f"{source} needs the package {package}: pip install 'croquis[{extra}]'"


def test_a_server_that_wants_a_key(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        known = request.headers.get("x-api-key") == "secret"
        return httpx.Response(404 if known else 401)

    client = Client("http://host", transport=httpx.MockTransport(answer))
    monkeypatch.setattr("croquis.serving.remote_retriever.Client", lambda *_, **__: client)
    with pytest.raises(RetrieverError, match=r"401 Unauthorized.*; set CROQUIS_API_KEY"):
        RemoteRetriever.load("http://host")
    with Client("http://host", "secret", transport=httpx.MockTransport(answer)) as other, pytest.raises(ServerError):
        RemoteRetriever(other).search(project / "photo.jpg")


@pytest.mark.slow
def test_evaluate_gives_the_figures_of_the_stage(project: Path) -> None:
    params = load_params(project / "params.yaml")
    retriever = LocalRetriever.load(BUNDLE)
    asked = {"depth": params.evaluate.depth, "resamples": params.evaluate.bootstrap, "edges": params.sketch.edges}
    found = evaluate(Retriever.load(BUNDLE), "data/catalog", sketches="data/sketches", seed=params.base.seed, **asked)
    expected = measure(retriever, params, project)["test"].summary()["runs"]
    assert [(row.pair, row.path, row.rerank) for row in found.rows] == [
        (run["pair"], run["path"], run["rerank"]) for run in expected
    ]
    for row, run in zip(found.rows, expected, strict=True):
        for name, value in run["metrics"].items():
            interval = row.metrics[name]
            assert (interval.value, interval.low, interval.high) == (value["value"], value["low"], value["high"])
            assert row.chance[name] == value["chance"]
    assert found.row("sketch->shop", "edges").queries == found.result.run("sketch->shop", "edges").ranks.size
    assert "consumer->shop encoder" in str(found)
    with pytest.raises(KeyError, match=r"sketch->shop gan \+ none was not measured; measured: consumer->shop encoder"):
        found.row("sketch->shop", "gan")


def test_the_defaults_of_evaluate_are_those_of_params_yaml() -> None:
    values = read_yaml(ROOT / "params.yaml")
    blocks = values["evaluate"], values["base"], values["sketch"]
    expected = (blocks[0]["depth"], blocks[0]["bootstrap"], blocks[1]["seed"], blocks[2]["edges"])
    given = evaluate.__kwdefaults__
    assert (given["depth"], given["resamples"], given["seed"], given["edges"]) == expected
    module = importlib.import_module("croquis.evaluation.evaluate_retriever")
    assert (blocks[0]["chunk"], blocks[2]["size"]) == (module.CHUNK, module.EDGE_SIZE)


def test_evaluate_refuses_what_it_cannot_measure(address: str) -> None:
    with pytest.raises(TypeError, match="a RemoteRetriever cannot be evaluated, the bundle is needed"):
        evaluate(Retriever.load(address), "data/catalog")
    with pytest.raises(ProtocolError, match="protocol is 'instances', must be one of instance, category"):
        evaluate(BUNDLE, "data/catalog", protocol="instances")


def test_a_catalogue_says_what_it_holds() -> None:
    catalog = Catalog.open("data/catalog")
    assert repr(catalog) == f"Catalog('data/catalog', {len(catalog)} images)"
    with pytest.raises(CatalogError, match="has no column 'colour' in memory; known: image_id, item_id"):
        catalog.select(colour="red")


@pytest.mark.parametrize("module", WITH_EXAMPLES)
def test_the_examples_run(module: str) -> None:
    found = doctest.testmod(importlib.import_module(module))
    assert found.attempted > 0
    assert found.failed == 0


def test_every_python_block_of_the_readme_runs(capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})
    assert "consumer->shop encoder" in capsys.readouterr().out


def test_both_packages_say_that_they_are_typed() -> None:
    packages = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for name in ("croquis", "lightning_modules"):
        assert (ROOT / name / "py.typed").is_file()
        assert f'{name} = ["py.typed"]' in packages
