"""How this project measures: the evaluation settings that params.yaml asks for."""

from __future__ import annotations

from params import Params
from retrieval.evaluation import EvaluationSettings
from retrieval.protocol import PROTOCOLS


def evaluation_settings(params: Params) -> EvaluationSettings:
    return EvaluationSettings(
        depth=params.evaluate.depth,
        resamples=params.evaluate.bootstrap,
        chunk=params.evaluate.chunk,
        seed=params.base.seed,
        edges=params.sketch.edges,
        edge_size=params.sketch.size,
        protocol=PROTOCOLS[params.base.protocol],
    )
