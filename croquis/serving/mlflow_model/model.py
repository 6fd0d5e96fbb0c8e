"""The registered model: MLflow loads this file as code ("models from code"), no pickle is involved.

    mlflow models serve -m models:/fashion-retriever@champion --env-manager local

A request has a column `image` (base64 of a picture file) and the params `k`, `mode`, `filters` (JSON) and, where the sketch
generator takes one, `colour`. The answer has, per query, the lists `image_ids`, `item_ids` and `scores`, best first.
"""

from __future__ import annotations

import json
import logging
from typing import Any

import mlflow
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INTERNAL_ERROR, INVALID_PARAMETER_VALUE
from mlflow.pyfunc import PythonModel, PythonModelContext

from croquis.catalog.base64_text import read_base64
from croquis.catalog.filters import Filters, QueryError
from croquis.catalog.images import DEFAULT_LIMITS, ImageError
from croquis.search.local_retriever import Hit, LocalRetriever

logger = logging.getLogger(__name__)

BUNDLE = "bundle"
IMAGE = "image"
MOST_QUERIES = 64  # of one request
DEFAULTS: dict[str, Any] = {"k": 10, "mode": "photo", "filters": "{}", "colour": ""}
# Base64 is a third longer than what it spells.
LONGEST_BASE64 = DEFAULT_LIMITS.max_bytes * 3 // 2  # with line breaks


class RetrieverModel(PythonModel):  # type: ignore[misc]
    """A retriever behind MLflow's interface; `predict` may be called by several threads at once."""

    def load_context(self, context: PythonModelContext) -> None:
        self._retriever = LocalRetriever.load(context.artifacts[BUNDLE])
        self._retriever.warm_up()

    def predict(
        self,
        context: PythonModelContext,  # noqa: ARG002 MLflow passes it by this name
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,
    ) -> list[dict[str, list[Any]]]:
        """Answers each row of `model_input`.

        Raises:
            MlflowException: INVALID_PARAMETER_VALUE, naming the row and what is wrong with it. Nothing else is let out, as
                MLflow's server would send its stack trace to the client.
        """
        try:
            return self._answer(model_input, {**DEFAULTS, **(params or {})})
        except (QueryError, ImageError) as error:
            raise MlflowException(str(error), INVALID_PARAMETER_VALUE) from None
        except Exception:  # see Raises; the log keeps it whole
            logger.exception("a query failed")
            raise MlflowException("the query failed; the server's log says why", INTERNAL_ERROR) from None

    def _answer(self, model_input: pd.DataFrame, params: dict[str, Any]) -> list[dict[str, list[Any]]]:
        if len(model_input) > MOST_QUERIES:
            raise QueryError("rows", len(model_input), f"are too many, at most {MOST_QUERIES} in a request")
        filters = parse_filters(params["filters"])
        asked: dict[str, Any] = {"k": int(params["k"]), "mode": params["mode"], "filters": filters}
        asked["colour"] = params["colour"] or None
        answers = []
        for row, value in enumerate(model_input[IMAGE]):
            try:
                answers.append(to_lists(self._retriever.search(decode_base64(value), **asked)))
            except ImageError as error:
                raise QueryError(f"{IMAGE} of row {row}", "...", f"cannot be used: {error}") from None
        return answers


def parse_filters(text: Any) -> Filters:
    """Filters from JSON such as `{"category": ["dress"]}`.

    Raises:
        QueryError: when it is no JSON or has an unknown key.
    """
    try:
        return Filters.from_mapping(json.loads(text))
    except (TypeError, json.JSONDecodeError):
        raise QueryError("filters", text, 'is not JSON such as {"category": ["dress"]}') from None


def decode_base64(value: Any) -> bytes:
    """The bytes of a picture file.

    Raises:
        ImageError: when `value` is not base64 or too long.
    """
    # MLflow's schema lets numbers and nulls through in a column of strings.
    if not isinstance(value, str):
        raise ImageError(f"it must be base64 text, not {type(value).__name__}")
    if len(value) > LONGEST_BASE64:
        raise ImageError(f"it has {len(value)} characters of base64, at most {LONGEST_BASE64} are read")
    try:
        return read_base64(value)
    except ValueError as error:
        raise ImageError(f"it {error}") from None


def to_lists(hits: list[Hit]) -> dict[str, list[Any]]:
    """The ids and scores of an answer, best first, as a cell of the model's output."""
    return {
        "image_ids": [hit.image_id for hit in hits],
        "item_ids": [hit.item_id for hit in hits],
        "scores": [hit.score for hit in hits],
    }


mlflow.models.set_model(RetrieverModel())
