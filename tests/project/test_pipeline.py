"""The whole pipeline on a small profile, in clones of their own: a champion at the end, nothing to do the second time,
the same bytes from another clone that was killed twice and whose nets are trained, indexed and evaluated each in a Python
of its own, where the whole run forks stages; and answers of the registered model."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.common.real_sets import merged
from croquis.params import load_params
from croquis.params.loader import read_yaml
from tests.support.pipeline.small_project import clone, dvc, environment, module

pytestmark = pytest.mark.slow

METHODS = load_params().retrievers
PATIENCE = 1800  # seconds; a busy machine took 300 to come to a training


def kill_while_training(folder: Path, target: str, scratch: str) -> None:
    """Starts `dvc repro TARGET`, its stages in Pythons of their own, and ends all by SIGKILL once there is a checkpoint."""
    command = [sys.executable, "-m", "dvc", "repro", target]
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment(),
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + PATIENCE
    while not list((folder / ".scratch").glob(f"{scratch}/*/resume.ckpt")):
        assert process.poll() is None, f"{target} ended before it could be killed"
        assert time.monotonic() < deadline, f"{target} wrote no checkpoint in {PATIENCE} s"
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert list((folder / ".scratch").glob(f"{scratch}/*/resume.ckpt")), (
        "the killed training left nothing to resume from"
    )


def digests(folder: Path) -> dict[str, str]:
    files = [
        *folder.glob("reports/evaluation/*.json"),
        *folder.glob("models/**/*.onnx"),
        *folder.glob("models/**/*.json"),
    ]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """The command forks DVC and the stages from a process of its own."""
    folder = clone(tmp_path_factory.mktemp("whole"))
    yield folder, module(folder, "croquis", "repro", "--jobs", "2")
    shutil.rmtree(folder)


def test_it_ends_with_a_leaderboard_and_a_champion(whole: tuple[Path, str]):
    folder, said = whole
    registration = json.loads((folder / "reports/registration.json").read_text())
    assert registration["outcome"] == "first champion"
    assert set(registration["values"]) == set(METHODS)
    assert f"champion of fashion-retriever: version 1 ({registration['method']}" in said
    for words in (*METHODS, "croquis ui", "croquis serve", "croquis registry status"):
        assert words in said


def test_the_second_time_there_is_nothing_to_do(whole: tuple[Path, str], programs: Path):
    folder, _ = whole
    again = dvc(folder, "repro", programs=programs)
    assert "Running stage" not in again
    assert "Data and pipelines are up to date." in dvc(folder, "status", programs=programs)


def test_metrics_and_plots_can_be_shown(whole: tuple[Path, str], programs: Path):
    folder, _ = whole
    shown = json.loads(dvc(folder, "metrics", "show", "--json", programs=programs))
    assert len(shown[""]["data"]) == len(METHODS)
    drawn = json.loads(dvc(folder, "plots", "show", "--json", programs=programs))
    assert not drawn.get("errors")
    for name in ("hit@k", "hit@1 per category"):
        (plot,) = drawn["data"][name]
        rows = plot["content"]["data"]["values"]
        assert list(dict.fromkeys(row["method"] for row in rows)) == METHODS
        assert {row["measured"] for row in rows} == {"consumer to shop, test"}
    dvc(folder, "plots", "show", "--out", "plots", programs=programs)
    assert (folder / "plots/index.html").is_file()


@pytest.mark.parametrize(
    ("change", "to_do"),
    [
        ({"retrievers": ["histogram", "siamese", "dhd"]}, {"code", "compare", "learned_from", "register"}),
        ({"dhd": {"temperature": 0.15}}, {"train_embedder@dhd"}),
        ({"register": {"floor": 0.1}}, {"register"}),
    ],
)
def test_a_change_leaves_the_other_methods_cached(
    whole: tuple[Path, str], programs: Path, change: dict[str, object], to_do: set[str]
):
    """`code` and `learned_from` look at the list of methods; what they write for the methods that stay is the same."""
    folder, _ = whole
    shipped = (folder / "params.yaml").read_bytes()
    (folder / "params.yaml").write_text(json.dumps(merged(read_yaml(folder / "params.yaml"), change)))  # JSON is YAML
    try:
        assert set(json.loads(dvc(folder, "status", "--json", programs=programs))) == to_do
    finally:
        (folder / "params.yaml").write_bytes(shipped)


def test_another_clone_killed_twice_ends_with_the_same_bytes(whole: tuple[Path, str], programs: Path, tmp_path: Path):
    expected = digests(whole[0])
    folder = clone(tmp_path)
    dvc(folder, "repro", "sketch", "prepare", programs=programs)
    kill_while_training(folder, "train_gan", "train_gan")
    kill_while_training(folder, "train_embedder@siamese", "train_embedder-siamese")
    dvc(folder, "repro", "evaluate@siamese")
    found = digests(folder)
    assert "reports/evaluation/siamese.json" in found
    assert found == {name: digest for name, digest in expected.items() if name in found}


def test_the_champion_answers_a_photo_and_a_sketch(whole: tuple[Path, str]):
    folder, _ = whole
    script = """
import base64
import mlflow, pandas as pd
from croquis.catalog.table import Catalog
from croquis.catalog.images import crop, decode_image, encode_png
catalog = Catalog.open("data/catalog")
model = mlflow.pyfunc.load_model("models:/fashion-retriever@champion")
def ask(row, mode):
    photo = crop(decode_image(next(catalog.images([row]))), catalog.column("bbox")[row])
    image = base64.b64encode(encode_png(photo)).decode()
    return model.predict(pd.DataFrame({"image": [image]}), params={"k": 5, "mode": mode, "filters": "{}"})
photo = int(catalog.select(split="test", domain="shop", role="gallery")[0])
sketch = int(catalog.select(split="test", domain="sketch")[0])
found = pd.DataFrame(ask(photo, "photo")).iloc[0]
assert found["image_ids"][0] == catalog.column("image_id")[photo], found
assert len(pd.DataFrame(ask(sketch, "sketch")).iloc[0]["item_ids"]) == 5
"""
    uri = f"sqlite:///{folder}/mlruns/mlflow.db"
    environ = environment() | {"MLFLOW_TRACKING_URI": uri, "MLFLOW_DISABLE_TELEMETRY": "true"}
    done = subprocess.run([sys.executable, "-c", script], cwd=folder, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
