"""A first query to a registered model, before anyone else asks one."""

from __future__ import annotations

import base64
import math
from typing import Any

from croquis.bundle import Bundle

QUERIES = 3
K = 5


class SmokeError(RuntimeError):
    """A model loads or answers wrongly; it must not become champion."""


def smoke_load(model_uri: str, bundle: Bundle, name: str = "") -> None:
    """Loads a model from MLflow's current store, or a folder, and asks it for a few of its own gallery thumbnails.

    Args:
        model_uri: e.g. `models:/fashion-retriever/3`, or the folder of a logged model.
        name: of the model in errors; by default its URI.
        bundle: the bundle that the model holds.

    Raises:
        SmokeError: when it does not load, fails, or answers with the wrong number of results or scores that are no numbers.
    """
    import mlflow
    import pandas as pd

    rows = len(bundle.items)
    asked = sorted({row * (rows - 1) // max(1, QUERIES - 1) for row in range(QUERIES)})
    images = [base64.b64encode(bundle.items.thumbnail(row)).decode() for row in asked]
    k = min(K, rows)
    try:
        model = mlflow.pyfunc.load_model(model_uri)
        answers: list[dict[str, Any]] = model.predict(pd.DataFrame({"image": images}), params={"k": k})
    except Exception as error:  # whatever a broken model raises
        raise SmokeError(f"{name or model_uri} does not answer: {error}") from error
    for row, answer in zip(asked, answers, strict=True):
        known = set(answer["image_ids"]) <= set(bundle.items.image_ids)
        if len(answer["image_ids"]) != k or not known or not all(map(math.isfinite, answer["scores"])):
            raise SmokeError(
                f"{name or model_uri} answers {bundle.items.image_ids[row]!r} with {answer}, expected {k} gallery images"
            )
