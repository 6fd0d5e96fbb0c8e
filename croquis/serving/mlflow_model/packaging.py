"""Logs a bundle as an MLflow model: code, bundle, signature, an example, and exactly the packages that it needs."""

from __future__ import annotations

import base64
import tomllib
from importlib.metadata import requires, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

from croquis.bundle import Bundle

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parents[2]
MODEL_NAME, PACKAGE = "retriever", "croquis"
BUNDLE = "bundle"


def log_retriever(bundle: Bundle, run_id: str, project: Path = PROJECT) -> str:
    """Logs the model under an existing run and returns its URI, `models:/m-...`.

    MLflow's current store is used, so call it within `store.here()`; MLflow answers the example as a first test.

    Args:
        bundle: what to serve.
        run_id: the run that the model belongs to.
        project: where `pyproject.toml` lies, if anywhere, whose core dependencies the model asks for.
    """
    import mlflow

    example, params = input_example(bundle)
    with mlflow.start_run(run_id=run_id):
        logged = mlflow.pyfunc.log_model(
            name=MODEL_NAME,
            python_model=str(HERE / "model.py"),
            artifacts={BUNDLE: bundle.folder.resolve().as_uri()},  # MLflow decodes %2F in a bare path, too
            code_paths=[str(PROJECT / "croquis")],
            signature=signature(bundle),
            input_example=(example, params),
            pip_requirements=requirements(project / "pyproject.toml"),
            metadata={"method": bundle.manifest.method, "bundle_hash": bundle.hash},
        )
    return str(logged.model_uri)


def signature(bundle: Bundle) -> ModelSignature:
    """One column `image`; params `k`, `mode`, `filters`, and `colour` where the generator takes one; lists of ids and scores
    come back."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
    from mlflow.types.schema import Array

    painter = bundle.manifest.generator
    coloured = painter is not None and painter.colours is not None
    text, number = Array(DataType.string), Array(DataType.double)
    return ModelSignature(
        inputs=Schema([ColSpec(DataType.string, "image")]),
        outputs=Schema([ColSpec(text, "image_ids"), ColSpec(text, "item_ids"), ColSpec(number, "scores")]),
        params=ParamSchema(
            [
                ParamSpec("k", "long", 10),
                ParamSpec("mode", "string", "photo"),
                ParamSpec("filters", "string", "{}"),
                *([ParamSpec("colour", "string", "")] if coloured else []),
            ]
        ),
    )


def input_example(bundle: Bundle) -> tuple[Any, dict[str, Any]]:
    """A gallery thumbnail as a request, and its params."""
    import pandas as pd

    thumbnail = base64.b64encode(bundle.items.thumbnail(0)).decode()
    return pd.DataFrame({"image": [thumbnail]}), {"k": min(5, len(bundle.items)), "mode": "photo", "filters": "{}"}


def requirements(pyproject: Path) -> list[str]:
    """The core dependencies of croquis, each at the version that is installed here.

    Args:
        pyproject: names them in a checkout; where it is not, as in a project without code, the installed package does.
    """
    from packaging.requirements import Requirement

    if pyproject.is_file():
        declared = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]["dependencies"]
    else:
        declared = requires(PACKAGE) or []
    core = (Requirement(line) for line in declared)
    names = sorted(each.name for each in core if "extra" not in str(each.marker))
    return [f"{name}=={version(name)}" for name in names]
