"""Stage `validate`: decodes every image, applies the rules, parts `data/raw/` into catalogue and quarantine."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
from tqdm import tqdm

from params import load_params
from params.data import Validate
from retrieval.catalog import SCHEMA, Catalog, CatalogWriter
from retrieval.files import write_json
from tracking.runs import stage_run
from validation.frame import image_frame, relation_frame
from validation.measure import Measured, measure
from validation.phash import to_hex
from validation.profile import profile
from validation.rules import IMAGE_RULES, RELATION_RULES
from validation.suite import open_suites
from validation.verdict import Finding, check_complete, check_failures, check_share, count_reasons, reasons

RAW, ACCEPTED, QUARANTINE = Path("data/raw"), Path("data/catalog"), Path("data/quarantine")
REPORT, DATA_DOCS = Path("reports/validation.json"), Path("reports/data_docs")
QUARANTINE_SCHEMA = SCHEMA.append(pa.field("reason", pa.string(), nullable=False))

Reasons = Mapping[int, Sequence[str]]


@dataclass(frozen=True)
class Verdict:
    """Every row measured, the findings of every rule, and why rows are rejected."""

    measured: Sequence[Measured]
    findings: Sequence[Finding]
    rejected: Reasons
    accepted: pd.DataFrame

    def metrics(self) -> dict[str, int]:
        counts = {f"rule/{finding.outcome.rule.name}": len(finding.outcome.rows) for finding in self.findings}
        return counts | {
            "ingested": len(self.measured),
            "quarantined": len(self.rejected),
            "accepted": len(self.accepted),
        }


def examine(catalog: Catalog, settings: Validate, docs: Path) -> Verdict:
    """Measures every image, one shard in memory at a time, and runs both suites."""
    images = tqdm(catalog.images(range(len(catalog))), "validate", len(catalog), unit=" images", mininterval=1.0)
    measured = [measure(data, settings.max_megapixels) for data in images]
    frame = image_frame(catalog, measured)
    with open_suites(docs) as suites:
        of_images = suites.run("images", IMAGE_RULES, frame, settings)
        unfit = reasons(of_images, frame)
        relations = relation_frame(frame.drop(index=list(unfit)), settings.near_duplicate_bits)
        of_relations = suites.run("relations", RELATION_RULES, relations, settings)
    rejected = unfit | reasons(of_relations, relations)
    findings = [Finding.of(outcome, frame) for outcome in of_images]
    findings += [Finding.of(outcome, relations) for outcome in of_relations]
    return Verdict(measured, findings, rejected, frame.drop(index=list(rejected)))


def write_report(path: Path, verdict: Verdict, catalog: Catalog) -> None:
    write_json(
        path,
        {
            "ingested": len(verdict.measured),
            "accepted": len(verdict.accepted),
            "quarantined": len(verdict.rejected),
            "reasons": count_reasons(verdict.rejected),
            "rules": [finding.report() for finding in verdict.findings],
            "profile": profile(verdict.accepted, catalog),
        },
    )


def write_part(catalog: Catalog, verdict: Verdict, rows: Sequence[int], writer: CatalogWriter) -> int:
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
    settings = params.validate_
    with stage_run("validate", params=settings.model_dump(), root=root) as run:
        start = time.perf_counter()
        catalog = Catalog.open(root / RAW)
        verdict = examine(catalog, settings, root / DATA_DOCS)
        write_report(root / REPORT, verdict, catalog)
        shutil.copytree(root / DATA_DOCS, run.artifacts / DATA_DOCS.name)
        quarantine = CatalogWriter(root / QUARANTINE, params.ingest.shard_rows, QUARANTINE_SCHEMA)
        out = write_part(catalog, verdict, sorted(verdict.rejected), quarantine)
        check_failures(verdict.findings)
        check_share(verdict.rejected, len(catalog), settings.max_quarantine_share)
        accepted = CatalogWriter(root / ACCEPTED, params.ingest.shard_rows)
        kept = write_part(catalog, verdict, verdict.accepted.index.tolist(), accepted)
        check_complete(kept, out, len(catalog))
        for name, value in verdict.metrics().items():
            run.metric(name, value)
        run.volatile("images_per_second", len(catalog) / (time.perf_counter() - start))
    print(summary(verdict))


def summary(verdict: Verdict) -> str:
    lines = [
        f"{len(verdict.accepted)} of {len(verdict.measured)} images accepted, {len(verdict.rejected)} in quarantine"
    ]
    lines += [f"  {name}: {count}" for name, count in count_reasons(verdict.rejected).items()]
    lines += [
        f"  (only reported) {finding.outcome.rule.name}: {len(finding.outcome.rows)}"
        for finding in verdict.findings
        if finding.outcome.rule.severity == "report" and finding.outcome.rows
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
