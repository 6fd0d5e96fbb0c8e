"""Stage `validate`: decodes every image, applies the rules, parts `data/raw/` into catalogue and quarantine."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from tqdm import tqdm

from croquis.catalog.table import SCHEMA, Catalog, CatalogWriter
from croquis.evaluation.answerable import unanswerable, unlearnable
from croquis.evaluation.protocol import PROTOCOLS
from croquis.files import write_json
from croquis.params import Params, load_params
from croquis.params.accelerators import check_accelerator
from croquis.rerank.reranker import needs_classifier, without_classifier
from croquis.tracking.stage_run import stage_run
from croquis.validation.examination import Examination, examine
from croquis.validation.fingerprints import to_hex
from croquis.validation.measure import Measured, measure
from croquis.validation.quarantine import (
    DATA_DOCS,
    ValidationError,
    check_complete,
    check_failures,
    check_share,
    count_reasons,
)
from stages import run_stage

RAW, ACCEPTED, QUARANTINE = Path("data/raw"), Path("data/catalog"), Path("data/quarantine")
REPORT = Path("reports/validation.json")
QUARANTINE_SCHEMA = SCHEMA.append(pa.field("reason", pa.string(), nullable=False))


def measure_all(catalog: Catalog, max_megapixels: float) -> list[Measured]:
    """Measures every image, one shard in memory at a time."""
    images = tqdm(catalog.images(range(len(catalog))), "validate", len(catalog), unit=" images", mininterval=1.0)
    return [measure(data, max_megapixels) for data in images]


def write_part(catalog: Catalog, verdict: Examination, rows: Sequence[int], writer: CatalogWriter) -> int:
    """Streams `rows` with what was measured, and the reason where there is one; returns how many were written."""
    with writer:
        for number, row in zip(rows, catalog.rows(rows), strict=True):
            known = {**row, **_measured_columns(verdict.measured[number])}
            reason = verdict.rejected.get(number)
            writer.write(known if reason is None else {**known, "reason": "; ".join(reason)})
    return writer.rows_written


def _measured_columns(found: Measured) -> dict[str, Any]:
    phash = None if found.phash is None else to_hex(found.phash)
    return {"width": found.width, "height": found.height, "sha256": found.sha256, "phash": phash}


def main(root: Path = Path()) -> None:
    params = load_params(root / "params.yaml")
    check_accelerator(params.base.accelerator)
    settings, protocol = params.validate_, PROTOCOLS[params.base.protocol]
    with stage_run("validate", params=settings.model_dump() | {"protocol": protocol.name}, root=root) as run:
        start = time.perf_counter()
        catalog = Catalog.open(root / RAW)
        verdict = examine(catalog, measure_all(catalog, settings.max_megapixels), settings, protocol, root / DATA_DOCS)
        write_json(root / REPORT, verdict.report())
        shutil.copytree(root / DATA_DOCS, run.artifacts / DATA_DOCS.name)
        quarantine = CatalogWriter(root / QUARANTINE, params.ingest.shard_rows, QUARANTINE_SCHEMA)
        out = write_part(catalog, verdict, sorted(verdict.rejected), quarantine)
        check_share(verdict.rejected, len(catalog), settings.max_quarantine_share)
        check_failures(verdict.findings)
        accepted = CatalogWriter(root / ACCEPTED, params.ingest.shard_rows)
        kept = write_part(catalog, verdict, verdict.accepted.index.tolist(), accepted)
        check_complete(kept, out, len(catalog))
        check_answerable(params, root)
        for name, value in verdict.metrics().items():
            run.metric(name, value)
        speed = len(catalog) / (time.perf_counter() - start)
        run.volatile("images_per_second", speed)
    print(summary(verdict, speed))


def check_answerable(params: Params, root: Path) -> None:
    """Refuses what the accepted catalogue cannot answer, before anything is trained for it.

    Missing attributes are only told where nothing but the stage `train_classifier` needs them: it alone stops then.

    Raises:
        ValidationError: naming the keys of params.yaml and the values that would do.
    """
    accepted = Catalog.open(root / ACCEPTED)
    protocol, parts = PROTOCOLS[params.base.protocol], params.parts
    found = unanswerable(accepted, protocol, params.register_.select_by, drawings=parts.sketch)
    if parts.attributes and (problem := unlearnable(accepted, params.train_classifier.min_positives)):
        problem += ", or set parts.attributes: false"
        print(f"train_classifier will stop: {problem}", file=sys.stderr)
        if params.rerank.enabled and needs_classifier(params.rerank.steps):
            found.append(
                f"rerank.enabled is true, and its steps need the attribute classifier: {problem}; or set rerank.enabled: "
                f"false, or rerank.steps to some of {', '.join(without_classifier())}"
            )
    if found:
        raise ValidationError("\n".join([f"{ACCEPTED} cannot answer what params.yaml asks for:", *found]))


def summary(verdict: Examination, images_per_second: float) -> str:
    """Counts, reasons, and what is flagged but tolerated."""
    counts = (
        f"{len(verdict.accepted)} of {len(verdict.measured)} images accepted, {len(verdict.rejected)} in quarantine"
    )
    lines = [f"{counts} ({images_per_second:.0f} images/s)"]
    lines += [f"  {name}: {count}" for name, count in count_reasons(verdict.rejected).items()]
    lines += [
        f"  (tolerated) {finding.outcome.rule.name}: {len(finding.flagged)}"
        for finding in verdict.findings
        if finding.outcome.rule.severity == "fail" and finding.flagged
    ]
    lines += [f"  (switched off) {name}" for name in verdict.disabled]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(run_stage(main, __doc__))
