"""What MLflow's pages show of a run beside its params and curves: source, user, dataset, description, pictures by step.

All of it is made of files: the records, reports/validation.json, dvc.yaml and the catalogue's schema. `croquis sync` makes
it again.
"""

from __future__ import annotations

import getpass
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from croquis.files import read_json
from croquis.tracking.environment import PIPELINE_FILE
from croquis.tracking.record import RECORD_FILE, RUNS, Points, mlflow_name

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput

PARENT_TAG, NOTE_TAG = "mlflow.parentRunId", "mlflow.note.content"
DATA_TAG, COMMIT_TAG = "data.hash", "git.commit"
CATALOG, VALIDATION = Path("data/catalog"), Path("reports/validation.json")
METRICS_FILE = "metrics.json"  # artifact: every figure of a stage of which MLflow gets few
SHOWN_DIGEST = 8  # characters of a dataset's, as MLflow itself takes; the run's tag has the whole hash
MOST_STEPS = 24  # pictures of one series
BEFORE_CATALOGUE = ("code", "ingest", "validate")

# Stages with more figures than a table has room for: what MLflow gets. Curves are always shown.
FEW = {
    "ingest": re.compile(r"images|items|categories|gallery/.*"),
    "validate": re.compile(r"ingested|accepted|quarantined"),
    "train_classifier": re.compile(r"(?!val/average_precision/).*"),
    "evaluate": re.compile(r"((val|test)/)?[^/]+/(hit@1|hit@5|map@\w+)"),
}
# Which figures stand in a description, best guess first; of other stages the first ones of the record.
FIRST = {
    "train_embedder": ("val/score", "before_training/score", "train/loss"),
    "train_gan": ("val/frechet_classifier", "val/l1", "train/loss"),
    "train_classifier": ("val/macro_average_precision", "val/score", "train/loss"),
    "evaluate": ("test/consumer->shop/hit@1", "test/shop->shop/hit@1", "test/sketch->shop.gan/hit@1"),
}
SHOWN_FIGURES = 3
_STEP = re.compile(r"epoch-(\d+)")
_NOT_IN_KEY = re.compile(r"[^\w\-./ ]", re.ASCII)
_COLUMN_TYPES = {"string": "string", "int32": "integer", "binary": "binary"}


def base_name(stage: str) -> str:
    """`evaluate@siamese` -> `evaluate`."""
    return stage.partition("@")[0]


def source_tags(stage: str | None, tags: Mapping[str, str]) -> dict[str, str]:
    """MLflow's own tags: who ran what code at which commit.

    Args:
        stage: DVC's name; `pipeline` is all of dvc.yaml, None a run that no stage made.
        tags: the run's own.
    """
    name = {None: "croquis", "pipeline": PIPELINE_FILE}.get(stage, f"stages/{base_name(stage or '')}.py")
    found = {"mlflow.user": _user(), "mlflow.source.type": "LOCAL", "mlflow.source.name": name}
    return found | ({"mlflow.source.git.commit": tags[COMMIT_TAG]} if tags.get(COMMIT_TAG) else {})


def catalogue_input(stage: str, project: Path, data_hash: str | None) -> DatasetInput | None:
    """The accepted catalogue as the input of a run: name, digest, counts, schema; None for stages that do not read it.

    Args:
        data_hash: DVC's, of data/catalog.
    """
    if not data_hash or base_name(stage) in BEFORE_CATALOGUE:
        return None
    from mlflow.entities import Dataset, DatasetInput, InputTag

    dataset = Dataset(
        name=_source_of(project),
        digest=data_hash[:SHOWN_DIGEST],
        source_type="local",
        source=json.dumps({"uri": CATALOG.as_posix()}),
        schema=_schema(project / CATALOG),
        profile=json.dumps(_counts(project / VALIDATION)),
    )
    context = "training" if stage.startswith("train_") else "evaluation"
    return DatasetInput(dataset, [InputTag("mlflow.data.context", context)])


def few(stage: str, metrics: Mapping[str, Points]) -> dict[str, Points]:
    """The metrics that a table of runs has room for; the others are in the artifact `METRICS_FILE`."""
    pattern = FEW.get(base_name(stage))
    if pattern is None:
        return dict(metrics)
    return {name: points for name, points in metrics.items() if len(points) > 1 or pattern.fullmatch(name)}


def listed(metrics: Mapping[str, Points]) -> dict[str, float | str]:
    """The last value of each metric by the name that MLflow knows it by, as `METRICS_FILE` holds it."""
    return {mlflow_name(name): points[-1][1] for name, points in sorted(metrics.items()) if points}


def note(stage: str, project: Path, metrics: Mapping[str, Points], page: str) -> str:
    """A run's description in Markdown: what the stage does, three figures, and links.

    Args:
        page: address of the run's page, e.g. `#/experiments/1/runs/ID`.
    """
    lines = [f"**{stage}**: {_described(stage, project)}", ""]
    rows = [f"| {mlflow_name(name)} | {value:.4g} |" for name, value in _first(stage, metrics)]
    lines += ["| figure | value |", "|---|---|", *rows, ""] if rows else []
    links = [f"[pictures and tables]({page}/artifacts)"]
    if any(len(points) > 1 for points in metrics.values()):
        links.insert(0, f"[curves]({page}/model-metrics)")
    return "\n".join([*lines, " · ".join(links)])


def pictures(folder: Path) -> Iterator[tuple[str, int, Path]]:
    """(key, step, file) of each PNG below a folder: `sheets/epoch-004.png` is step 4 of `sheets`, others stand alone.

    Of a long series `MOST_STEPS` are taken, evenly spaced, with the first and the last.
    """
    series: dict[str, list[tuple[int, Path]]] = {}
    for path in sorted(folder.rglob("*.png")):
        inside = path.relative_to(folder)
        numbered = _STEP.fullmatch(path.stem)
        named = (inside.parent if numbered and inside.parent.name else inside.with_suffix("")).as_posix()
        step = int(numbered[1]) if numbered else 0
        series.setdefault(_NOT_IN_KEY.sub("_", mlflow_name(named)), []).append((step, path))
    for key, found in series.items():
        yield from ((key, step, picture) for step, picture in _thinned(found))


def shared_view(columns: Iterable[str]) -> str:
    """The experiment page's columns, as MLflow's UI keeps a view that is shared by a link.

    Args:
        columns: metrics, as MLflow names them.
    """
    metrics = [f"metrics.`{mlflow_name(name)}`" for name in dict.fromkeys(columns)]
    chosen = ["attributes.`Dataset`", "attributes.`Source`", "attributes.`Models`"]
    order = ["attributes.`Run Name`", *metrics, "attributes.`Models`", "attributes.`Dataset`", "attributes.`Source`"]
    view = {
        "selectedColumns": [*chosen, *metrics],
        "columnOrder": [*order, "runDateAndNestInfo", "duration"],
        "columnWidths": {**dict.fromkeys(metrics, 240), **dict.fromkeys(order[:1], 240), **dict.fromkeys(chosen, 190)},
        "orderByKey": "attributes.start_time",
        "orderByAsc": False,
    }
    return json.dumps(view)


def _thinned(found: list[tuple[int, Path]]) -> list[tuple[int, Path]]:
    if len(found) <= MOST_STEPS:
        return found
    return [found[round(place * (len(found) - 1) / (MOST_STEPS - 1))] for place in range(MOST_STEPS)]


def _first(stage: str, metrics: Mapping[str, Points]) -> list[tuple[str, float]]:
    """The three figures that matter: of a score's curve the best, of others the last."""
    names = [name for name in FIRST.get(base_name(stage), ()) if metrics.get(name)]
    names += [name for name in few(stage, metrics) if name not in names and metrics[name]]
    return [(name, _value(name, metrics[name])) for name in names[:SHOWN_FIGURES]]


def _value(name: str, points: Points) -> float:
    return max(value for _, value in points) if name == "val/score" else points[-1][1]


def _described(stage: str, project: Path) -> str:
    """What dvc.yaml says that the stage does."""
    path = project / PIPELINE_FILE
    if not path.is_file():
        return "a stage of the pipeline"
    from ruamel.yaml import YAML

    stages = (YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8")) or {}).get("stages") or {}
    return str((stages.get(base_name(stage)) or {}).get("desc", "a stage of the pipeline"))


def _source_of(project: Path) -> str:
    """The catalogue's name: that of the source it was ingested from."""
    record = project / RUNS / "ingest" / RECORD_FILE
    source = read_json(record)["params"].get("source") if record.is_file() else None
    return str(source or "catalogue")


def _counts(report: Path) -> dict[str, Any]:
    """Images and items of the accepted catalogue; empty where it was not validated."""
    if not report.is_file():
        return {}
    found = read_json(report)
    profile = found["profile"]
    items = {f"items in {split}": count for split, count in profile["items"].items()}
    images = {f"images {cell}": count for cell, count in profile["images"].items()}
    return {"num_rows": found["accepted"], "categories": len(profile["categories"]), **items, **images}


def _schema(catalogue: Path) -> str | None:
    """The columns of the catalogue's first shard; None where it is not here."""
    import pyarrow.parquet as pq

    shard = next(iter(sorted(catalogue.glob("*.parquet"))), None)
    if shard is None:
        return None
    columns = [
        {"name": field.name, "type": _COLUMN_TYPES.get(str(field.type), "array"), "required": not field.nullable}
        for field in pq.read_schema(shard)
    ]
    return json.dumps({"mlflow_colspec": columns})


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in a container
        return "unknown"
