"""One version, three ways to ask it: our server, `mlflow models serve`, and what `evaluate` wrote down."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from croquis.catalog.table import Catalog
from croquis.serving.answers.answer_models import Result
from croquis.serving.client import Client
from tests.support.environment import OUTSIDE
from tests.support.registry.evaluated_project import MODEL, begun_project
from tests.support.serving.mlflow_process import mlflow_serving, post
from tests.support.serving.server_process import server_process

METHOD = "siamese"  # of the champion
EVERYTHING = 100  # results: more than the gallery has
DIGITS = 6

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return begun_project(tmp_path_factory)


def queries(root: Path) -> list[dict[str, Any]]:
    """The queries of photos that `evaluate` answered, with the rank that it found; `row` holds the picture."""
    table = pq.read_table(root / f"reports/evaluation/{METHOD}.queries.parquet").to_pylist()
    answered = [line for line in table if (line["path"], line["rerank"]) == ("encoder", "none")]
    catalog = Catalog.open(root / "data/catalog")
    rows = {row["image_id"]: row for row in catalog.rows(catalog.select())}
    return [{**line, "row": rows[line["query_id"]]} for line in answered]


def rank_of_first_hit(results: list[Result], query: dict[str, Any], gallery: set[str]) -> int:
    """Among the images that `evaluate` searched: those of the query's split, but for the query itself."""
    searched = [hit for hit in results if hit.image_id in gallery and hit.image_id != query["query_id"]]
    return next(rank for rank, hit in enumerate(searched, start=1) if hit.item_id == query["item_id"])


def test_the_three_agree(root: Path, tmp_path: Path) -> None:
    asked = queries(root)
    assert len(asked) > 30
    catalog = Catalog.open(root / "data/catalog")
    galleries = {
        split: set(catalog.column("image_id")[catalog.select(split=split, domain="shop", role="gallery")])
        for split in ("val", "test")
    }
    uri, outside = f"models:/{MODEL}@champion", dict.fromkeys(OUTSIDE, "")
    with (
        mlflow_serving(root, uri) as mlflow,
        server_process(tmp_path, "--model", uri, cwd=root, **outside) as server,
        Client(server.address) as client,
    ):
        for query in asked:
            picture, box = query["row"]["image"], query["row"]["bbox"]
            evaluated = client.search(picture, k=EVERYTHING, crop=box).results
            assert rank_of_first_hit(evaluated, query, galleries[query["split"]]) == query["rank"]

            ours = client.search(picture, k=EVERYTHING).results  # MLflow's model takes no crop box
            record = {"image": base64.b64encode(picture).decode()}
            status, answer = post(mlflow, {"dataframe_records": [record], "params": {"k": EVERYTHING}})
            assert status == 200, answer
            theirs = answer["predictions"][0]
            assert [hit.image_id for hit in ours] == theirs["image_ids"]
            assert [hit.item_id for hit in ours] == theirs["item_ids"]
            assert [round(hit.score, DIGITS) for hit in ours] == [round(score, DIGITS) for score in theirs["scores"]]
