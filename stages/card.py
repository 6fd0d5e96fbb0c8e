"""Puts the model card of a version where people look: its description, and an artifact of its pipeline run."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from params import Params
from retrieval.bundle import Bundle
from retrieval.files import read_json, write_bytes
from stages.judging import SELECTED_ON
from stages.query_latency import query_latencies
from tracking.evaluations import Evaluation, Measure
from tracking.model_card import CARD_FILE, CardFacts, description, model_card
from tracking.registry import Registry


def publish_card(
    registry: Registry, number: int, bundle: Bundle, evaluation: Evaluation, params: Params, root: Path
) -> None:
    """Writes the card of version `number` as it stands now, its verdict included; a second call writes it again."""
    measure, report = Measure.parse(params.register_.select_by), root / "reports/validation.json"
    facts = CardFacts(
        version=registry.version(number),
        bundle=bundle,
        evaluation=evaluation,
        measure=measure,
        params=params.model_dump(by_alias=True),
        validation=read_json(report) if report.is_file() else None,
        latency_ms=query_latencies([bundle], SELECTED_ON, measure.pair, root)[0],
    )
    registry.describe(number, description(facts))
    with TemporaryDirectory() as folder:
        write_bytes(Path(folder) / CARD_FILE, model_card(facts).encode())
        registry.store.upload(facts.version.run_id, Path(folder))
