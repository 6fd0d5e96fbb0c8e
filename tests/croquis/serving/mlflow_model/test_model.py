"""The registered model through MLflow's own interface: photos, filters, every kind of bad request, and a real server."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from mlflow.exceptions import MlflowException

from croquis.bundle import Bundle
from croquis.search.local_retriever import LocalRetriever
from croquis.serving.mlflow_model.model import BUNDLE, RetrieverModel
from croquis.serving.mlflow_model.packaging import requirements, signature
from croquis.serving.mlflow_model.smoke import SmokeError, smoke_load
from croquis.tracking.tracking_store import open_store
from tests.support.environment import REPOSITORY, clear_environment
from tests.support.registry.evaluated_project import MODEL, begun_project
from tests.support.serving.mlflow_process import mlflow_serving, post
from tests.support.tiny_retriever import photo, save_colour_generator, write_tiny_bundle

URI = f"models:/{MODEL}@champion"
MOST = 64


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return begun_project(tmp_path_factory)


@pytest.fixture(scope="module")
def model(root: Path) -> Iterator[Any]:
    """The champion, loaded as any MLflow user would."""
    import mlflow

    with pytest.MonkeyPatch.context() as patch:
        clear_environment(patch)
        with open_store(root).here():
            yield mlflow.pyfunc.load_model(URI)


@pytest.fixture(scope="module")
def retriever(root: Path) -> LocalRetriever:
    return LocalRetriever.load(root / "models/bundles/siamese")


def encoded(retriever: LocalRetriever, row: int) -> str:
    return base64.b64encode(retriever.bundle.items.thumbnail(row)).decode()


def ask(model: Any, *images: Any, **params: Any) -> list[dict[str, list[Any]]]:
    return model.predict(pd.DataFrame({"image": list(images)}), params=params)  # type: ignore[no-any-return]


@pytest.mark.slow
def test_it_answers_as_the_retriever_does(model: Any, retriever: LocalRetriever) -> None:
    answers = ask(model, *(encoded(retriever, row) for row in (0, 7)), k=4)
    assert len(answers) == 2
    for row, answer in zip((0, 7), answers, strict=True):
        hits = retriever.search(retriever.bundle.items.thumbnail(row), k=4)
        assert answer["image_ids"] == [hit.image_id for hit in hits]
        assert answer["item_ids"] == [hit.item_id for hit in hits]
        assert answer["scores"] == pytest.approx([hit.score for hit in hits])


def test_defaults_and_filters(model: Any, retriever: LocalRetriever) -> None:
    (plain,) = ask(model, encoded(retriever, 0))
    assert len(plain["image_ids"]) == 10
    (dresses,) = ask(model, encoded(retriever, 0), k=100, filters=json.dumps({"category": ["dress"]}))
    wanted = [
        i
        for i, c in zip(
            retriever.bundle.items.image_ids, retriever.bundle.items.table["category"].to_pylist(), strict=True
        )
        if c == "dress"
    ]
    assert sorted(dresses["image_ids"]) == sorted(wanted)


def test_a_sketch_goes_straight_to_the_encoder_when_asked(model: Any, retriever: LocalRetriever) -> None:
    (answer,) = ask(model, encoded(retriever, 3), k=2, mode="sketch-direct")
    assert len(answer["image_ids"]) == 2


@pytest.mark.parametrize(
    ("image", "params", "words"),
    [
        ("not base64!", {}, "image of row 0 .* is not base64"),
        (base64.b64encode(b"no picture").decode(), {}, "image of row 0"),
        (None, {}, "must be base64 text, not"),
        (5, {}, "Failed to enforce schema"),
        ("good", {"k": 0}, "k = 0 must be a whole number from 1 to 1000"),
        ("good", {"k": 1001}, "k = 1001"),
        ("good", {"mode": "painting"}, "mode = 'painting' must be one of photo, sketch"),
        ("good", {"mode": "sketch"}, "generator"),
        ("good", {"filters": "{"}, "is not JSON"),
        ("good", {"filters": "[]"}, "must be an object"),
        ("good", {"filters": '{"price": "low"}'}, "price"),
        ("good", {"filters": '{"category": "spaceship"}'}, "spaceship"),
    ],
)
def test_bad_requests_are_named_and_end_nothing(
    model: Any, retriever: LocalRetriever, image: Any, params: dict[str, Any], words: str
) -> None:
    good = encoded(retriever, 0)
    with pytest.raises(MlflowException, match=words) as raised:
        ask(model, good if image == "good" else image, **params)
    assert raised.value.error_code in ("INVALID_PARAMETER_VALUE", "BAD_REQUEST")
    assert ask(model, good, k=1)[0]["image_ids"]


def test_too_many_rows_are_refused(model: Any, retriever: LocalRetriever) -> None:
    with pytest.raises(MlflowException, match=f"rows = {MOST + 1} are too many, at most {MOST}"):
        ask(model, *[encoded(retriever, 0)] * (MOST + 1))


def test_a_fault_of_ours_does_not_show_its_inside(
    model: Any, retriever: LocalRetriever, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = model.unwrap_python_model()
    monkeypatch.setattr(inner, "_retriever", None)
    with pytest.raises(MlflowException, match="the server's log says why") as raised:
        ask(model, encoded(retriever, 0))
    assert "NoneType" not in str(raised.value)
    assert raised.value.__cause__ is None


def test_threads_get_the_answers_of_one(model: Any, retriever: LocalRetriever) -> None:
    images = [encoded(retriever, row) for row in range(12)]
    alone = [ask(model, image, k=3)[0] for image in images]
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(lambda image: ask(model, image, k=3)[0], images * 4))
    assert together == alone * 4


def test_the_model_says_what_it_takes_and_needs(model: Any, root: Path) -> None:
    signature = model.metadata.signature
    assert signature.inputs.input_names() == ["image"]
    assert {spec.name: spec.default for spec in signature.params} == {"k": 10, "mode": "photo", "filters": "{}"}
    folder = next((root / "mlruns/artifacts/models").glob("*/artifacts"))
    needed = (folder / "requirements.txt").read_text()
    for name in ("faiss-cpu==", "onnxruntime==", "numpy==", "pillow==", "pyarrow==", "opencv-python-headless=="):
        assert name in needed
    assert "torch" not in needed
    assert not list(folder.rglob("*.pkl"))


def test_requirements_are_the_core_dependencies() -> None:
    found = requirements(REPOSITORY / "pyproject.toml")
    assert all("==" in line for line in found)
    assert not any(line.startswith(("torch", "mlflow", "dvc")) for line in found)


def test_the_smoke_test_passes_and_names_what_fails(
    root: Path, retriever: LocalRetriever, monkeypatch: pytest.MonkeyPatch
) -> None:
    clear_environment(monkeypatch)
    with open_store(root).here():
        smoke_load(URI, retriever.bundle)
        with pytest.raises(SmokeError, match="does not answer"):
            smoke_load(f"models:/{MODEL}/99", retriever.bundle)


@pytest.fixture
def server(root: Path) -> Iterator[str]:
    with mlflow_serving(root, URI) as address:
        yield address


@pytest.mark.slow
def test_mlflow_serves_the_champion(server: str, retriever: LocalRetriever) -> None:
    image = encoded(retriever, 0)
    for mode in ("photo", "sketch-direct"):
        status, answer = post(server, {"dataframe_records": [{"image": image}], "params": {"k": 3, "mode": mode}})
        assert status == 200, answer
        assert answer["predictions"][0]["image_ids"] == [
            hit.image_id for hit in retriever.search(retriever.bundle.items.thumbnail(0), k=3)
        ]
    for records, params in (
        ([{"image": "!"}], {}),
        ([{"image": image}], {"k": -1}),
        ([{"image": 7}], {}),
        ([{"image": None}], {}),
    ):
        status, answer = post(server, {"dataframe_records": records, "params": params})
        assert status == 400
        assert "stack_trace" not in answer
        assert "Traceback" not in json.dumps(answer)


def test_the_signature_has_a_colour_where_the_generator_takes_one(tmp_path: Path) -> None:
    painter = save_colour_generator(tmp_path / "painter")
    coloured, plain = (
        Bundle.load(write_tiny_bundle(tmp_path / name, **own))
        for name, own in (("coloured", {"generator_folder": painter}), ("plain", {}))
    )
    names = [[each.name for each in signature(bundle).params] for bundle in (plain, coloured)]
    assert names == [["k", "mode", "filters"], ["k", "mode", "filters", "colour"]]
    served = RetrieverModel()
    served.load_context(SimpleNamespace(artifacts={BUNDLE: str(coloured.folder)}))
    asked = pd.DataFrame({"image": [base64.b64encode(photo()).decode()]})
    (blue,) = served.predict(None, asked, {"mode": "sketch", "colour": "blue", "k": 3})
    assert all(name.startswith("blue") for name in blue["image_ids"])
    (any_colour,) = served.predict(None, asked, {"mode": "sketch", "k": 3})
    assert any_colour["image_ids"] != blue["image_ids"]
